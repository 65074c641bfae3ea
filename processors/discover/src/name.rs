//! Paths as identities, and as a person reads them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path's bytes: names need not be UTF-8.
pub(crate) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// The path on one line: what is not UTF-8 becomes `�`, what does not print is escaped.
pub(crate) fn display(path: &Path) -> String {
    let mut shown = String::with_capacity(path.as_os_str().len());
    for letter in path.to_string_lossy().chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The canonical path, also of what is no longer there: then as far as it still is, and the rest as written.
pub(crate) fn canonical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut missing: Vec<OsString> = Vec::new();
    for ancestor in absolute.ancestors() {
        if let Ok(mut found) = std::fs::canonicalize(ancestor) {
            found.extend(missing.into_iter().rev());
            return found;
        }
        missing.extend(ancestor.file_name().map(OsString::from));
    }
    absolute
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_shown_on_one_line() {
        let path = Path::new(OsStr::from_bytes(b"/a/two\nlines \xff \x1b[31m.svg"));
        assert_eq!(display(path), "/a/two\\nlines \u{fffd} \\u{1b}[31m.svg");
        assert_eq!(display(Path::new("/für/画面.svg")), "/für/画面.svg");
    }

    proptest! {
        #[test]
        fn no_name_breaks_a_line(name in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!display(Path::new(OsStr::from_bytes(&name))).contains(char::is_control));
        }
    }

    #[test]
    fn a_path_is_canonical_as_far_as_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        assert_eq!(canonical(&root.join("link/gone/a.svg")), root.join("real/gone/a.svg"));
        assert_eq!(canonical(&root.join("link/../real")), root.join("real"));
    }
}

//! Files that hold what is expected of a test. They are written anew where `$FRAMELINE_WRITE_EXPECTED` is set, and then
//! looked at in the difference that git shows.

use std::fs;
use std::path::Path;

/// The variable that has them written.
pub const WRITE: &str = "FRAMELINE_WRITE_EXPECTED";

/// Holds a text against a file.
///
/// # Panics
/// Where they differ, with the first line that does, and with how to write the file anew.
pub fn is_as_expected(file: &Path, found: &str) {
    if std::env::var_os(WRITE).is_some() {
        fs::create_dir_all(file.parent().expect("a file has a folder")).expect("the folder can be made");
        fs::write(file, found).expect("the file can be written");
        return;
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    if expected == found {
        return;
    }
    let same = expected.lines().zip(found.lines()).take_while(|(one, other)| one == other).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
    panic!(
        "{}, line {}:\n  expected: {}\n  found:    {}\nwhere that is meant, write it anew: {WRITE}=1 cargo xtask test helm",
        file.display(),
        same + 1,
        line(&expected),
        line(found)
    );
}

//! A folder as the store: files that are staged under another name, and what is known of a file system's troubles.

use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use object_store::local::LocalFileSystem;

/// Opens a folder, made where it is missing, and gives where it really is; else why that cannot be.
pub(super) fn open(root: &Path) -> Result<(LocalFileSystem, PathBuf), String> {
    if root.to_str().is_none() {
        return Err("its name is not UTF-8; choose another folder".to_owned());
    }
    fs::create_dir_all(root).map_err(|error| advice(&error))?;
    let root = fs::canonicalize(root).map_err(|error| advice(&error))?;
    let store = LocalFileSystem::new_with_prefix(&root).map_err(|error| error.to_string())?;
    Ok((store, root))
}

/// Whether it is still there, and may be looked into.
pub(super) fn check(root: &Path) -> io::Result<()> {
    fs::read_dir(root).map(drop)
}

/// What happened, in words.
pub(super) fn reason(error: &object_store::Error) -> String {
    io_error(error).map_or_else(|| error.to_string(), advice)
}

fn io_error(error: &object_store::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref::<io::Error>() {
            return Some(found);
        }
        source = inner.source();
    }
    None
}

/// What happened, and what to do.
pub(super) fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("no space is left there; free some, and work goes on ({error})")
        }
        io::ErrorKind::PermissionDenied => format!("this user may not write there; give it the folder ({error})"),
        io::ErrorKind::ReadOnlyFilesystem => format!("it is mounted read-only ({error})"),
        _ => error.to_string(),
    }
}

/// Removes staged files that nobody has touched for so long, and gives their number. They are named like their
/// blob with `#` and a number behind; no uri has a `#`.
pub(super) fn sweep(root: &Path, quiet_for: Duration) -> io::Result<usize> {
    let mut swept = 0;
    for area in folders(root)? {
        for shard in folders(&area)? {
            for entry in fs::read_dir(shard)? {
                let entry = entry?;
                let is_staged = entry.file_name().as_encoded_bytes().contains(&b'#');
                if is_staged && is_quiet(&entry, quiet_for) && fs::remove_file(entry.path()).is_ok() {
                    swept += 1;
                }
            }
        }
    }
    Ok(swept)
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// A file that vanishes meanwhile was another process's, and is done.
fn is_quiet(entry: &fs::DirEntry, quiet_for: Duration) -> bool {
    let touched = entry.metadata().and_then(|metadata| metadata.modified());
    touched.is_ok_and(|touched| touched.elapsed().is_ok_and(|quiet| quiet >= quiet_for))
}

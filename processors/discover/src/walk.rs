//! Which files are meant by paths: a walk on a thread of its own, a bounded number of names ahead.

use std::path::PathBuf;

use tokio::sync::mpsc;
use walkdir::{DirEntry, WalkDir};

use crate::report::Refusal;

/// How many names the walk runs ahead.
const NAMES_AHEAD: usize = 64;

/// What a walk comes upon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A regular file, by its canonical path.
    File(PathBuf),
    /// Something that cannot be taken.
    Refused(PathBuf, Refusal),
}

/// Starts a walk through `roots`, in their order. It ends when the receiver is dropped.
pub(crate) fn start(roots: Vec<PathBuf>, excluded: Vec<PathBuf>) -> mpsc::Receiver<Found> {
    let (sender, receiver) = mpsc::channel(NAMES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let excluded: Vec<PathBuf> = excluded.into_iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        for found in roots.into_iter().flat_map(|root| walk(root, &excluded)) {
            if sender.blocking_send(found).is_err() {
                return;
            }
        }
    });
    receiver
}

fn walk(root: PathBuf, excluded: &[PathBuf]) -> Box<dyn Iterator<Item = Found> + '_> {
    match root.canonicalize() {
        Ok(root) => Box::new(
            WalkDir::new(root)
                .sort_by_file_name()
                .into_iter()
                .filter_entry(|entry| is_entered(entry, excluded))
                .filter_map(found),
        ),
        Err(error) => {
            let refusal = Refusal::of(&error);
            Box::new(std::iter::once(Found::Refused(root, refusal)))
        }
    }
}

/// Hidden names are entered only where they are named themselves.
fn is_entered(entry: &DirEntry, excluded: &[PathBuf]) -> bool {
    let is_hidden = entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
    !is_hidden && !excluded.iter().any(|folder| folder == entry.path())
}

fn found(entry: walkdir::Result<DirEntry>) -> Option<Found> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => {
            let path = error.path().map(PathBuf::from).unwrap_or_default();
            return Some(Found::Refused(path, Refusal::of(&error.into())));
        }
    };
    let kind = entry.file_type();
    if kind.is_dir() || kind.is_symlink() {
        return None;
    }
    let path = entry.into_path();
    Some(if kind.is_file() { Found::File(path) } else { Found::Refused(path, special()) })
}

pub(crate) fn special() -> Refusal {
    Refusal::new("special", "it is a pipe, a socket or a device, and no file")
}

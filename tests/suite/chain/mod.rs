//! The chain from a file to a hit: what is found, what a crash leaves, what hostile files do.

mod crash;
mod hostile;
mod load;
mod questions;
pub(crate) mod state;

use std::path::PathBuf;

/// Files of others that are not in the repository: `samples` beside the checkout, where they lie there.
pub(crate) fn samples_of_others(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/samples"));
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {test}: the samples of others are not beside the checkout");
    None
}

//! Where the fault harness holds a batch, so that a fault surely meets work that is under way.
//!
//! A gate is two files: while `.closed` is there, the first batch that comes makes `.held`, and waits. The batches
//! after it go past it, as past any that takes long. Nothing makes a gate but the harness: the product's
//! configuration, environment and command line cannot.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A gate in front of the work of one process; open, unless somebody closes it.
#[derive(Debug, Clone)]
pub struct Gate {
    closed: PathBuf,
    held: PathBuf,
}

impl Gate {
    /// The gate whose files have this path, and endings of their own.
    pub fn at(path: &Path) -> Self {
        Self { closed: path.with_extension("closed"), held: path.with_extension("held") }
    }

    /// Closes it for the next batch.
    pub fn close(&self) -> io::Result<()> {
        removed(&self.held)?;
        File::create(&self.closed).map(drop)
    }

    /// Lets the batch go on that is held, and all that come.
    pub fn open(&self) -> io::Result<()> {
        removed(&self.closed)
    }

    /// Whether a batch has come to it since it was closed.
    pub fn has_batch(&self) -> bool {
        self.held.exists()
    }

    /// Waits, where it is closed and nothing else has waited.
    pub(crate) async fn pass(&self) {
        if !self.closed.exists() || File::create_new(&self.held).is_err() {
            return;
        }
        while self.closed.exists() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn removed(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_batch_waits_until_it_is_opened_and_the_others_go_past() {
        let folder = tempfile::tempdir().unwrap();
        let gate = Gate::at(&folder.path().join("embed-a"));
        gate.pass().await;
        assert!(!gate.has_batch());

        gate.close().unwrap();
        let first = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        while !gate.has_batch() {
            tokio::task::yield_now().await;
        }
        gate.pass().await;
        assert!(!first.is_finished());

        gate.open().unwrap();
        first.await.unwrap();
        gate.close().unwrap();
        assert!(!gate.has_batch());
    }
}

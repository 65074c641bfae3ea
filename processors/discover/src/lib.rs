//! `discover`: finds files, notes their revisions in the catalogue, and hands them over as records of `files`.
//!
//! It is a library without a consumer: whoever has files calls it. A file's identity is its canonical path, as
//! bytes; its content goes into the blobs while its hash is taken. What it holds at a time is bounded, however
//! many and however large the files are: a walk runs at most 64 names ahead, a hand-over has at most
//! [`HAND_OVER_FILES`] files, and of a file 8 MiB are in memory.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod hand_over;
mod intake;
mod name;
mod report;
mod walk;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use frameline_runtime::headers;
use frameline_runtime::log::{Log, LogError};
use frameline_runtime::moment::{now_ms, whole_ms};
use frameline_runtime::trace::Tracer;
use frameline_runtime::wire::{Wire, WireError};
use frameline_schemas::EncodeError;
use frameline_stores::blobs::{Blobs, BlobsError};
use frameline_stores::jobs::{Catalogue, FileEntry, StoreError};
use thiserror::Error;

use hand_over::Batch;
use intake::Taken;
use report::{Refusal, Reporter};
use walk::Found;

pub use hand_over::{HAND_OVER_BYTES, HAND_OVER_FILES};
pub use report::{AddEvent, AddOutcome, AddReport};

/// The stage's name.
pub const NAME: &str = "discover";

/// What discovery is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoverSettings {
    /// Whose files they are.
    pub tenant: String,
    /// A larger file is refused, with a job that says so.
    pub largest_file_bytes: u64,
    /// How often a file that changes while it is read is read, in all.
    pub changing_attempts: u32,
    /// How long to wait in between.
    pub changing_pause: Duration,
    /// Folders that are never entered, such as the one with our own data.
    pub excluded: Vec<PathBuf>,
}

impl Default for DiscoverSettings {
    fn default() -> Self {
        Self {
            tenant: "default".to_owned(),
            largest_file_bytes: 200_000_000,
            changing_attempts: 3,
            changing_pause: Duration::from_millis(200),
            excluded: Vec::new(),
        }
    }
}

/// Why discovery stopped. What was handed over stays so, and what was noted is handed over by the next call.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// The contents cannot be stored.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    /// The catalogue cannot be read or written.
    #[error(transparent)]
    Catalogue(#[from] StoreError),
    /// The records cannot be appended.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record does not match its schema.
    #[error(transparent)]
    Record(#[from] EncodeError),
    /// The ids of schemas cannot be had.
    #[error(transparent)]
    Schemas(#[from] WireError),
}

/// Finds files and hands them over. Clones share everything.
#[derive(Clone)]
pub struct Discover {
    catalogue: Arc<dyn Catalogue>,
    blobs: Blobs,
    log: Arc<dyn Log>,
    settings: Arc<DiscoverSettings>,
    tracer: Tracer,
    wire: Arc<Wire>,
}

impl Discover {
    /// Discovery over these stores.
    pub fn new(catalogue: Arc<dyn Catalogue>, blobs: Blobs, log: Arc<dyn Log>, settings: DiscoverSettings) -> Self {
        Self {
            catalogue,
            blobs,
            log,
            settings: Arc::new(settings),
            tracer: Tracer::default(),
            wire: Arc::new(Wire::of_files()),
        }
    }

    /// The same, which hands the first span of every file's trace to `tracer`.
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// The same, whose records have the ids of `wire`.
    pub fn addressed(self, wire: Arc<Wire>) -> Self {
        Self { wire, ..self }
    }

    /// Hands over files, and all files in folders: those that are new or changed, or whose last job failed.
    ///
    /// A folder's files come in the order of their names. Hidden ones and links in a folder are passed over; one
    /// that is named itself is taken, a link as what it points to. `on_event` is told of every file once, when
    /// it is safe; a file that cannot be taken holds up no other.
    pub async fn add(
        &self,
        paths: &[PathBuf],
        on_event: impl FnMut(&AddEvent) + Send,
    ) -> Result<AddReport, DiscoverError> {
        let mut reporter = Reporter::new(on_event);
        let mut found = walk::start(paths.to_vec(), self.settings.excluded.clone());
        let mut batch = Batch::default();
        while let Some(found) = found.recv().await {
            let path = match found {
                Found::File(path) => path,
                Found::Refused(path, refusal) => {
                    reporter.refused(path, None, refusal);
                    continue;
                }
            };
            match self.take_in(&path).await? {
                Taken::Offer(offer) => batch.push(path, offer),
                Taken::Refused(refusal) => reporter.refused(path, None, refusal),
            }
            if batch.is_full() {
                self.hand_over(std::mem::take(&mut batch), &mut reporter).await?;
            }
        }
        self.hand_over(batch, &mut reporter).await?;
        Ok(reporter.into_report())
    }

    /// Hands over the deletion of a file, or of all files below a folder, as the catalogue knows them. Nothing
    /// needs to be left at the path.
    pub async fn delete(
        &self,
        path: &Path,
        on_event: impl FnMut(&AddEvent) + Send,
    ) -> Result<AddReport, DiscoverError> {
        let mut reporter = Reporter::new(on_event);
        let path = name::canonical(path);
        let bytes = name::bytes(&path);
        if let Some(entry) = self.catalogue.file(&self.settings.tenant, bytes).await?.filter(|entry| !entry.is_gone()) {
            self.hand_over(self.deletions(&[entry]), &mut reporter).await?;
        }
        let mut after: Option<Vec<u8>> = None;
        loop {
            let below =
                self.catalogue.files_below(&self.settings.tenant, bytes, after.as_deref(), HAND_OVER_FILES).await?;
            let Some(last) = below.last() else { break };
            after = Some(last.path.clone());
            self.hand_over(self.deletions(&below), &mut reporter).await?;
        }
        if reporter.is_empty() {
            reporter.refused(path, None, Refusal::unknown());
        }
        Ok(reporter.into_report())
    }

    /// The file at a path, as the catalogue knows it. Nothing needs to be left at the path.
    pub async fn known(&self, path: &Path) -> Result<Option<FileEntry>, DiscoverError> {
        let path = name::canonical(path);
        Ok(self.catalogue.file(&self.settings.tenant, name::bytes(&path)).await?)
    }

    /// Appends the records of all revisions that an earlier call noted and perhaps did not hand over, at least this
    /// long ago; gives how many. For a service, now and then.
    pub async fn resend_pending(&self, found_before: Duration) -> Result<usize, DiscoverError> {
        let found_by_ms = now_ms().saturating_sub(whole_ms(found_before));
        let mut sent = 0;
        loop {
            let pending = self.catalogue.pending(found_by_ms, HAND_OVER_FILES).await?;
            if pending.is_empty() {
                return Ok(sent);
            }
            self.send(&pending, headers::LIVE).await?;
            sent += pending.len();
        }
    }

    /// Appends the records of revisions that were handed over once already: all stages do them again.
    pub async fn send_again(&self, entries: &[FileEntry]) -> Result<(), DiscoverError> {
        self.send(entries, headers::REPLAY).await
    }
}

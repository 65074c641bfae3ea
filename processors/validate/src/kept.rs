//! The frames of a file that were kept, for comparing later ones with them.
//!
//! Frames of a file come in their order, but not in one batch, and a crash may lie between two of them. The
//! earlier ones are then not read again, so each kept frame's fingerprint is a small blob of its own, written
//! before the frame's outcome is given, and named by file, revision and place. Frame `n` is judged by the
//! fingerprints at the places below `n` and by nothing else. Those were all settled before it came, so a replay
//! judges as the first run did; what a killed run left at `n` or above is not looked at. Memory only saves
//! reading them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use frameline_runtime::Reason;
use frameline_schemas::Head;
use frameline_stores::blobs::{Blobs, BlobsError};
use futures::stream::{self, StreamExt, TryStreamExt};
use uuid::Uuid;

use crate::rules::{self, Fingerprint};
use crate::settings::ValidateSettings;

/// Where fingerprints lie among the blobs.
const AREA: &str = "fingerprints";
const EXTENSION: &str = "json";
/// Part of every name: raise it when a fingerprint, or who is kept, comes out differently.
const VERSION: u32 = 1;
/// How many fingerprints are read at the same time.
const READS: usize = 8;

/// Compares the frames of a file with those kept before.
pub(crate) struct KeptFrames {
    blobs: Blobs,
    settings: ValidateSettings,
    memory: Mutex<Memory>,
}

impl KeptFrames {
    pub(crate) fn new(blobs: Blobs, settings: ValidateSettings) -> Self {
        Self { blobs, settings, memory: Mutex::default() }
    }

    /// Keeps the frame, or says which earlier one makes it superfluous. One call at a time for a file.
    pub(crate) async fn settle(&self, head: &Head, frame: Fingerprint) -> Result<Option<Reason>, BlobsError> {
        let mut known = self.lock().take(head);
        let ordinal = frame.ordinal;
        if known.below < ordinal {
            known.kept.extend(self.read(head, known.below..ordinal).await?);
            known.below = ordinal;
        }
        let earlier = known.kept.iter().filter(|kept| kept.ordinal < ordinal);
        let reason = rules::duplicate(&frame, earlier, &self.settings);
        if reason.is_none() {
            self.write(head, &frame).await?;
        }
        if known.below == ordinal {
            known.below += 1;
            known.kept.extend(reason.is_none().then_some(frame));
        }
        self.lock().put_back(head, known, self.settings.files_in_memory);
        Ok(reason)
    }

    /// The file has ended.
    pub(crate) fn forget(&self, head: &Head) {
        self.lock().take(head);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, head: &Head, frame: &Fingerprint) -> Result<(), BlobsError> {
        let bytes = serde_json::to_vec(frame).unwrap_or_default();
        self.blobs.put_once(AREA, &self.name(head, frame.ordinal), EXTENSION, Bytes::from(bytes)).await.map(drop)
    }

    async fn read(&self, head: &Head, places: Range<i32>) -> Result<Vec<Fingerprint>, BlobsError> {
        let reads = stream::iter(places).map(|ordinal| self.read_one(head, ordinal)).buffered(READS);
        reads.try_filter_map(|found| async { Ok(found) }).try_collect().await
    }

    async fn read_one(&self, head: &Head, ordinal: i32) -> Result<Option<Fingerprint>, BlobsError> {
        match self.blobs.get(&Blobs::uri(AREA, &self.name(head, ordinal), EXTENSION)?).await {
            // One that was torn by a power cut is missing like one that was never kept.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(BlobsError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Other thresholds keep other frames, so they have names of their own.
    fn name(&self, head: &Head, ordinal: i32) -> String {
        let thresholds = serde_json::to_string(&self.settings).unwrap_or_default();
        let name = format!("{VERSION} {} {} {ordinal} {thresholds}", head.file_id, head.revision);
        blake3::hash(name.as_bytes()).to_hex().to_string()
    }
}

/// What is known of a file's frames below a place.
#[derive(Default)]
struct Known {
    below: i32,
    kept: Vec<Fingerprint>,
}

/// What is known of the files that were used last, each with when that was.
#[derive(Default)]
struct Memory {
    files: HashMap<(Uuid, i64), (u64, Known)>,
    uses: u64,
}

impl Memory {
    fn take(&mut self, head: &Head) -> Known {
        self.files.remove(&(head.file_id, head.revision)).map(|(_, known)| known).unwrap_or_default()
    }

    fn put_back(&mut self, head: &Head, known: Known, limit: usize) {
        self.uses += 1;
        self.files.insert((head.file_id, head.revision), (self.uses, known));
        if self.files.len() > limit {
            let oldest = self.files.iter().min_by_key(|(_, (last_use, _))| *last_use).map(|(file, _)| *file);
            oldest.and_then(|file| self.files.remove(&file));
        }
    }
}

//! The hand-over of revisions to the log, as an outbox: noted as pending, appended, marked sent.
//!
//! A crash in between leaves pending revisions, which the next add of that file, or the next start, appends
//! again. The same record twice is harmless: ids and revision are the same.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use frameline_runtime::moment::now_ms;
use frameline_runtime::trace::{Span, SpanKind, TraceContext};
use frameline_runtime::{Output, headers};
use frameline_stores::jobs::{Decision, FileEntry, Offer, Offered};
use uuid::Uuid;

use crate::intake::TOO_LARGE;
use crate::report::{AddEvent, AddOutcome, Refusal, Reporter};
use crate::{Discover, DiscoverError};

/// How many files are handed over together, at most.
pub const HAND_OVER_FILES: usize = 64;
/// A hand-over waits for no further file once those it has are as large as this together.
pub const HAND_OVER_BYTES: u64 = 64 << 20;

/// Files that are handed over together.
#[derive(Default)]
pub(crate) struct Batch {
    files: Vec<(PathBuf, Offer)>,
    size_bytes: u64,
}

impl Batch {
    pub(crate) fn push(&mut self, path: PathBuf, offer: Offer) {
        self.size_bytes = self.size_bytes.saturating_add(offer.size_bytes.unsigned_abs());
        self.files.push((path, offer));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.files.len() >= HAND_OVER_FILES || self.size_bytes >= HAND_OVER_BYTES
    }
}

impl Discover {
    /// The deletions of files.
    pub(crate) fn deletions(&self, entries: &[FileEntry]) -> Batch {
        let discovered_at_ms = now_ms();
        let mut batch = Batch::default();
        for entry in entries {
            let offer = Offer {
                tenant: entry.tenant.clone(),
                path: entry.path.clone(),
                name: entry.name.clone(),
                size_bytes: 0,
                modified_at_ms: 0,
                discovered_at_ms,
                what: Offered::Deleted,
            };
            batch.push(PathBuf::from(OsString::from_vec(entry.path.clone())), offer);
        }
        batch
    }

    /// Notes a batch's revisions, hands them over, and tells what became of each file.
    pub(crate) async fn hand_over<Listener: FnMut(&AddEvent)>(
        &self,
        batch: Batch,
        reporter: &mut Reporter<Listener>,
    ) -> Result<(), DiscoverError> {
        let (paths, offers): (Vec<_>, Vec<_>) = batch.files.into_iter().unzip();
        let decisions = self.catalogue.offer(&offers).await?;
        let to_send: Vec<FileEntry> = decisions.iter().filter_map(to_send).cloned().collect();
        self.send(&to_send, headers::LIVE).await?;
        for ((path, offer), decision) in paths.into_iter().zip(offers).zip(decisions) {
            match decision {
                Decision::Send(entry) => reporter.tell(path, AddOutcome::Queued { job_id: entry.job_id() }),
                Decision::Unchanged(entry) => reporter.tell(path, AddOutcome::Unchanged { job_id: entry.job_id() }),
                Decision::Refused(entry) => reporter.refused(path, Some(entry.job_id()), refusal(offer.what)),
                Decision::Unknown => reporter.refused(path, None, Refusal::unknown()),
            }
        }
        Ok(())
    }

    /// Appends the records of pending revisions, and marks them sent.
    pub(crate) async fn send(&self, entries: &[FileEntry], origin: &'static str) -> Result<(), DiscoverError> {
        if entries.is_empty() {
            return Ok(());
        }
        let begun: Vec<TraceContext> = entries.iter().map(|_| TraceContext::root()).collect();
        let outputs = entries.iter().zip(&begun).map(|(entry, context)| output(entry, context, origin));
        let mut outputs = outputs.collect::<Result<Vec<_>, DiscoverError>>()?;
        self.wire.open().await?;
        self.wire.address(&mut outputs)?;
        self.log.append(outputs).await?;
        for (entry, context) in entries.iter().zip(begun).filter(|(_, context)| self.tracer.takes(context)) {
            self.tracer.record(span(entry, context, origin));
        }
        let revisions: Vec<(Uuid, i64)> = entries.iter().map(|entry| (entry.file_id, entry.revision)).collect();
        self.catalogue.sent(&revisions).await?;
        Ok(())
    }
}

fn to_send(decision: &Decision) -> Option<&FileEntry> {
    match decision {
        Decision::Send(entry) => Some(entry),
        Decision::Unchanged(_) | Decision::Refused(_) | Decision::Unknown => None,
    }
}

fn refusal(what: Offered) -> Refusal {
    match what {
        Offered::Refused { reason, .. } => Refusal::new(TOO_LARGE, reason),
        Offered::Content(_) | Offered::Deleted => Refusal::unknown(),
    }
}

fn output(entry: &FileEntry, context: &TraceContext, origin: &'static str) -> Result<Output, DiscoverError> {
    let mut output = Output::of(frameline_topics::FILES, entry.file_id, &entry.record())?;
    output.headers.set(headers::TRACEPARENT, context.to_string());
    output.headers.set(headers::ORIGIN, origin);
    output.headers.set(headers::JOB, entry.job_id().to_string());
    Ok(output)
}

/// The first span of a file's trace: from its discovery until its record is in the log.
fn span(entry: &FileEntry, context: TraceContext, origin: &'static str) -> Span {
    let found_after = Duration::from_millis(u64::try_from(entry.discovered_at_ms).unwrap_or(0));
    let now = SystemTime::now();
    Span {
        context,
        parent: None,
        name: crate::NAME.into(),
        kind: SpanKind::Producer,
        started_at: if origin == headers::LIVE { (SystemTime::UNIX_EPOCH + found_after).min(now) } else { now },
        ended_at: now,
        attributes: vec![
            ("messaging.operation.type", "send".into()),
            ("messaging.destination.name", frameline_topics::FILES.into()),
            ("frameline.origin", origin.into()),
            ("frameline.file", entry.name.clone().into()),
            ("frameline.file_id", entry.file_id.to_string().into()),
            ("frameline.job_id", entry.job_id().to_string().into()),
            ("frameline.revision", entry.revision.into()),
        ],
        links: Vec::new(),
        links_left_out: 0,
        error: None,
    }
}

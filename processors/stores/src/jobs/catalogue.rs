//! Files, what may be offered of them, and the rule that decides on an offer. No I/O, no clock.

use frameline_schemas::{Action, File, Head, file_id, job_id};
use uuid::Uuid;

use super::status::JobState;

/// A file in its newest revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its id.
    pub file_id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// Its path, as bytes: a name need not be UTF-8.
    pub path: Vec<u8>,
    /// Its path as a person knows it.
    pub name: String,
    /// Counts its contents, from 1.
    pub revision: i64,
    /// Its content; `None` where it was deleted or refused.
    pub content: Option<FileContent>,
    /// Size in bytes.
    pub size_bytes: i64,
    /// When it was last written to, in milliseconds since 1970.
    pub modified_at_ms: i64,
    /// When this revision was found, in milliseconds since 1970.
    pub discovered_at_ms: i64,
    /// Whether the revision's record is known to be in the log.
    pub hand_over: HandOver,
    /// Whether this revision is the file's deletion.
    pub is_deleted: bool,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// Its blob.
    pub uri: String,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub hash: String,
}

/// How far a revision's record has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// It may be missing from the log.
    Pending,
    /// It is in the log, or there is none to be.
    Sent,
}

impl FileEntry {
    /// The job of its revision.
    pub fn job_id(&self) -> Uuid {
        job_id(self.file_id, self.revision)
    }

    /// The record that hands its revision over.
    pub fn record(&self) -> File {
        File {
            head: Head {
                tenant: self.tenant.clone(),
                file_id: self.file_id,
                revision: self.revision,
                job_id: self.job_id(),
                file_name: self.name.clone(),
            },
            action: if self.is_deleted { Action::Delete } else { Action::Upsert },
            content_uri: self.content.as_ref().map(|content| content.uri.clone()),
            content_hash: self.content.as_ref().map(|content| content.hash.clone()),
            size_bytes: self.size_bytes,
            discovered_at: self.discovered_at_ms,
        }
    }

    /// Whether it is deleted, and the log knows.
    pub fn is_gone(&self) -> bool {
        self.is_deleted && self.hand_over == HandOver::Sent
    }

    fn is_refused(&self) -> bool {
        self.content.is_none() && !self.is_deleted
    }
}

/// A file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Whose it is.
    pub tenant: String,
    /// Its path, as bytes.
    pub path: Vec<u8>,
    /// Its path as a person knows it.
    pub name: String,
    /// Size in bytes; 0 for a deletion.
    pub size_bytes: i64,
    /// When it was last written to, in milliseconds since 1970; 0 for a deletion.
    pub modified_at_ms: i64,
    /// When it was found, in milliseconds since 1970.
    pub discovered_at_ms: i64,
    /// What was found.
    pub what: Offered,
}

/// What was found of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// Its content.
    Content(FileContent),
    /// Something that will not be taken; its job says why.
    Refused {
        /// The stage that refuses it.
        stage: String,
        /// One of few values, for counting.
        reason_code: String,
        /// For a person.
        reason: String,
    },
    /// It is to be removed.
    Deleted,
}

/// What follows from an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Append this entry's record to the log, then say so by [`super::Catalogue::sent`].
    Send(FileEntry),
    /// The file is known as it is; its job is the entry's.
    Unchanged(FileEntry),
    /// It is not taken; the entry's job says why.
    Refused(FileEntry),
    /// Nothing to delete.
    Unknown,
}

/// What the catalogue does about an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is a revision of its own.
    NextRevision,
    /// It is the known revision, whose record may be missing from the log.
    SendAgain,
    /// It is the known revision.
    Keep,
    /// There is nothing to delete.
    Unknown,
}

/// Decides on an offer, given the file's entry and what the entry's job has come to.
///
/// A revision whose job failed is never the answer: the file gets another one, with another job to watch.
pub(super) fn judge(known: Option<(&FileEntry, JobState)>, offer: &Offer) -> Verdict {
    let Some((entry, job_state)) = known else {
        return if offer.what == Offered::Deleted { Verdict::Unknown } else { Verdict::NextRevision };
    };
    let is_known = match &offer.what {
        Offered::Content(content) => entry.content.as_ref().is_some_and(|known| known.hash == content.hash),
        Offered::Deleted => entry.is_deleted,
        // What is refused is not read, so its size and time stand for its content; its failed job stays the answer.
        Offered::Refused { .. } => {
            let is_same = entry.size_bytes == offer.size_bytes && entry.modified_at_ms == offer.modified_at_ms;
            return if entry.is_refused() && is_same { Verdict::Keep } else { Verdict::NextRevision };
        }
    };
    match entry.hand_over {
        _ if !is_known || job_state == JobState::Failed => Verdict::NextRevision,
        HandOver::Pending => Verdict::SendAgain,
        HandOver::Sent if entry.is_deleted => Verdict::Unknown,
        HandOver::Sent => Verdict::Keep,
    }
}

/// The entry that an offer makes, as the revision after `known`.
pub(super) fn next_revision(known: Option<&FileEntry>, offer: &Offer) -> FileEntry {
    let is_refused = matches!(offer.what, Offered::Refused { .. });
    FileEntry {
        file_id: file_id(&offer.tenant, &offer.path),
        tenant: offer.tenant.clone(),
        path: offer.path.clone(),
        name: offer.name.clone(),
        revision: known.map_or(0, |entry| entry.revision) + 1,
        content: match &offer.what {
            Offered::Content(content) => Some(content.clone()),
            Offered::Refused { .. } | Offered::Deleted => None,
        },
        size_bytes: offer.size_bytes,
        modified_at_ms: offer.modified_at_ms,
        discovered_at_ms: offer.discovered_at_ms,
        hand_over: if is_refused { HandOver::Sent } else { HandOver::Pending },
        is_deleted: offer.what == Offered::Deleted,
    }
}

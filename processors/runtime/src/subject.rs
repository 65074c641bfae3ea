//! Whom a record is about, for the progress that its job's owner sees.

use frameline_schemas::{Head, Message, Step};
use uuid::Uuid;

use crate::headers;
use crate::record::Record;

/// Whom a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// File, revision and job.
    pub head: Head,
    /// Whole file, unit or end.
    pub step: Step,
    /// The unit, where it is one.
    pub unit_id: Option<Uuid>,
    /// When the file was discovered that this is the end of, in milliseconds since 1970: once the end is in the index,
    /// all of the file can be found. Not for a file's deletion.
    pub searchable_since_ms: Option<i64>,
}

impl Subject {
    /// Whom a message is about; nobody's progress is told of progress.
    pub fn of_message(message: &Message) -> Option<Self> {
        let step = match message {
            Message::File(_) => Step::File,
            Message::Manifest(_) => Step::End,
            Message::Progress(_) => return None,
            Message::Frame(_) | Message::Thumbnail(_) | Message::Unit(_) | Message::Embedding(_) => Step::Unit,
        };
        let searchable_since_ms = match message {
            Message::Manifest(end) if !end.deleted => Some(end.discovered_at),
            _ => None,
        };
        Some(Self { head: message.head().clone(), step, unit_id: message.unit_id(), searchable_since_ms })
    }

    /// Whom a record is about that cannot be read, as far as key and headers say. Its bytes name it, so that two of
    /// a job are two, and one that is put back from the dead letters is the same again.
    pub fn of_unreadable(record: &Record) -> Option<Self> {
        let uuid = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let file_id: Uuid = uuid(key)?;
        let head = Head {
            tenant: String::new(),
            file_id,
            revision: 0,
            job_id: uuid(record.headers.text(headers::JOB))?,
            file_name: String::new(),
        };
        let unit_id = Uuid::new_v5(&file_id, record.value.as_deref().unwrap_or_default());
        Some(Self { head, step: Step::Unit, unit_id: Some(unit_id), searchable_since_ms: None })
    }
}

//! Which record a log line is about.

use crate::headers;
use crate::record::{Record, TopicPartition};
use crate::stage::Subject;

/// The fields of every log line about a record, beside `stage`.
pub(super) struct About<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// The file's path as a person knows it; its id where the record could not be read.
    pub(super) file: Option<&'a str>,
    pub(super) job: Option<&'a str>,
}

impl<'a> About<'a> {
    pub(super) fn of(record: &'a Record, at: &'a TopicPartition, subject: Option<&'a Subject>) -> Self {
        let named = subject.map(|subject| subject.head.file_name.as_str()).filter(|name| !name.is_empty());
        let key = || record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        Self {
            topic: &at.topic,
            partition: at.partition,
            offset: record.offset,
            file: named.or_else(key),
            job: record.headers.text(headers::JOB),
        }
    }
}

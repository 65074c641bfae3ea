//! Which records of a stage's input are put back on it, and how. No I/O, no clock.
//!
//! The copy of a record that a replay makes is marked, and is not copied again: asking twice puts back the same
//! records twice, never four times. What a stage makes of a copy is not marked, for it is new.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use frameline_schemas::{Head, Message, SchemaIds};
use uuid::Uuid;

use crate::headers;
use crate::record::{Output, Record, TopicPartition};

/// Header of a record that a replay has put back: where the original lies, as `PARTITION:OFFSET`.
pub const COPY_OF: &str = "frameline-replay-of";

/// Which records are meant: those that all of it fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this file.
    pub file: Option<Uuid>,
    /// Of this job.
    pub job: Option<Uuid>,
    /// Written from then on, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Written before then, in milliseconds since 1970.
    pub until_ms: Option<i64>,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is put back.
    Replay(Option<Box<Head>>),
    /// It is not meant.
    Other,
    /// It was put there by a replay.
    Copy,
    /// A newer revision of its file has taken its place.
    Superseded,
}

impl Selection {
    /// The file whose newest revision decides about the record; none where the record is not meant. Cheap: it looks
    /// at time and key alone.
    pub fn file_of(&self, record: &Record) -> Option<Uuid> {
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let file: Uuid = key.and_then(|key| key.parse().ok())?;
        (self.is_in_time(record) && self.file.is_none_or(|wanted| wanted == file)).then_some(file)
    }

    fn is_in_time(&self, record: &Record) -> bool {
        self.since_ms.is_none_or(|since| record.timestamp_ms >= since)
            && self.until_ms.is_none_or(|until| record.timestamp_ms < until)
    }

    /// What becomes of the record, by what is known of ids, where its file is known in this newest revision.
    pub fn judge(&self, record: &Record, ids: &SchemaIds, newest_revision: Option<i64>) -> Verdict {
        if self.file_of(record).is_none() {
            return Verdict::Other;
        }
        let message = Message::decode_by(ids, record.value.as_deref().unwrap_or_default()).ok();
        let head = message.as_ref().map(Message::head);
        if self.job.is_some() && head.map(|head| head.job_id) != self.job {
            return Verdict::Other;
        }
        if record.headers.get(COPY_OF).is_some() {
            return Verdict::Copy;
        }
        let is_superseded = head.zip(newest_revision).is_some_and(|(head, newest)| head.revision < newest);
        if is_superseded { Verdict::Superseded } else { Verdict::Replay(head.cloned().map(Box::new)) }
    }
}

/// The record once more, for the topic that it lies in.
pub fn copy_of(record: &Record, from: &TopicPartition) -> Output {
    let mut copy = record.clone().onto(from.topic.clone());
    copy.headers.set(headers::ORIGIN, headers::REPLAY);
    copy.headers.set(COPY_OF, Bytes::from(format!("{}:{}", from.partition, record.offset)));
    copy
}

/// What a replay would put back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Records to be put back.
    pub records: u64,
    /// Records left out: a replay had put them there.
    pub copies: u64,
    /// Records left out: a newer revision of their file has taken their place.
    pub superseded: u64,
    /// Where they lie.
    pub partitions: BTreeMap<TopicPartition, Extent>,
    /// Whose they are, as far as they can be read.
    pub files: Files,
}

/// The files of a plan. Millions may be meant: those with the lowest ids are named, and all are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    all: HashSet<Uuid>,
    named: BTreeMap<Uuid, Share>,
}

/// What of a partition is put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// How many records.
    pub records: u64,
    /// The first one's offset.
    pub first: i64,
    /// The last one's offset.
    pub last: i64,
}

/// What of a file is put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The file's path as a person knows it.
    pub name: String,
    /// How many records.
    pub records: u64,
    /// The newest revision among them.
    pub revision: i64,
}

impl Plan {
    /// Counts a record in. Those of a partition come in the order of their offsets.
    pub fn add(&mut self, partition: &TopicPartition, offset: i64, verdict: &Verdict) {
        let head = match verdict {
            Verdict::Replay(head) => head,
            Verdict::Copy => return self.copies += 1,
            Verdict::Superseded => return self.superseded += 1,
            Verdict::Other => return,
        };
        self.records += 1;
        let extent = Extent { records: 0, first: offset, last: offset };
        let extent = self.partitions.entry(partition.clone()).or_insert(extent);
        extent.records += 1;
        extent.last = offset;
        if let Some(head) = head {
            self.files.add(head);
        }
    }
}

impl Files {
    /// So many are named.
    pub const NAMED: usize = 1_000;

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Those that are named, with all of their records.
    pub fn named(self) -> BTreeMap<Uuid, Share> {
        self.named
    }

    /// Counts a record in. A file that gives way to a lower id never comes back, so a share lacks no record.
    fn add(&mut self, head: &Head) {
        self.all.insert(head.file_id);
        let share = Share { name: head.file_name.clone(), records: 0, revision: head.revision };
        let share = self.named.entry(head.file_id).or_insert(share);
        share.records += 1;
        if head.revision > share.revision {
            (share.name, share.revision) = (head.file_name.clone(), head.revision);
        }
        if self.named.len() > Self::NAMED {
            self.named.pop_last();
        }
    }
}

#[cfg(test)]
mod tests;

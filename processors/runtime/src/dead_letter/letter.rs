//! A dead letter as it lies in its topic, and how it goes back.
//!
//! What was put back is remembered in the dead-letter topic itself: a mark, written together with what is put back,
//! that names the letter. So a letter is put back once, whatever is asked for twice, on every log and without a
//! group; and a mark is younger than its letter, so retention takes the letter first.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use frameline_schemas::{EncodeError, Message, Outcome, Progress, SchemaIds};

use super::{PREFIX, REDRIVES};
use crate::headers;
use crate::record::{Headers, Output, Record};
use crate::stage::{Class, Subject, UNDECODABLE};

/// Header of a mark: the letter that was put back, as `PARTITION:OFFSET`.
pub const REDRIVEN: &str = "frameline-dlq-redriven";

/// Where a dead letter lies in its topic; written `3:812`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no place of a dead letter; write partition and offset: 3:812");
        let (partition, offset) = text.split_once(':').ok_or_else(wrong)?;
        let (partition, offset) = (partition.parse().map_err(|_| wrong())?, offset.parse().map_err(|_| wrong())?);
        if partition < 0 || offset < 0 {
            return Err(wrong());
        }
        Ok(Self { partition, offset })
    }
}

/// What a record of a dead-letter topic is.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A dead letter.
    Letter(Box<Letter>),
    /// That letter was put back.
    Mark(Place),
    /// Somebody else's.
    Foreign,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Where it lies.
    pub place: Place,
    /// When it was given up, in milliseconds since 1970.
    pub at_ms: i64,
    /// The topic that the stage had read it from.
    pub topic: String,
    /// The failure's class.
    pub class: Class,
    /// The failure's code.
    pub code: String,
    /// The failure, for a person.
    pub error: String,
    /// How often it had been put back before it failed.
    pub redrives: u32,
    /// Whom it is about, as the stage told it.
    pub subject: Option<Subject>,
    /// Key, bytes and headers as the stage had them, and the headers of a dead letter.
    pub record: Record,
}

/// What is written, all together, for a letter that is put back.
#[derive(Debug, Clone, PartialEq)]
pub struct PutBack {
    /// The original key, bytes and headers.
    pub back: Output,
    /// The mark.
    pub mark: Output,
    /// What its job is told: the failure is taken back. The only one that was made here, and needs an address.
    pub progress: Option<Output>,
}

impl Entry {
    /// Reads what lies in this partition of a dead-letter topic, by what is known of ids.
    pub fn read(partition: i32, record: Record, ids: &SchemaIds) -> Self {
        if let Some(place) = record.headers.text(REDRIVEN) {
            return place.parse().map_or(Self::Foreign, Self::Mark);
        }
        let place = Place { partition, offset: record.offset };
        Letter::read(place, record, ids).map_or(Self::Foreign, |letter| Self::Letter(Box::new(letter)))
    }
}

impl Letter {
    fn read(place: Place, record: Record, ids: &SchemaIds) -> Option<Self> {
        let text = |name: &str| record.headers.text(&format!("{PREFIX}{name}"));
        let class = Class::parse(text("class")?)?;
        let topic = text("topic")?.to_owned();
        let (code, error) = text("error").and_then(|error| error.split_once(": ")).unwrap_or_default();
        let (code, error) = (code.to_owned(), error.to_owned());
        let subject = match code.as_str() {
            UNDECODABLE => Subject::of_unreadable(&record),
            _ => Message::decode_by(ids, record.value.as_deref().unwrap_or_default())
                .ok()
                .and_then(|message| Subject::of_message(&message)),
        };
        let redrives = super::redrives(&record.headers);
        Some(Self { place, at_ms: record.timestamp_ms, topic, class, code, error, redrives, subject, record })
    }

    /// Whether a newer revision of its file has taken its place.
    pub fn is_superseded_by(&self, newest_revision: i64) -> bool {
        let Some(Subject { head, .. }) = &self.subject else { return false };
        if self.code == UNDECODABLE {
            return head.job_id != frameline_schemas::job_id(head.file_id, newest_revision);
        }
        head.revision < newest_revision
    }

    /// What has to be written, all together, to put it back on its stage's input.
    pub fn put_back(&self, stage: &str, now_ms: i64) -> Result<PutBack, EncodeError> {
        let redrives = self.redrives.saturating_add(1);
        let mut headers = Headers::new();
        for (name, value) in self.record.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX)) {
            headers.push(name.to_owned(), value.clone());
        }
        let progress = self.subject.as_ref().map(|subject| self.taken_back(stage, subject, redrives, now_ms));
        let mut progress = progress.transpose()?;
        for name in [headers::TRACEPARENT, headers::ORIGIN, headers::JOB] {
            if let (Some(output), Some(value)) = (&mut progress, headers.get(name)) {
                output.headers.set(name, Bytes::copy_from_slice(value));
            }
        }
        headers.set(REDRIVES, redrives.to_string());
        let back = Output {
            topic: self.topic.as_str().into(),
            key: self.record.key.clone(),
            value: self.record.value.clone(),
            headers,
        };
        Ok(PutBack { back, mark: self.mark(stage), progress })
    }

    fn mark(&self, stage: &str) -> Output {
        let mut headers = Headers::new();
        headers.push(REDRIVEN, self.place.to_string());
        Output {
            topic: frameline_topics::dead_letters(stage).into(),
            key: self.record.key.clone(),
            value: None,
            headers,
        }
    }

    fn taken_back(&self, stage: &str, subject: &Subject, redrives: u32, at: i64) -> Result<Output, EncodeError> {
        let progress = Progress {
            head: subject.head.clone(),
            stage: stage.to_owned(),
            step: subject.step,
            unit_id: subject.unit_id,
            outcome: Outcome::Failed,
            reason_code: Some(self.code.clone()),
            reason: Some(self.error.clone()),
            frames: None,
            passages: None,
            at,
            redrives: i32::try_from(redrives).unwrap_or(i32::MAX),
            redriven: true,
        };
        Output::of(frameline_topics::PROGRESS, subject.head.file_id, &progress)
    }
}

#[cfg(test)]
pub(super) mod tests;

//! What a stage could not do: the original bytes, and beside them in headers where they were and why.

pub mod letter;
pub mod redrive;

use bytes::Bytes;

use crate::record::{Headers, Output, Record, TopicPartition};
use crate::stage::Failure;

/// In front of every header of a dead letter.
pub const PREFIX: &str = "frameline-dlq-";
/// Header: how often it was put back on the stage's input.
pub const REDRIVES: &str = "frameline-dlq-redrives";

/// How often a record with these headers was put back on its stage's input.
pub fn redrives(headers: &Headers) -> u32 {
    headers.text(REDRIVES).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// A record that is given up.
pub struct DeadLetter<'a> {
    /// The stage that gives it up; its group has the same name.
    pub stage: &'a str,
    /// Where it was read.
    pub partition: &'a TopicPartition,
    /// The record as it was read.
    pub record: &'a Record,
    /// Why.
    pub failure: &'a Failure,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first, in milliseconds since 1970.
    pub first_failed_at_ms: i64,
}

impl DeadLetter<'_> {
    /// The record for the stage's dead-letter topic: key, value and headers as they came, and the headers of a
    /// dead letter (those of an earlier one are replaced).
    pub fn output(&self) -> Output {
        let mut letter = self.record.clone().onto(frameline_topics::dead_letters(self.stage));
        let redrives = redrives(&letter.headers).to_string();
        let facts: [(&'static str, String); 12] = [
            ("frameline-dlq-topic", self.partition.topic.to_string()),
            ("frameline-dlq-partition", self.partition.partition.to_string()),
            ("frameline-dlq-offset", self.record.offset.to_string()),
            ("frameline-dlq-timestamp", self.record.timestamp_ms.to_string()),
            ("frameline-dlq-group", self.stage.to_owned()),
            ("frameline-dlq-stage", self.stage.to_owned()),
            ("frameline-dlq-class", self.failure.class.as_str().to_owned()),
            ("frameline-dlq-error", format!("{}: {}", self.failure.code, self.failure.error)),
            ("frameline-dlq-attempts", self.attempts.to_string()),
            ("frameline-dlq-first-failed-at", self.first_failed_at_ms.to_string()),
            ("frameline-dlq-version", env!("CARGO_PKG_VERSION").to_owned()),
            (REDRIVES, redrives),
        ];
        facts.into_iter().for_each(|(name, value)| letter.headers.set(name, Bytes::from(value)));
        letter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers;

    #[test]
    fn it_keeps_the_bytes_and_says_where_and_why() {
        let mut came_with = Headers::new();
        came_with.push(headers::JOB, "a job");
        came_with.push(REDRIVES, "2");
        let record = Record {
            offset: 812,
            timestamp_ms: 5,
            key: Some("key".into()),
            value: Some(Bytes::from_static(&[0, 255])),
            headers: came_with,
        };
        let partition = TopicPartition::new("frames", 3);
        let failure = Failure::permanent("truncated", "the picture ends early");
        let letter = DeadLetter {
            stage: "render",
            partition: &partition,
            record: &record,
            failure: &failure,
            attempts: 4,
            first_failed_at_ms: 7,
        };
        let output = letter.output();
        assert_eq!((&*output.topic, &output.key, &output.value), ("render.dlq", &record.key, &record.value));
        let header = |name: &str| output.headers.text(&format!("{PREFIX}{name}")).unwrap_or("none").to_owned();
        assert_eq!(
            [
                "topic",
                "partition",
                "offset",
                "timestamp",
                "group",
                "stage",
                "class",
                "attempts",
                "first-failed-at",
                "redrives"
            ]
            .map(header),
            ["frames", "3", "812", "5", "render", "render", "permanent", "4", "7", "2"],
        );
        assert_eq!(header("error"), "truncated: the picture ends early");
        assert_eq!(header("version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(output.headers.text(headers::JOB), Some("a job"));
    }
}

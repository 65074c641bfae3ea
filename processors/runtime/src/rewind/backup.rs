//! A group's offsets as text: `topic,partition,offset`, a line a partition and no heading. It is what Kafka's own
//! tool writes and reads (`kafka-consumer-groups --reset-offsets --export`, `--from-file`), so that either can
//! put back what the other took away.

use std::fmt::Write;

use thiserror::Error;

use super::Offsets;
use crate::record::TopicPartition;

/// A line that is no partition with its offset.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BackupError {
    /// It has another shape.
    #[error("line {line} is `{text}`, and not topic,partition,offset")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A partition has two offsets.
    #[error("line {line} names {partition} a second time")]
    Twice {
        /// The line, from 1.
        line: usize,
        /// The partition.
        partition: TopicPartition,
    },
    /// There is nothing in it.
    #[error("there is no partition in it")]
    Empty,
}

/// The text of these offsets, in the order of the partitions.
pub fn render(offsets: &Offsets) -> String {
    let mut text = String::new();
    for (TopicPartition { topic, partition }, offset) in offsets {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{topic},{partition},{offset}");
    }
    text
}

/// The offsets that a text says. Empty lines, and quotes around a field, mean nothing.
pub fn parse(text: &str) -> Result<Offsets, BackupError> {
    let mut offsets = Offsets::new();
    for (line, content) in (1..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty()) {
        let (partition, offset) =
            parse_line(content).ok_or_else(|| BackupError::Line { line, text: content.trim().to_owned() })?;
        if offsets.insert(partition.clone(), offset).is_some() {
            return Err(BackupError::Twice { line, partition });
        }
    }
    if offsets.is_empty() { Err(BackupError::Empty) } else { Ok(offsets) }
}

fn parse_line(line: &str) -> Option<(TopicPartition, i64)> {
    let mut fields = line.split(',').map(|field| field.trim().trim_matches('"'));
    let (topic, partition, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let partition = partition.parse().ok().filter(|number: &i32| *number >= 0)?;
    let offset = offset.parse().ok().filter(|offset: &i64| *offset >= 0)?;
    (fields.next().is_none() && !topic.is_empty()).then(|| (TopicPartition::new(topic, partition), offset))
}

//! A bounded read: parts of partitions, from an offset to an end that is known before, without a group.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::LogError;
use super::sqlite::partitioner::partition_of;
use crate::record::{Record, TopicPartition};

/// Runs that wait for their reader, at most. A run is as large as the adapters hand records on: half a mebibyte,
/// or one record that is larger.
const RUNS: usize = 4;

/// The offsets `from..to` of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset.
    pub from: i64,
    /// The offset after the last.
    pub to: i64,
}

/// Records of one partition, in the order of their offsets. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The partition.
    pub partition: TopicPartition,
    /// The records.
    pub records: Vec<Record>,
}

/// What is read of spans, some at a time. Dropping it ends the reading.
#[derive(Debug)]
pub struct Scan {
    runs: mpsc::Receiver<Result<Run, LogError>>,
}

impl Scan {
    /// A scan, and where an adapter puts what it reads. It reads no further while nobody takes it.
    pub(super) fn channel() -> (mpsc::Sender<Result<Run, LogError>>, Self) {
        let (sender, runs) = mpsc::channel(RUNS);
        (sender, Self { runs })
    }

    /// The next records; nothing when all were read.
    pub async fn next(&mut self) -> Result<Option<Run>, LogError> {
        self.runs.recv().await.transpose()
    }
}

/// Of all spans of some topics those where the records of this key are.
pub fn of_key(spans: Vec<Span>, key: &[u8]) -> Vec<Span> {
    let mut partitions: HashMap<Arc<str>, i32> = HashMap::new();
    for span in &spans {
        *partitions.entry(Arc::clone(&span.partition.topic)).or_default() += 1;
    }
    let is_of_key = |span: &Span| {
        let count = partitions.get(&span.partition.topic).copied().unwrap_or_default();
        partition_of(key, count) == span.partition.partition
    };
    spans.into_iter().filter(is_of_key).collect()
}

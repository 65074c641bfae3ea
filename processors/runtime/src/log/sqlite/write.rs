//! Writing records inside a transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use sqlx::SqliteConnection;

use super::assign::Slot;
use super::store::Store;
use super::{headers, partitioner};
use crate::log::{CommitError, LogError};
use crate::moment::now_ms;
use crate::record::Output;

/// Why outputs were not written.
pub(super) enum WriteError {
    /// The topic of this output does not exist.
    UnknownTopic {
        /// The output's index.
        output: usize,
        /// Its topic.
        topic: Arc<str>,
    },
    /// This output is larger than its topic takes.
    TooLarge {
        /// The output's index.
        output: usize,
        /// Its topic.
        topic: Arc<str>,
        /// Its key, value and headers.
        size_bytes: usize,
        /// What the topic takes.
        largest_bytes: usize,
    },
    /// The file did not take it.
    Store(sqlx::Error),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        WriteError::Store(error)
    }
}

impl WriteError {
    /// As a commit says it.
    pub(super) fn into_commit_error(self, store: &Store) -> CommitError {
        match self {
            WriteError::Store(error) => CommitError::Unavailable(store.explain(&error)),
            WriteError::UnknownTopic { output, ref topic } => {
                let reason = LogError::UnknownTopic(topic.to_string()).to_string();
                CommitError::Refused { output, topic: Arc::clone(topic), reason }
            }
            WriteError::TooLarge { output, topic, size_bytes, largest_bytes } => {
                let reason = format!("it has {size_bytes} bytes, and the topic takes {largest_bytes} at most");
                CommitError::Refused { output, topic, reason }
            }
        }
    }

    /// As an append says it.
    pub(super) fn into_log_error(self, store: &Store) -> LogError {
        match self {
            WriteError::Store(error) => store.log_error(&error),
            WriteError::UnknownTopic { topic, .. } => LogError::UnknownTopic(topic.to_string()),
            too_large => LogError::Refused(too_large.into_commit_error(store).to_string()),
        }
    }
}

/// Writes outputs behind the last record of their partitions; returns the ids of the topics that got some.
pub(super) async fn write(connection: &mut SqliteConnection, outputs: &[Output]) -> Result<BTreeSet<i64>, WriteError> {
    if outputs.is_empty() {
        return Ok(BTreeSet::new());
    }
    let topics = topics(connection).await?;
    let slots = outputs
        .iter()
        .enumerate()
        .map(|(index, output)| place(index, output, &topics))
        .collect::<Result<Vec<_>, _>>()?;
    let offsets = allocate(connection, &slots).await?;
    let rows: Vec<Row<'_>> =
        outputs.iter().zip(slots).zip(offsets).map(|((output, slot), offset)| Row { output, slot, offset }).collect();
    insert(connection, &rows).await?;
    Ok(rows.iter().map(|row| row.slot.topic).collect())
}

struct Topic {
    id: i64,
    partitions: i32,
    largest_bytes: usize,
}

async fn topics(connection: &mut SqliteConnection) -> Result<HashMap<String, Topic>, sqlx::Error> {
    let rows: Vec<(String, i64, i32, i64)> =
        sqlx::query_as("select name, id, partitions, largest_message_bytes from topics").fetch_all(connection).await?;
    let topic = |(name, id, partitions, largest): (String, i64, i32, i64)| {
        (name, Topic { id, partitions, largest_bytes: usize::try_from(largest).unwrap_or(usize::MAX) })
    };
    Ok(rows.into_iter().map(topic).collect())
}

fn place(index: usize, output: &Output, topics: &HashMap<String, Topic>) -> Result<Slot, WriteError> {
    let name = &output.topic;
    let topic =
        topics.get(name.as_ref()).ok_or_else(|| WriteError::UnknownTopic { output: index, topic: Arc::clone(name) })?;
    let length = |bytes: Option<&bytes::Bytes>| bytes.map_or(0, bytes::Bytes::len);
    let size_bytes = length(output.key.as_ref()) + length(output.value.as_ref()) + output.headers.size_bytes();
    if size_bytes > topic.largest_bytes {
        let largest_bytes = topic.largest_bytes;
        return Err(WriteError::TooLarge { output: index, topic: Arc::clone(name), size_bytes, largest_bytes });
    }
    let partition = match &output.key {
        Some(key) => partitioner::partition_of(key, topic.partitions),
        None => fastrand::i32(0..topic.partitions.max(1)),
    };
    Ok(Slot { partition, topic: topic.id })
}

/// The offset of each record, in their order.
async fn allocate(connection: &mut SqliteConnection, slots: &[Slot]) -> Result<Vec<i64>, sqlx::Error> {
    let mut next: BTreeMap<Slot, i64> = BTreeMap::new();
    for slot in slots {
        *next.entry(*slot).or_default() += 1;
    }
    for (slot, count) in &mut next {
        let (end,): (i64,) = sqlx::query_as(
            "update partitions set next_offset = next_offset + ? where topic_id = ? and partition = ? returning next_offset",
        )
        .bind(*count)
        .bind(slot.topic)
        .bind(slot.partition)
        .fetch_one(&mut *connection)
        .await?;
        *count = end - *count;
    }
    let take = |slot: &Slot| {
        let next = next.entry(*slot).or_default();
        *next += 1;
        *next - 1
    };
    Ok(slots.iter().map(take).collect())
}

struct Row<'a> {
    output: &'a Output,
    slot: Slot,
    offset: i64,
}

/// Statements for so many rows at once, the largest first; all are prepared once for each connection.
static INSERTS: LazyLock<[(usize, String); 3]> = LazyLock::new(|| [64, 8, 1].map(|rows| (rows, insert_of(rows))));

fn insert_of(rows: usize) -> String {
    let mut sql =
        "insert into records (topic_id, partition, offset, timestamp_ms, key, value, headers) values ".to_owned();
    for row in 0..rows {
        let comma = if row == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(sql, "{comma}(?, ?, ?, ?, ?, ?, ?)");
    }
    sql
}

async fn insert(connection: &mut SqliteConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    let timestamp_ms = now_ms();
    let mut rest = rows;
    for (size, sql) in INSERTS.iter() {
        while let Some((rows, behind)) = rest.split_at_checked(*size) {
            rest = behind;
            let mut query = sqlx::query(sql.as_str());
            for Row { output, slot, offset } in rows {
                query = query
                    .bind(slot.topic)
                    .bind(slot.partition)
                    .bind(offset)
                    .bind(timestamp_ms)
                    .bind(output.key.as_deref())
                    .bind(output.value.as_deref())
                    .bind(headers::encode(&output.headers));
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

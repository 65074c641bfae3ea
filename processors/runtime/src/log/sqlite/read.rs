//! Reading records, and the bounds of partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqlitePool;

use super::assign::Slot;
use super::headers;
use crate::record::Record;

/// How much is read at once, at most; a single larger record is a chunk of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes.
    pub bytes: usize,
}

/// The lowest offset that is kept, and the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The lowest.
    pub low: i64,
    /// The end.
    pub end: i64,
}

/// The bounds of one slot.
pub(super) async fn bounds(readers: &SqlitePool, slot: Slot) -> Result<Bounds, sqlx::Error> {
    let (low, end) = sqlx::query_as("select low, next_offset from partitions where topic_id = ? and partition = ?")
        .bind(slot.topic)
        .bind(slot.partition)
        .fetch_one(readers)
        .await?;
    Ok(Bounds { low, end })
}

/// Records of a slot.
pub(super) struct Chunk {
    /// In the order of their offsets.
    pub records: Vec<Record>,
    /// Where to read on: behind the last record, or at the end of what was asked for.
    pub next: i64,
}

type Row = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<u8>);

/// The records of `slot` in `from..end`, as many as the limits let through, and one at least.
pub(super) async fn chunk(
    readers: &SqlitePool,
    slot: Slot,
    from: i64,
    end: i64,
    limits: Limits,
) -> Result<Chunk, sqlx::Error> {
    let mut rows = sqlx::query_as::<_, Row>(
        "select offset, timestamp_ms, key, value, headers from records
         where topic_id = ? and partition = ? and offset >= ? and offset < ? order by offset",
    )
    .bind(slot.topic)
    .bind(slot.partition)
    .bind(from)
    .bind(end)
    .fetch(readers);
    let mut chunk = Chunk { records: Vec::new(), next: end };
    let mut size_bytes = 0;
    while let Some(row) = rows.try_next().await? {
        let record = record_of(row)?;
        size_bytes += record.size_bytes();
        let next = record.offset + 1;
        chunk.records.push(record);
        if size_bytes >= limits.bytes || chunk.records.len() >= limits.records {
            chunk.next = next;
            break;
        }
    }
    Ok(chunk)
}

fn record_of((offset, timestamp_ms, key, value, blob): Row) -> Result<Record, sqlx::Error> {
    let headers = headers::decode(blob).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Record { offset, timestamp_ms, key: key.map(Bytes::from), value: value.map(Bytes::from), headers })
}

/// What a member looks at whenever something was committed: its group's generation, and its topics' bounds.
pub(super) struct Glance {
    sql: Arc<str>,
    group: Arc<str>,
}

impl Glance {
    /// For a group and the ids of its topics.
    pub(super) fn new(group: Arc<str>, topics: &[i64]) -> Self {
        let ids: Vec<String> = topics.iter().map(i64::to_string).collect();
        let sql = format!(
            "select coalesce((select generation from groups where name = ?), 0), topic_id, partition, low, next_offset
             from partitions where topic_id in ({})",
            ids.join(", ")
        );
        Self { sql: sql.into(), group }
    }

    /// The generation and all bounds, of one moment.
    pub(super) async fn take(&self, readers: &SqlitePool) -> Result<(i64, BTreeMap<Slot, Bounds>), sqlx::Error> {
        let rows: Vec<(i64, i64, i32, i64, i64)> =
            sqlx::query_as(AssertSqlSafe(Arc::clone(&self.sql))).bind(self.group.as_ref()).fetch_all(readers).await?;
        let generation = rows.first().map_or(0, |row| row.0);
        let bounds = |(_, topic, partition, low, end)| (Slot { partition, topic }, Bounds { low, end });
        Ok((generation, rows.into_iter().map(bounds).collect()))
    }
}

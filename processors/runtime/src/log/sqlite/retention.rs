//! Retention: what is too old goes, and what a newer record of the same key replaced.

use std::time::Duration;

use super::assign::Slot;
use super::store::Store;
use crate::moment::now_ms;

/// So many records go in one transaction: commits wait behind it for some milliseconds at most.
const SLICE_RECORDS: i64 = 2_000;
/// Between two slices others have their turn.
const BREATH: Duration = Duration::from_millis(5);

struct Partition {
    slot: Slot,
    low: i64,
    next_offset: i64,
    retention_ms: Option<i64>,
    compacted: bool,
}

/// Deletes what every topic's settings do not keep; returns how many records that were.
pub(super) async fn enforce(store: &Store) -> Result<u64, sqlx::Error> {
    let rows: Vec<(i64, i32, i64, i64, Option<i64>, bool)> = sqlx::query_as(
        "select t.id, p.partition, p.low, p.next_offset, t.retention_ms, t.compacted
         from topics t join partitions p on p.topic_id = t.id",
    )
    .fetch_all(store.readers())
    .await?;
    let mut deleted = 0;
    for (topic, partition, low, next_offset, retention_ms, compacted) in rows {
        let partition = Partition { slot: Slot { partition, topic }, low, next_offset, retention_ms, compacted };
        deleted += expire(store, &partition).await?;
        deleted += compact(store, &partition).await?;
    }
    Ok(deleted)
}

/// As in Kafka, the age of a record that comes later does not bring the ones before it down: all below the
/// first record that is young enough go.
async fn expire(store: &Store, partition: &Partition) -> Result<u64, sqlx::Error> {
    let Some(retention_ms) = partition.retention_ms else { return Ok(0) };
    let slot = partition.slot;
    let first_kept: Option<(i64,)> = sqlx::query_as(
        "select offset from records where topic_id = ? and partition = ? and timestamp_ms >= ? order by offset limit 1",
    )
    .bind(slot.topic)
    .bind(slot.partition)
    .bind(now_ms().saturating_sub(retention_ms))
    .fetch_optional(store.readers())
    .await?;
    let end = first_kept.map_or(partition.next_offset, |(offset,)| offset);
    let mut low = partition.low;
    let mut deleted = 0;
    while low < end {
        low = end.min(low + SLICE_RECORDS);
        let mut transaction = store.begin().await?;
        deleted += sqlx::query("delete from records where topic_id = ? and partition = ? and offset < ?")
            .bind(slot.topic)
            .bind(slot.partition)
            .bind(low)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        sqlx::query("update partitions set low = max(low, ?) where topic_id = ? and partition = ?")
            .bind(low)
            .bind(slot.topic)
            .bind(slot.partition)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        tokio::time::sleep(BREATH).await;
    }
    Ok(deleted)
}

/// Offsets stay as they are, and so does the low one: readers step over the gaps.
async fn compact(store: &Store, partition: &Partition) -> Result<u64, sqlx::Error> {
    if !partition.compacted {
        return Ok(0);
    }
    let slot = partition.slot;
    let replaced: Vec<(i64,)> = sqlx::query_as(
        "select offset from
         (select offset, row_number() over (partition by key order by offset desc) as age from records
          where topic_id = ? and partition = ? and key is not null)
         where age > 1",
    )
    .bind(slot.topic)
    .bind(slot.partition)
    .fetch_all(store.readers())
    .await?;
    let mut deleted = 0;
    for slice in replaced.chunks(SLICE_RECORDS as usize) {
        let mut transaction = store.begin().await?;
        for (offset,) in slice {
            deleted += sqlx::query("delete from records where topic_id = ? and partition = ? and offset = ?")
                .bind(slot.topic)
                .bind(slot.partition)
                .bind(offset)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        }
        transaction.commit().await?;
        tokio::time::sleep(BREATH).await;
    }
    Ok(deleted)
}

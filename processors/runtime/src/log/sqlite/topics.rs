//! Topics, and what can be asked of them without a group.

use std::sync::Arc;

use super::assign::Slot;
use super::read::{self, Bounds, Limits};
use super::store::Store;
use crate::log::{LogError, NewTopic, PartitionLag, TopicState};
use crate::moment::whole_ms;
use crate::record::{Record, TopicPartition};

/// All topics, by name.
pub(super) async fn list(store: &Store) -> Result<Vec<TopicState>, sqlx::Error> {
    let rows: Vec<(String, i32)> =
        sqlx::query_as("select name, partitions from topics order by name").fetch_all(store.readers()).await?;
    Ok(rows.into_iter().map(|(name, partitions)| TopicState { name, partitions }).collect())
}

/// Creates a topic. One that exists takes the new settings, save the number of its partitions.
pub(super) async fn create(store: &Store, topic: &NewTopic) -> Result<(), LogError> {
    if topic.partitions < 1 {
        return Err(LogError::Refused(format!(
            "topic {} needs a partition, and {} are asked for",
            topic.name, topic.partitions
        )));
    }
    let partitions = upsert(store, topic).await.map_err(|error| store.log_error(&error))?;
    if partitions != topic.partitions {
        return Err(LogError::Refused(format!(
            "topic {} has {partitions} partitions and not {}; with another number its keys would move to other partitions",
            topic.name, topic.partitions
        )));
    }
    Ok(())
}

/// Returns how many partitions the topic has; when that is another number than asked for, nothing was changed.
async fn upsert(store: &Store, topic: &NewTopic) -> Result<i32, sqlx::Error> {
    let mut transaction = store.begin().await?;
    let upserted: Option<(i64,)> = sqlx::query_as(
        "insert into topics (name, partitions, retention_ms, compacted, largest_message_bytes) values (?, ?, ?, ?, ?)
         on conflict do update set retention_ms = excluded.retention_ms, compacted = excluded.compacted,
            largest_message_bytes = excluded.largest_message_bytes where partitions = excluded.partitions
         returning id",
    )
    .bind(&topic.name)
    .bind(topic.partitions)
    .bind(topic.retention.map(whole_ms))
    .bind(topic.compacted)
    .bind(i64::try_from(topic.largest_message_bytes).unwrap_or(i64::MAX))
    .fetch_optional(&mut *transaction)
    .await?;
    let Some((id,)) = upserted else {
        let (partitions,) = sqlx::query_as("select partitions from topics where name = ?")
            .bind(&topic.name)
            .fetch_one(&mut *transaction)
            .await?;
        return Ok(partitions);
    };
    for partition in 0..topic.partitions {
        sqlx::query(
            "insert into partitions (topic_id, partition, low, next_offset) values (?, ?, 0, 0) on conflict do nothing",
        )
        .bind(id)
        .bind(partition)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(topic.partitions)
}

/// How far `group` has come in all partitions of `topics`, in their order.
pub(super) async fn lag(store: &Store, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>, LogError> {
    let mut lags = Vec::new();
    for topic in topics {
        let partitions = lag_of(store, group, topic).await.map_err(|error| store.log_error(&error))?;
        if partitions.is_empty() {
            return Err(LogError::UnknownTopic(topic.clone()));
        }
        lags.extend(partitions);
    }
    Ok(lags)
}

async fn lag_of(store: &Store, group: &str, topic: &str) -> Result<Vec<PartitionLag>, sqlx::Error> {
    let rows: Vec<(i32, i64, i64, Option<i64>, bool)> = sqlx::query_as(
        "select p.partition, p.low, p.next_offset, c.offset, coalesce(c.metadata, '') <> ''
         from topics t join partitions p on p.topic_id = t.id
         left join positions c on c.group_name = ? and c.topic_id = p.topic_id and c.partition = p.partition
         where t.name = ? order by p.partition",
    )
    .bind(group)
    .bind(topic)
    .fetch_all(store.readers())
    .await?;
    let topic: Arc<str> = topic.into();
    let lag = |(partition, low, high, committed, has_map)| PartitionLag {
        partition: TopicPartition { topic: Arc::clone(&topic), partition },
        committed,
        low,
        high,
        has_map,
    };
    Ok(rows.into_iter().map(lag).collect())
}

/// Reads without a group: at most `limit` records from `offset` on.
pub(super) async fn read(
    store: &Store,
    partition: &TopicPartition,
    offset: i64,
    limit: usize,
) -> Result<Vec<Record>, LogError> {
    let unavailable = |error: sqlx::Error| store.log_error(&error);
    let unknown = || LogError::UnknownTopic(partition.to_string());
    let slot = slot_of(store, partition).await.map_err(unavailable)?.ok_or_else(unknown)?;
    let limits = Limits { records: limit, bytes: usize::MAX };
    let mut chunk = read::chunk(store.readers(), slot, offset, i64::MAX, limits).await.map_err(unavailable)?;
    // The bounds only grow. Where the low one, taken behind the records, leaves `offset` in, nothing was missed.
    let Bounds { low, end: high } = read::bounds(store.readers(), slot).await.map_err(unavailable)?;
    if !(low..=high).contains(&offset) {
        return Err(LogError::OffsetOutOfRange { partition: partition.clone(), offset, low, high });
    }
    chunk.records.truncate(limit);
    Ok(chunk.records)
}

/// Where a partition's records are; `None` where there is no such partition.
pub(super) async fn slot_of(store: &Store, partition: &TopicPartition) -> Result<Option<Slot>, sqlx::Error> {
    let row: Option<(i64,)> = sqlx::query_as(
        "select p.topic_id from topics t join partitions p on p.topic_id = t.id where t.name = ? and p.partition = ?",
    )
    .bind(partition.topic.as_ref())
    .bind(partition.partition)
    .fetch_optional(store.readers())
    .await?;
    Ok(row.map(|(topic,)| Slot { partition: partition.partition, topic }))
}

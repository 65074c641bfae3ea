//! What an operator asks of the file, and does to a group in it.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::assign::{MemberId, Slot};
use super::clock::boot_ms;
use super::group::{grow_generation, move_position};
use super::rounds::Lease;
use super::store::Store;
use super::topics::slot_of;
use super::wakes::News;
use crate::log::LogError;
use crate::log::operate::{GroupMember, Move, ResetError, moved};
use crate::record::{Position, TopicPartition};

/// Who is in the group: whoever has shown a sign of life in time.
pub(super) async fn members(store: &Store, group: &str) -> Result<Vec<GroupMember>, LogError> {
    let unavailable = |error: sqlx::Error| store.log_error(&error);
    let mut connection = store.readers().acquire().await.map_err(unavailable)?;
    Ok(living(members_by_id(&mut connection, group).await.map_err(unavailable)?))
}

type Known = BTreeMap<MemberId, (Lease, GroupMember)>;

async fn members_by_id(connection: &mut SqliteConnection, group: &str) -> Result<Known, sqlx::Error> {
    let rows: Vec<(MemberId, String, i64, i64)> = sqlx::query_as(
        "select id, instance, seen_at_ms, timeout_ms from members where group_name = ? order by instance",
    )
    .bind(group)
    .fetch_all(&mut *connection)
    .await?;
    let mut members = Known::new();
    for (id, instance, seen_at_ms, timeout_ms) in rows {
        let partitions: Vec<(String, i32)> = sqlx::query_as(
            "select t.name, o.partition from ownership o join topics t on t.id = o.topic_id where o.member_id = ?
             order by t.name, o.partition",
        )
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
        let partitions = partitions.into_iter().map(|(topic, number)| TopicPartition::new(topic, number)).collect();
        let member = GroupMember { instance, host: String::new(), partitions };
        members.insert(id, (Lease { seen_at_ms, timeout_ms }, member));
    }
    Ok(members)
}

fn living(members: Known) -> Vec<GroupMember> {
    let now_ms = boot_ms();
    members.into_values().filter(|(lease, _)| lease.holds(now_ms)).map(|(_, member)| member).collect()
}

/// The first record of each partition that is young enough, or the partition's end.
pub(super) async fn offsets_at(
    store: &Store,
    partitions: &[TopicPartition],
    time_ms: i64,
) -> Result<Vec<i64>, LogError> {
    let mut offsets = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let slot = known_slot(store, partition).await?;
        let row: Result<(i64,), _> = sqlx::query_as(
            "select coalesce((select offset from records where topic_id = ?1 and partition = ?2 and timestamp_ms >= ?3
                              order by offset limit 1), next_offset)
             from partitions where topic_id = ?1 and partition = ?2",
        )
        .bind(slot.topic)
        .bind(slot.partition)
        .bind(time_ms)
        .fetch_one(store.readers())
        .await;
        offsets.push(row.map_err(|error| store.log_error(&error))?.0);
    }
    Ok(offsets)
}

/// When the first record at or above each place was written.
pub(super) async fn written_at(store: &Store, places: &[(TopicPartition, i64)]) -> Result<Vec<Option<i64>>, LogError> {
    let mut times = Vec::with_capacity(places.len());
    for (partition, offset) in places {
        let slot = known_slot(store, partition).await?;
        let row: Result<Option<(i64,)>, _> = sqlx::query_as(
            "select timestamp_ms from records where topic_id = ? and partition = ? and offset >= ?
             order by offset limit 1",
        )
        .bind(slot.topic)
        .bind(slot.partition)
        .bind(offset)
        .fetch_optional(store.readers())
        .await;
        times.push(row.map_err(|error| store.log_error(&error))?.map(|(time_ms,)| time_ms));
    }
    Ok(times)
}

async fn known_slot(store: &Store, partition: &TopicPartition) -> Result<Slot, LogError> {
    let slot = slot_of(store, partition).await.map_err(|error| store.log_error(&error))?;
    slot.ok_or_else(|| LogError::UnknownTopic(partition.to_string()))
}

/// Moves the positions of a group without members, in one transaction.
pub(super) async fn reset(store: &Store, group: &str, moves: &[Move]) -> Result<(), ResetError> {
    let unavailable = |error: sqlx::Error| store.log_error(&error);
    let mut slots = Vec::with_capacity(moves.len());
    for step in moves {
        slots.push(known_slot(store, &step.partition).await?);
    }
    let mut transaction = store.begin().await.map_err(unavailable)?;
    let members = members_by_id(&mut transaction, group).await.map_err(unavailable)?;
    let silent: Vec<MemberId> = members.keys().copied().collect();
    let members = living(members);
    if !members.is_empty() {
        return Err(ResetError::HasMembers { group: group.to_owned(), members });
    }
    let mut found = Vec::with_capacity(moves.len());
    for slot in &slots {
        found.push(position(&mut transaction, group, *slot).await.map_err(unavailable)?);
    }
    if let Some(stale) = moved(moves, &found) {
        return Err(stale);
    }
    // Whoever was silent for too long may only be stopped. When it wakes it is not to commit over this.
    for member in silent {
        give_up(&mut transaction, member).await.map_err(unavailable)?;
    }
    for (slot, step) in slots.into_iter().zip(moves) {
        let position = Position { partition: step.partition.clone(), offset: step.to, metadata: String::new() };
        move_position(&mut transaction, group, slot, &position).await.map_err(unavailable)?;
    }
    grow_generation(&mut transaction, group).await.map_err(unavailable)?;
    transaction.commit().await.map_err(unavailable)?;
    store.wakes().tell(&News::Group(group));
    Ok(())
}

async fn position(connection: &mut SqliteConnection, group: &str, slot: Slot) -> Result<Option<i64>, sqlx::Error> {
    let row: Option<(i64,)> =
        sqlx::query_as("select offset from positions where group_name = ? and topic_id = ? and partition = ?")
            .bind(group)
            .bind(slot.topic)
            .bind(slot.partition)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(|(offset,)| offset))
}

async fn give_up(connection: &mut SqliteConnection, member: MemberId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from members where id = ?").bind(member).execute(connection).await.map(drop)
}

/// What the file is.
pub(super) async fn about(store: &Store) -> Result<String, LogError> {
    let row: Result<(String, i64), _> = sqlx::query_as(
        "select sqlite_version(), (select page_count * page_size from pragma_page_count, pragma_page_size)",
    )
    .fetch_one(store.readers())
    .await;
    let (version, size_bytes) = row.map_err(|error| store.log_error(&error))?;
    Ok(format!("embedded log {}, {} MiB, SQLite {version}", store.file().display(), size_bytes >> 20))
}

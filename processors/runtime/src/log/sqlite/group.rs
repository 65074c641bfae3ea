//! Groups in the tables: joining, rounds, commits, leaving; each is one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqliteConnection;

use super::assign::{MemberId, Slot};
use super::clock::boot_ms;
use super::read::Bounds;
use super::rounds::{Group, Holding, Lease, LetGo, Moves};
use super::store::Store;
use super::wakes::News;
use super::write;
use crate::log::{Commit, CommitError, LogError, Membership};
use crate::moment::whole_ms;
use crate::record::{Position, TopicPartition};

/// Who a member is.
#[derive(Debug)]
pub(super) struct Identity {
    /// Its row. When that is gone, the member was fenced.
    pub id: MemberId,
    /// Its group.
    pub group: Arc<str>,
    /// Its name within the group.
    pub instance: String,
    /// The topics that the group shares.
    pub topics: Vec<(i64, Arc<str>)>,
    /// After this long without a round the group gives it up.
    pub session_timeout: Duration,
    /// How long it may keep what was revoked.
    pub drain_deadline: Duration,
}

impl Identity {
    fn slot(&self, partition: &TopicPartition) -> Option<Slot> {
        let (topic, _) = self.topics.iter().find(|(_, name)| *name == partition.topic)?;
        Some(Slot { partition: partition.partition, topic: *topic })
    }

    /// The partition that a slot stands for.
    pub(super) fn partition(&self, slot: Slot) -> Option<TopicPartition> {
        let (_, name) = self.topics.iter().find(|(id, _)| *id == slot.topic)?;
        Some(TopicPartition { topic: Arc::clone(name), partition: slot.partition })
    }
}

/// Why a member cannot go on.
pub(super) enum GroupError {
    /// Its row is gone; says why.
    Fenced(String),
    /// The file does not answer.
    Store(sqlx::Error),
}

impl From<sqlx::Error> for GroupError {
    fn from(error: sqlx::Error) -> Self {
        GroupError::Store(error)
    }
}

/// Makes a member, in the place of an earlier one of the same name.
pub(super) async fn join(store: &Store, membership: Membership) -> Result<Identity, LogError> {
    let unavailable = |error: sqlx::Error| store.log_error(&error);
    let mut transaction = store.begin().await.map_err(unavailable)?;
    let mut topics = Vec::new();
    for name in &membership.topics {
        let id = topic_id(&mut transaction, name).await.map_err(unavailable)?;
        topics.push((id.ok_or_else(|| LogError::UnknownTopic(name.clone()))?, Arc::from(name.as_str())));
    }
    topics.sort();
    let others = members_with_other_topics(&mut transaction, &membership, &topics_text(&topics)).await;
    if let Some((other, theirs)) = others.map_err(unavailable)?.first() {
        return Err(LogError::Refused(format!(
            "{other} of group {} reads {theirs}, and this member would read {}; stop the other one first",
            membership.group,
            topics_text(&topics)
        )));
    }
    let id = replace_member(&mut transaction, &membership, &topics_text(&topics)).await.map_err(unavailable)?;
    transaction.commit().await.map_err(unavailable)?;
    store.wakes().tell(&News::Group(&membership.group));
    let Membership { group, instance, session_timeout, drain_deadline, .. } = membership;
    Ok(Identity { id, group: group.into(), instance, topics, session_timeout, drain_deadline })
}

async fn topic_id(connection: &mut SqliteConnection, name: &str) -> Result<Option<i64>, sqlx::Error> {
    let row: Option<(i64,)> =
        sqlx::query_as("select id from topics where name = ?").bind(name).fetch_optional(connection).await?;
    Ok(row.map(|(id,)| id))
}

fn topics_text(topics: &[(i64, Arc<str>)]) -> String {
    let names: Vec<&str> = topics.iter().map(|(_, name)| name.as_ref()).collect();
    names.join(", ")
}

/// All members of a group work out the same assignment, and so must read the same topics.
async fn members_with_other_topics(
    connection: &mut SqliteConnection,
    membership: &Membership,
    topics: &str,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let others: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "select instance, topics, seen_at_ms, timeout_ms from members
         where group_name = ? and instance <> ? and topics <> ?",
    )
    .bind(&membership.group)
    .bind(&membership.instance)
    .bind(topics)
    .fetch_all(connection)
    .await?;
    let now_ms = boot_ms();
    let living = others.into_iter().filter(|(_, _, seen_at_ms, timeout_ms)| {
        Lease { seen_at_ms: *seen_at_ms, timeout_ms: *timeout_ms }.holds(now_ms)
    });
    Ok(living.map(|(instance, theirs, ..)| (instance, theirs)).collect())
}

async fn replace_member(
    connection: &mut SqliteConnection,
    membership: &Membership,
    topics: &str,
) -> Result<MemberId, sqlx::Error> {
    let Membership { group, instance, session_timeout, .. } = membership;
    sqlx::query("delete from members where group_name = ? and instance = ?")
        .bind(group)
        .bind(instance)
        .execute(&mut *connection)
        .await?;
    let (id,) = sqlx::query_as(
        "insert into members (group_name, instance, topics, seen_at_ms, timeout_ms) values (?, ?, ?, ?, ?) returning id",
    )
    .bind(group)
    .bind(instance)
    .bind(topics)
    .bind(boot_ms())
    .bind(whole_ms(*session_timeout))
    .fetch_one(&mut *connection)
    .await?;
    grow_generation(connection, group).await?;
    Ok(id)
}

/// The group's members see that something has changed.
pub(super) async fn grow_generation(connection: &mut SqliteConnection, group: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into groups (name, generation) values (?, 1) on conflict do update set generation = generation + 1",
    )
    .bind(group)
    .execute(connection)
    .await?;
    Ok(())
}

/// What a member has after a round.
pub(super) struct Standing {
    /// The group's generation; when it grows, the next round is due.
    pub generation: i64,
    /// What the member holds.
    pub held: BTreeMap<Slot, Held>,
}

/// A slot that the member holds.
pub(super) struct Held {
    /// Until when, where it is to give it back.
    pub revoke_by_ms: Option<i64>,
    /// What the partition has.
    pub bounds: Bounds,
    /// The group's position and its metadata, if it ever committed one.
    pub committed: Option<(i64, String)>,
}

/// One round of the group's protocol, and the sign of life.
pub(super) async fn round(store: &Store, me: &Identity, let_go: &BTreeSet<LetGo>) -> Result<Standing, GroupError> {
    let mut transaction = store.begin().await?;
    let now_ms = boot_ms();
    let group = load(&mut transaction, me).await?;
    let Some(moves) = group.moves(me.id, let_go, now_ms) else {
        return Err(GroupError::Fenced(why_fenced(&mut transaction, me).await?));
    };
    sqlx::query("update members set seen_at_ms = ? where id = ?")
        .bind(now_ms)
        .bind(me.id)
        .execute(&mut *transaction)
        .await?;
    let moved = !moves.is_empty();
    if moved {
        apply(&mut transaction, me, &moves, now_ms).await?;
        grow_generation(&mut transaction, &me.group).await?;
    }
    let standing = standing(&mut transaction, me).await?;
    transaction.commit().await?;
    if moved {
        store.wakes().tell(&News::Group(&me.group));
    }
    Ok(standing)
}

async fn load(connection: &mut SqliteConnection, me: &Identity) -> Result<Group, sqlx::Error> {
    let members: Vec<(MemberId, i64, i64)> =
        sqlx::query_as("select id, seen_at_ms, timeout_ms from members where group_name = ?")
            .bind(me.group.as_ref())
            .fetch_all(&mut *connection)
            .await?;
    let lease = |(id, seen_at_ms, timeout_ms)| (id, Lease { seen_at_ms, timeout_ms });
    let mut group = Group { members: members.into_iter().map(lease).collect(), slots: BTreeMap::new() };
    for (topic, _) in &me.topics {
        let holdings: Vec<(i32, Option<MemberId>, Option<i64>)> = sqlx::query_as(
            "select p.partition, o.member_id, o.revoke_by_ms from partitions p left join ownership o
             on o.group_name = ? and o.topic_id = p.topic_id and o.partition = p.partition where p.topic_id = ?",
        )
        .bind(me.group.as_ref())
        .bind(topic)
        .fetch_all(&mut *connection)
        .await?;
        let slot = |(partition, owner, revoke_by_ms): (i32, Option<MemberId>, Option<i64>)| {
            (Slot { partition, topic: *topic }, owner.map(|owner| Holding { owner, revoke_by_ms }))
        };
        group.slots.extend(holdings.into_iter().map(slot));
    }
    Ok(group)
}

async fn apply(
    connection: &mut SqliteConnection,
    me: &Identity,
    moves: &Moves,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let group = me.group.as_ref();
    for member in &moves.expired {
        tracing::warn!(group, member, "a member gave no sign of life; its partitions go to others");
        sqlx::query("delete from members where id = ?").bind(member).execute(&mut *connection).await?;
    }
    for slot in &moves.freed {
        sqlx::query("delete from ownership where group_name = ? and topic_id = ? and partition = ?")
            .bind(group)
            .bind(slot.topic)
            .bind(slot.partition)
            .execute(&mut *connection)
            .await?;
    }
    for slot in &moves.revoked {
        sqlx::query("update ownership set revoke_by_ms = ? where group_name = ? and topic_id = ? and partition = ?")
            .bind(now_ms.saturating_add(whole_ms(me.drain_deadline)))
            .bind(group)
            .bind(slot.topic)
            .bind(slot.partition)
            .execute(&mut *connection)
            .await?;
    }
    for slot in &moves.taken {
        sqlx::query("insert into ownership (group_name, topic_id, partition, member_id) values (?, ?, ?, ?)")
            .bind(group)
            .bind(slot.topic)
            .bind(slot.partition)
            .bind(me.id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

type HeldRow = (i64, i32, Option<i64>, i64, i64, Option<i64>, Option<String>);

async fn standing(connection: &mut SqliteConnection, me: &Identity) -> Result<Standing, sqlx::Error> {
    let (generation,) = sqlx::query_as("select generation from groups where name = ?")
        .bind(me.group.as_ref())
        .fetch_one(&mut *connection)
        .await?;
    let rows: Vec<HeldRow> = sqlx::query_as(
        "select topic_id, partition, o.revoke_by_ms, p.low, p.next_offset, c.offset, c.metadata
         from ownership o join partitions p using (topic_id, partition)
         left join positions c using (group_name, topic_id, partition) where o.member_id = ?",
    )
    .bind(me.id)
    .fetch_all(connection)
    .await?;
    let held = |(topic, partition, revoke_by_ms, low, end, offset, metadata): HeldRow| {
        let held = Held { revoke_by_ms, bounds: Bounds { low, end }, committed: offset.zip(metadata) };
        (Slot { partition, topic }, held)
    };
    Ok(Standing { generation, held: rows.into_iter().map(held).collect() })
}

async fn why_fenced(connection: &mut SqliteConnection, me: &Identity) -> Result<String, sqlx::Error> {
    let successor: Option<(i64,)> = sqlx::query_as("select id from members where group_name = ? and instance = ?")
        .bind(me.group.as_ref())
        .bind(&me.instance)
        .fetch_optional(connection)
        .await?;
    let Identity { group, instance, session_timeout, .. } = me;
    Ok(match successor {
        Some(_) => format!("another member has joined group {group} as {instance}"),
        None => format!("group {group} gave {instance} up: no sign of life for {} ms", session_timeout.as_millis()),
    })
}

/// Writes outputs and positions, when all the positions are the member's to move.
pub(super) async fn commit(store: &Store, me: &Identity, commit: &Commit) -> Result<(), CommitError> {
    let unavailable = |error: sqlx::Error| CommitError::Unavailable(store.explain(&error));
    let mut transaction = store.begin().await.map_err(unavailable)?;
    if !exists(&mut transaction, me).await.map_err(unavailable)? {
        return Err(CommitError::Fenced(why_fenced(&mut transaction, me).await.map_err(unavailable)?));
    }
    let owned = owned(&mut transaction, me).await.map_err(unavailable)?;
    let own = |position: &Position| {
        let slot = me.slot(&position.partition).filter(|slot| owned.contains(slot));
        slot.ok_or_else(|| CommitError::Revoked(format!("{} is not {}'s any more", position.partition, me.instance)))
    };
    let slots: Vec<Slot> = commit.positions.iter().map(own).collect::<Result<_, _>>()?;
    let topics =
        write::write(&mut transaction, &commit.outputs).await.map_err(|error| error.into_commit_error(store))?;
    for (slot, position) in slots.into_iter().zip(&commit.positions) {
        move_position(&mut transaction, &me.group, slot, position).await.map_err(unavailable)?;
    }
    transaction.commit().await.map_err(unavailable)?;
    store.wakes().tell(&News::Records(&topics));
    Ok(())
}

async fn exists(connection: &mut SqliteConnection, me: &Identity) -> Result<bool, sqlx::Error> {
    let row: Option<(i64,)> =
        sqlx::query_as("select id from members where id = ?").bind(me.id).fetch_optional(connection).await?;
    Ok(row.is_some())
}

async fn owned(connection: &mut SqliteConnection, me: &Identity) -> Result<BTreeSet<Slot>, sqlx::Error> {
    let owned: Vec<(i64, i32)> = sqlx::query_as(
        "select topic_id, partition from ownership where member_id = ? and (revoke_by_ms is null or revoke_by_ms >= ?)",
    )
    .bind(me.id)
    .bind(boot_ms())
    .fetch_all(connection)
    .await?;
    Ok(owned.into_iter().map(|(topic, partition)| Slot { partition, topic }).collect())
}

/// Writes a position of the group.
pub(super) async fn move_position(
    connection: &mut SqliteConnection,
    group: &str,
    slot: Slot,
    position: &Position,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into positions (group_name, topic_id, partition, offset, metadata) values (?, ?, ?, ?, ?)
         on conflict do update set offset = excluded.offset, metadata = excluded.metadata",
    )
    .bind(group)
    .bind(slot.topic)
    .bind(slot.partition)
    .bind(position.offset)
    .bind(position.metadata.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the member out, so that others have its partitions at once.
pub(super) async fn leave(store: &Store, me: &Identity) -> Result<(), sqlx::Error> {
    let mut transaction = store.begin().await?;
    sqlx::query("delete from members where id = ?").bind(me.id).execute(&mut *transaction).await?;
    grow_generation(&mut transaction, &me.group).await?;
    transaction.commit().await?;
    store.wakes().tell(&News::Group(&me.group));
    Ok(())
}

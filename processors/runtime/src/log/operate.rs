//! What an operator may ask of a log, and may do to a group that nobody is in.
//!
//! A group's positions are its members' to move, with one exception: [`Operate::reset`], which the log itself
//! refuses while the group has members. So no reset can meet a commit, whoever joins in the same moment.

use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

use super::{Log, LogError};
use crate::record::TopicPartition;

/// A log, as its operator has it.
#[async_trait]
pub trait Operate: Log {
    /// Who is in the group, by name; nobody in a group that never was.
    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, LogError>;

    /// For each of the partitions the offset of its first record that was written at `time_ms` or later, in
    /// milliseconds since 1970; its end where there is none.
    ///
    /// Offsets lie as far apart as they do in the log: on Kafka the marker at the end of each transaction takes one,
    /// too, and so do the records of one that was aborted. The difference of two offsets is the number of records
    /// between them at most.
    async fn offsets_at(&self, partitions: &[TopicPartition], time_ms: i64) -> Result<Vec<i64>, LogError>;

    /// For each of the places when the first record at its offset or above was written, in milliseconds since
    /// 1970; `None` where there is none yet. Each partition stands there once.
    async fn written_at(&self, places: &[(TopicPartition, i64)]) -> Result<Vec<Option<i64>>, LogError>;

    /// The partitions of these topics whose readers wait behind a transaction: what lies behind it is not committed for
    /// them yet. Each transaction holds them for a moment; one that goes on doing so has lost its owner.
    async fn held(&self, topics: &[String]) -> Result<Vec<Held>, LogError>;

    /// Moves an empty group's positions, all of them or none, and forgets what was finished above them. Refused
    /// while the group has members, and when a position is no longer where its move begins.
    async fn reset(&self, group: &str, moves: &[Move]) -> Result<(), ResetError>;

    /// What this log is, in a few words for a person.
    async fn about(&self) -> Result<String, LogError>;
}

/// Somebody who is in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupMember {
    /// The name that it joined under.
    pub instance: String,
    /// Where its connection comes from; empty where there is none.
    pub host: String,
    /// What it has.
    pub partitions: Vec<TopicPartition>,
}

impl fmt::Display for GroupMember {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.instance)?;
        if self.host.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.host) }
    }
}

/// A partition whose readers wait behind a transaction that is neither committed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The partition.
    pub partition: TopicPartition,
    /// Where readers stop: the transaction's first offset there.
    pub stable: i64,
    /// The partition's end.
    pub high: i64,
    /// When its first record was written, in milliseconds since 1970; `None` where it is just ending.
    pub since_ms: Option<i64>,
}

/// A position to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The partition.
    pub partition: TopicPartition,
    /// Where the group is, as far as the operator knows; `None` where it never committed.
    pub from: Option<i64>,
    /// The next offset that it shall read.
    pub to: i64,
}

/// Why positions were not moved. None of them was, but for [`ResetError::Unconfirmed`].
#[derive(Debug, Error)]
pub enum ResetError {
    /// Somebody is in the group.
    #[error("group {group} has members: {}", listed(.members))]
    HasMembers {
        /// The group.
        group: String,
        /// Who; empty when they came and went in this moment.
        members: Vec<GroupMember>,
    },
    /// The group has moved since it was looked at.
    #[error("{partition} is at {} and no longer at {}", offset(.found), offset(.expected))]
    Moved {
        /// The partition.
        partition: TopicPartition,
        /// Where the move begins.
        expected: Option<i64>,
        /// Where the group is.
        found: Option<i64>,
    },
    /// The log took the positions, and shows another one now.
    #[error("{partition} was put to {put} and reads {}", offset(.found))]
    Unconfirmed {
        /// The partition.
        partition: TopicPartition,
        /// What was written.
        put: i64,
        /// What is there.
        found: Option<i64>,
    },
    /// The log was told to move the group, and then could not be asked where it is.
    #[error("where the group is now cannot be read: {0}")]
    Unread(LogError),
    /// The log cannot do it, or not just now. Nothing was moved.
    #[error(transparent)]
    Log(#[from] LogError),
}

fn offset(offset: &Option<i64>) -> String {
    offset.map_or_else(|| "no offset".to_owned(), |offset| offset.to_string())
}

fn listed(members: &[GroupMember]) -> String {
    if members.is_empty() {
        return "they are just coming or going".to_owned();
    }
    members.iter().map(GroupMember::to_string).collect::<Vec<_>>().join(", ")
}

/// The first move that does not begin where the group is; `found` says where that is, move by move.
pub(super) fn moved(moves: &[Move], found: &[Option<i64>]) -> Option<ResetError> {
    let stale = moves.iter().zip(found).find(|(step, found)| step.from != **found);
    stale.map(|(Move { partition, from, .. }, found)| ResetError::Moved {
        partition: partition.clone(),
        expected: *from,
        found: *found,
    })
}

//! The log between the stages: the port, cut for Kafka's semantics, and its two adapters.
//!
//! A [`Log`] is joined by a member of a group, which gets a [`Session`]: events come out of it, and commits go
//! in. The session's events and the member's commits follow these rules, on both adapters:
//!
//! - Records of a partition come in the order of their offsets, from the position in its [`Event::Assigned`].
//! - Only committed records are seen, and those of one commit become visible together.
//! - A commit writes outputs and positions all together or not at all. One that names a partition which the
//!   member no longer owns is refused as a whole.
//! - A second member under the same group and instance name fences the first: its commits fail from then on.
//! - A revoked partition stays the member's until it lets the [`Revocation`] go or the deadline passes.
//! - The events' channel is bounded. When the reader is slow, the adapter pauses partitions and keeps its
//!   membership; it never blocks its polling.

pub mod kafka;
pub mod operate;
pub mod scan;
pub mod sqlite;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use self::scan::{Scan, Span};
use crate::record::{Output, Position, Record, TopicPartition};

/// A log: topics with partitions, groups with positions.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Joins a group. Events follow once the group has given this member partitions.
    async fn join(&self, membership: Membership) -> Result<Session, LogError>;

    /// Writes records outside any group, all together or not at all.
    async fn append(&self, outputs: Vec<Output>) -> Result<(), LogError>;

    /// The topics that exist.
    async fn topics(&self) -> Result<Vec<TopicState>, LogError>;

    /// Creates a topic.
    async fn create_topic(&self, topic: &NewTopic) -> Result<(), LogError>;

    /// How far `group` has come in every partition of `topics`.
    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>, LogError>;

    /// All that can be read of the topics now: of every partition what it keeps, up to an end below which nothing comes
    /// to be seen later.
    async fn readable(&self, topics: &[String]) -> Result<Vec<Span>, LogError>;

    /// Reads committed records from `offset` on, without a group: at most `limit` of them, fewer at the end.
    async fn read(&self, partition: &TopicPartition, offset: i64, limit: usize) -> Result<Vec<Record>, LogError>;

    /// Reads the committed records of these spans, one a partition, without a group, however many they are: those
    /// of a partition come in the order of their offsets, and no faster than they are taken. What retention has
    /// deleted is passed over. A span that goes beyond its partition's end, ends there.
    async fn scan(&self, spans: Vec<Span>) -> Result<Scan, LogError>;
}

/// Who joins.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The group: a stage's name.
    pub group: String,
    /// Stable name of this member within the group; a later one of the same name fences an earlier one.
    pub instance: String,
    /// The topics to share among the group's members.
    pub topics: Vec<String>,
    /// After this long without a sign of life the group gives a member's partitions to others.
    pub session_timeout: Duration,
    /// How long a revoked partition may take to drain; shorter than the session timeout.
    pub drain_deadline: Duration,
}

/// A membership in a group.
pub struct Session {
    /// What happens, in order. Closed after [`Event::Fenced`] or when the member has left.
    pub events: mpsc::Receiver<Event>,
    /// The other direction.
    pub member: Arc<dyn Member>,
}

/// What happens to a member.
#[derive(Debug)]
pub enum Event {
    /// These partitions are the member's now; records come from the position's offset on.
    Assigned(Vec<Position>),
    /// These are to be given back: finish or drop what is in flight, commit, then let go.
    Revoked(Revocation),
    /// Records of one partition, in the order of their offsets.
    Records {
        /// The partition.
        partition: TopicPartition,
        /// Never empty.
        records: Vec<Record>,
    },
    /// Everything that is committed in the partition was delivered. `offset` is the partition's end, markers
    /// included: the offset to commit for a lag of zero.
    EndOfPartition {
        /// The partition.
        partition: TopicPartition,
        /// Its end.
        offset: i64,
    },
    /// Another member took this one's name, or the group gave it up: stop. Nothing more can be committed.
    Fenced(String),
    /// The log cannot be reached just now; it goes on by itself.
    Unavailable(String),
}

/// Partitions to be given back. Dropping it lets them go.
#[derive(Debug)]
pub struct Revocation {
    /// Which.
    pub partitions: Vec<TopicPartition>,
    /// Until when commits for them are taken. Already past when they were lost without warning.
    pub deadline: Instant,
    /// Let go when this is dropped.
    _release: oneshot::Sender<()>,
}

impl Revocation {
    /// A revocation, and what resolves once it was let go.
    pub fn new(partitions: Vec<TopicPartition>, deadline: Instant) -> (Self, oneshot::Receiver<()>) {
        let (release, released) = oneshot::channel();
        (Self { partitions, deadline, _release: release }, released)
    }
}

/// A member of a group.
#[async_trait]
pub trait Member: Send + Sync + 'static {
    /// Stops the intake of these partitions; records already in the channel still come.
    fn pause(&self, partitions: &[TopicPartition]);

    /// Takes it up again where it stopped.
    fn resume(&self, partitions: &[TopicPartition]);

    /// Writes all of it or nothing. One at a time.
    async fn commit(&self, commit: Arc<Commit>) -> Result<(), CommitError>;

    /// Leaves the group, so that others have the partitions at once.
    async fn leave(&self);

    /// Whether the group has taken this member in, be it with or without partitions.
    fn has_joined(&self) -> bool;

    /// How long ago the log was last polled: the sign of life for the liveness probe.
    fn polled_ago(&self) -> Duration;
}

/// What becomes visible together.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Records to write, dead letters and progress among them.
    pub outputs: Vec<Output>,
    /// Positions to move.
    pub positions: Vec<Position>,
}

/// Why a commit was not written. Nothing of it is visible in any of these.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Some position's partition is not the member's any more; [`Event::Revoked`] says or said which.
    #[error("the group has moved on: {0}")]
    Revoked(String),
    /// The member was fenced.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The log cannot take it just now; try the same again.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// The log will never take this output.
    #[error("output {output} to {topic} is refused: {reason}")]
    Refused {
        /// Its index among the commit's outputs.
        output: usize,
        /// Its topic.
        topic: Arc<str>,
        /// Why, and what to do.
        reason: String,
    },
}

/// Why the log cannot do what was asked.
#[derive(Debug, Error)]
pub enum LogError {
    /// It cannot be reached, or not just now.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// The topic does not exist.
    #[error("there is no topic {0}; `frameline topics apply --execute` creates what is missing")]
    UnknownTopic(String),
    /// The offset is no longer kept, or not there yet.
    #[error("{partition} has no offset {offset}; it has {low} to {high}")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// What was asked for.
        offset: i64,
        /// The lowest there is.
        low: i64,
        /// The end.
        high: i64,
    },
    /// It will not be done as asked.
    #[error("{0}")]
    Refused(String),
}

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many brokers keep each partition; a log of one machine ignores it.
    pub replication: i32,
    /// How long records are kept; `None` for ever.
    pub retention: Option<Duration>,
    /// Whether only the newest record of each key is kept.
    pub compacted: bool,
    /// The largest record, in bytes.
    pub largest_message_bytes: usize,
}

/// How far a group has come in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub partition: TopicPartition,
    /// What the group committed, if it ever did.
    pub committed: Option<i64>,
    /// The lowest offset that is kept.
    pub low: i64,
    /// The end: the offset after the last.
    pub high: i64,
    /// Whether the group remembers records above that, which it has finished and does not do again.
    pub has_map: bool,
}

impl PartitionLag {
    /// The next offset that the group reads: a group that never committed, or fell behind what is kept, begins at
    /// the lowest.
    pub fn position(&self) -> i64 {
        self.committed.unwrap_or(self.low).max(self.low)
    }

    /// Records, and markers, between the group and the end.
    pub fn records(&self) -> i64 {
        (self.high - self.position()).max(0)
    }
}

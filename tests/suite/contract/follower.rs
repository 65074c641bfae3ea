//! A member's events, taken in and remembered, so that a check can wait for what it wants to see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frameline_runtime::log::{Commit, CommitError, Event, Log, Membership, Revocation, Session};
use frameline_runtime::{Output, Position, Record, TopicPartition};

/// Longer than any rebalance on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What a member has seen so far.
pub(super) struct Follower {
    pub(super) session: Session,
    /// What it has, and from where.
    pub(super) held: BTreeMap<TopicPartition, Position>,
    /// What it was told to give back and has not let go.
    pub(super) revoked: Vec<Revocation>,
    /// All records, in the order they came.
    pub(super) records: Vec<(TopicPartition, Record)>,
    /// Every end that was told, in order.
    pub(super) ends: Vec<(TopicPartition, i64)>,
    pub(super) fenced: Option<String>,
    pub(super) unavailable: Option<String>,
    pub(super) closed: bool,
}

impl Follower {
    pub(super) async fn join(log: &Arc<dyn Log>, membership: Membership) -> Self {
        let session = log.join(membership).await.unwrap();
        Self {
            session,
            held: BTreeMap::new(),
            revoked: Vec::new(),
            records: Vec::new(),
            ends: Vec::new(),
            fenced: None,
            unavailable: None,
            closed: false,
        }
    }

    /// Takes events until `done`, or fails, saying what was waited for.
    pub(super) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while !done(self) {
            let event = tokio::time::timeout_at(give_up.into(), self.session.events.recv()).await;
            let Ok(event) = event else {
                panic!("waited in vain for {what}: {self:?}");
            };
            self.take(event);
        }
    }

    /// Takes what has come already, without waiting.
    pub(super) fn catch_up(&mut self) {
        while let Ok(event) = self.session.events.try_recv() {
            self.take(Some(event));
        }
    }

    fn take(&mut self, event: Option<Event>) {
        match event {
            None => {
                assert!(!self.closed, "the events have ended, and something else was waited for: {self:?}");
                self.closed = true;
            }
            Some(Event::Assigned(positions)) => {
                self.held.extend(positions.into_iter().map(|position| (position.partition.clone(), position)));
            }
            Some(Event::Revoked(revocation)) => {
                self.held.retain(|partition, _| !revocation.partitions.contains(partition));
                self.revoked.push(revocation);
            }
            Some(Event::Records { partition, records }) => {
                assert!(!records.is_empty(), "a chunk without records");
                self.records.extend(records.into_iter().map(|record| (partition.clone(), record)));
            }
            Some(Event::EndOfPartition { partition, offset }) => self.ends.push((partition, offset)),
            Some(Event::Fenced(reason)) => self.fenced = Some(reason),
            Some(Event::Unavailable(reason)) => self.unavailable = Some(reason),
        }
    }

    pub(super) async fn commit(&self, outputs: Vec<Output>, positions: Vec<Position>) -> Result<(), CommitError> {
        self.session.member.commit(Arc::new(Commit { outputs, positions })).await
    }

    /// The end of this partition that was told last.
    pub(super) fn end(&self, partition: &TopicPartition) -> Option<i64> {
        self.ends.iter().rev().find(|(other, _)| other == partition).map(|(_, end)| *end)
    }

    /// The values of the records of one partition.
    pub(super) fn values(&self, partition: &TopicPartition) -> Vec<String> {
        self.records.iter().filter(|(other, _)| other == partition).map(|(_, record)| value_of(record)).collect()
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Follower")
            .field("held", &self.held)
            .field("revoked", &self.revoked)
            .field("records", &self.records.len())
            .field("ends", &self.ends)
            .field("fenced", &self.fenced)
            .field("unavailable", &self.unavailable)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// A record's value as text.
pub(super) fn value_of(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap()
}

//! Commits: when one is due, what is in it, and what to do when it is not taken.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::{JoinError, JoinHandle};

use super::outbox::{gather, owner_of, restore};
use super::partitions::Assigned;
use super::spans::Hop;
use super::status::State;
use super::task::{AssignmentId, Ending, Finished, Task};
use super::{Driver, StageError};
use crate::log::{Commit, CommitError};
use crate::record::Position;
use crate::stage::{Failure, Stage};

/// So many records are not worth waiting for more.
const HANDFUL: usize = 64;
/// How long commits of a handful rest, in durations of the last one: a trickle takes a quarter of the time at most.
const REST: u32 = 3;

/// A commit that is under way. One at a time: the next may already be filling up.
pub(super) struct Committing {
    finished: Vec<Finished>,
    bytes: usize,
    /// How many of the commit's outputs each of `finished` has.
    counts: Vec<usize>,
    commit: Arc<Commit>,
    result: JoinHandle<Result<(), CommitError>>,
    started: Instant,
}

impl Committing {
    pub(super) fn records(&self) -> usize {
        self.finished.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Resolves when the commit that is under way has ended; never without one.
pub(super) async fn wait(committing: &mut Option<Committing>) -> Result<Result<(), CommitError>, JoinError> {
    match committing {
        Some(committing) => (&mut committing.result).await,
        None => std::future::pending().await,
    }
}

impl<S: Stage> Driver<S> {
    /// Starts a commit if one is due at `now`; otherwise says when one will be.
    pub(super) fn start_commit(&mut self, now: Instant) -> Option<Instant> {
        if self.committing.is_some() {
            return None;
        }
        if self.outbox.is_empty() && !self.partitions.all().any(Assigned::has_moved) {
            // Nothing waits for a commit that failed.
            self.commit_failures = 0;
            return None;
        }
        let due = self.commit_due(now);
        if due > now {
            return Some(due);
        }
        let bytes = self.outbox.bytes();
        let mut finished = self.outbox.take();
        // What is another's by now, and came back from a commit that failed, is not ours to write: no position of ours
        // would vouch for it.
        finished.retain(|record| self.partitions.get(record.assignment).is_some());
        let mut touched = BTreeSet::new();
        for record in &finished {
            self.partitions.finish(record.assignment, record.offset);
            touched.insert(record.assignment);
        }
        let moved =
            self.partitions.all_with_ids().filter(|(id, assigned)| assigned.has_moved() || touched.contains(id));
        let positions: Vec<Position> = moved.map(|(_, assigned)| assigned.position()).collect();
        if positions.is_empty() {
            return None;
        }
        let (outputs, counts) = gather(&mut finished);
        let commit = Arc::new(Commit { outputs, positions });
        let (member, handed) = (Arc::clone(&self.member), Arc::clone(&commit));
        let result = tokio::spawn(async move { member.commit(handed).await });
        self.committing = Some(Committing { finished, bytes, counts, commit, result, started: now });
        None
    }

    /// Commits are bundled over the interval, unless something waits for them or there is little to bundle.
    fn commit_due(&self, now: Instant) -> Instant {
        if self.commit_failures > 0 {
            return self.next_commit_at;
        }
        let settings = &self.plan.settings;
        let nothing_else = !self.outbox.is_empty() && self.lanes.queued() == 0 && self.working.is_empty();
        let hurry = self.draining_until.is_some()
            || !self.revocations.is_empty()
            || self.outbox.bytes() >= settings.in_flight_bytes / 2
            || self.outbox.len() >= settings.in_flight_records / 2
            || (nothing_else && self.at_end);
        match self.outbox.since().map(|since| since + settings.commit_interval) {
            _ if hurry => now,
            Some(due) if nothing_else && self.outbox.len() <= HANDFUL => due.min(self.commits_rest_until),
            Some(due) => due,
            None => self.next_commit_at,
        }
    }

    pub(super) fn settle_commit(
        &mut self,
        outcome: Result<Result<(), CommitError>, JoinError>,
        now: Instant,
    ) -> Result<(), StageError> {
        let Some(committing) = self.committing.take() else { return Ok(()) };
        let stage = self.stage.name();
        let outcome = outcome.map_err(|error| StageError::Broken { stage, reason: error.to_string() })?;
        let Committing { mut finished, counts, commit, started, .. } = committing;
        let Err(error) = outcome else {
            self.committed(&finished, &commit, started, now);
            return Ok(());
        };
        // Whoever took it has let it go by now; should a copy be left, its outputs are copied.
        restore(&mut finished, Arc::unwrap_or_clone(commit).outputs, &counts);
        self.meters.not_committed(&error);
        let partitions = &self.partitions;
        match error {
            CommitError::Fenced(reason) => return Err(StageError::Fenced { stage, reason }),
            CommitError::Refused { output, topic, reason } => {
                self.replace_refused(&mut finished, owner_of(output, &counts), format!("{topic}: {reason}"))?;
            }
            CommitError::Revoked(reason) => {
                finished.retain(|record| partitions.get(record.assignment).is_some());
                tracing::info!(stage, reason, "commit refused; partitions were given to others");
                self.wait_with_commits(now);
            }
            CommitError::Unavailable(reason) => {
                finished.retain(|record| partitions.get(record.assignment).is_some());
                self.status.enter(State::Paused(format!("the log is unavailable: {reason}")));
                self.wait_with_commits(now);
            }
        }
        self.outbox.put_back(finished, now);
        Ok(())
    }

    fn committed(&mut self, finished: &[Finished], commit: &Commit, started: Instant, now: Instant) {
        for record in finished {
            self.status.count(record.ending);
            if let Some(assigned) = self.partitions.get_mut(record.assignment) {
                assigned.waiting -= 1;
            }
        }
        self.partitions.committed(&commit.positions);
        let took = now.duration_since(started);
        self.meters.committed(finished, took);
        self.commits_rest_until = now + took * REST;
        self.commit_failures = 0;
        self.next_commit_at = now + self.plan.settings.commit_interval;
    }

    fn wait_with_commits(&mut self, now: Instant) {
        self.commit_failures = self.commit_failures.saturating_add(1);
        self.next_commit_at = now + self.backoff.delay(self.commit_failures, fastrand::f64());
    }

    /// The log will never take an output: its record becomes a dead letter instead.
    fn replace_refused(
        &mut self,
        finished: &mut [Finished],
        owner: Option<usize>,
        reason: String,
    ) -> Result<(), StageError> {
        let stage = self.stage.name();
        let Some(record) = owner.and_then(|owner| finished.get_mut(owner)) else {
            return Err(StageError::Broken {
                stage,
                reason: format!("the log refused an output that nobody made: {reason}"),
            });
        };
        let Some(partition) = self.partitions.get(record.assignment).map(|assigned| assigned.partition.clone()) else {
            record.outputs.clear();
            return Ok(());
        };
        if record.ending == Ending::DeadLettered {
            return Err(StageError::Stuck { stage, partition, offset: record.offset, reason });
        }
        let task = Task {
            assignment: AssignmentId(0),
            record: record.record.clone(),
            failures: 1,
            first_failed_at_ms: 0,
            suspect: false,
        };
        let hop = Hop::of(&task.record.headers);
        let failure = Failure::permanent("refused", reason);
        let made = self.dead_letter(&partition, &task, &failure, record.subject.as_ref(), hop.as_ref());
        (record.ending, record.skipped, record.outputs) = (made.ending, made.skipped, made.outputs);
        Ok(())
    }
}

//! The driver: one task that turns the log's events into batches for the stage, and what comes back into commits.
//!
//! ```text
//! Records ─► window.track ─► lanes ─► batch ─► work (tasks of their own) ─► settle ─► outbox ─► commit
//!                              ▲                                               │
//!                              └────── failed: again after a wait ─────────────┘
//! ```
//!
//! Everything waits in one of three places, all bounded: lanes (not started), batches under way, the outbox
//! (through, not committed). When they hold as much as the settings allow, intake is paused, per partition, and
//! the log is polled on. A record is marked finished in its window only when it goes into a commit, so the
//! position of a commit never passes a record whose outputs are not in it or in an earlier one.

mod about;
mod ages;
mod commit;
mod intake;
mod lag;
mod meters;
mod outbox;
mod partitions;
mod rebalance;
mod settle;
mod spans;
mod status;
mod stillness;
mod task;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::commit::Committing;
use self::meters::Meters;
use self::outbox::Outbox;
use self::partitions::Partitions;
pub use self::status::{Snapshot, State, Status};
use self::task::{BatchResult, Task};
use crate::batch::{BatchRule, Decision};
use crate::breach::Breach;
use crate::breaker::Breaker;
use crate::gate::Gate;
use crate::lanes::Lanes;
use crate::limiter::Limiter;
use crate::log::{Event, Log, LogError, Member, Membership, Revocation, Session};
use crate::rate::Rate;
use crate::record::TopicPartition;
use crate::retry::Backoff;
use crate::seldom::Seldom;
use crate::settings::StageSettings;
use crate::stage::Stage;
use crate::trace::Tracer;
use crate::wire::Wire;

/// Each of a stage's loops goes round at least this often, so that one that stands still is noticed.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How one stage is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the stage is set to.
    pub settings: StageSettings,
    /// Stable name of this process within the stage's group; a later one of the same name fences an earlier one.
    pub instance: String,
    /// After this long without a sign of life the group gives the partitions to others.
    pub session_timeout: Duration,
    /// How long revoked partitions, and a stop, may take to drain; shorter than the session timeout.
    pub drain_deadline: Duration,
    /// Which schemas the ids of records stand for.
    pub wire: Arc<Wire>,
    /// Who takes the spans of its work.
    pub tracer: Tracer,
    /// A promise that is not kept; only ever one under the fault harness.
    pub breach: Option<Breach>,
    /// Where a batch may be held; only ever one under the fault harness.
    pub gate: Option<Gate>,
}

impl Plan {
    /// A session timeout of 10 seconds, and 5 to drain.
    pub fn new(settings: StageSettings, instance: impl Into<String>) -> Self {
        Self {
            settings,
            instance: instance.into(),
            session_timeout: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(5),
            wire: Arc::new(Wire::of_files()),
            tracer: Tracer::default(),
            breach: None,
            gate: None,
        }
    }
}

/// Why a stage cannot go on.
#[derive(Debug, Error)]
pub enum StageError {
    /// What it needs before the first record could not be had.
    #[error("{stage} cannot start: {reason}")]
    Warm {
        /// The stage.
        stage: &'static str,
        /// Why.
        reason: String,
    },
    /// The group could not be joined.
    #[error("{stage} cannot join its group: {source}")]
    Join {
        /// The stage.
        stage: &'static str,
        /// Why.
        source: LogError,
    },
    /// Another process has its name.
    #[error("{stage} was fenced: {reason}; does another process run it under the same instance name?")]
    Fenced {
        /// The stage.
        stage: &'static str,
        /// What the log says.
        reason: String,
    },
    /// Not even the dead letter was taken.
    #[error("{stage}: {partition} offset {offset} can be written neither on nor to the dead letters: {reason}")]
    Stuck {
        /// The stage.
        stage: &'static str,
        /// Where the record is.
        partition: TopicPartition,
        /// Where the record is.
        offset: i64,
        /// What the log says.
        reason: String,
    },
    /// A fault of the driver itself; nothing is lost, but it cannot go on.
    #[error("{stage} broke: {reason}")]
    Broken {
        /// The stage.
        stage: &'static str,
        /// What happened.
        reason: String,
    },
    /// The log ended the session without saying why.
    #[error("{stage}: the log ended the session")]
    Closed {
        /// The stage.
        stage: &'static str,
    },
}

/// Runs a stage until `stop` is cancelled (then it takes no more, drains, commits, leaves its group), or until it
/// cannot go on.
pub async fn run<S: Stage>(
    stage: Arc<S>,
    log: Arc<dyn Log>,
    plan: Plan,
    status: Status,
    stop: CancellationToken,
) -> Result<(), StageError> {
    let name = stage.name();
    stage.warm().await.map_err(|error| StageError::Warm { stage: name, reason: format!("{error:#}") })?;
    let membership = Membership {
        group: name.to_owned(),
        instance: plan.instance.clone(),
        topics: stage.reads().iter().map(|topic| (*topic).to_owned()).collect(),
        session_timeout: plan.session_timeout,
        drain_deadline: plan.drain_deadline,
    };
    let topics = membership.topics.clone();
    let session = log.join(membership).await.map_err(|source| StageError::Join { stage: name, source })?;
    status.joined(Arc::clone(&session.member));
    let _lag = AbortOnDropHandle::new(tokio::spawn(lag::publish(log, name, topics, status.clone())));
    let member = Arc::clone(&session.member);
    let result = Driver::new(stage, plan, status.clone(), Arc::clone(&member)).drive(session, stop).await;
    member.leave().await;
    status.left();
    result
}

/// The stage waits for something that every record needs.
struct Pause {
    dependency: &'static str,
    until: Instant,
    failures: u32,
    /// A batch is under way to see whether it is back.
    probing: bool,
}

struct Driver<S: Stage> {
    stage: Arc<S>,
    plan: Plan,
    status: Status,
    meters: Meters,
    member: Arc<dyn Member>,
    rule: BatchRule,
    backoff: Backoff,
    partitions: Partitions,
    lanes: Lanes<Task>,
    /// Bytes of records in lanes and batches.
    taken_bytes: usize,
    working: JoinSet<BatchResult>,
    working_records: usize,
    outbox: Outbox,
    committing: Option<Committing>,
    commit_failures: u32,
    next_commit_at: Instant,
    /// Until then commits have had their share of the time.
    commits_rest_until: Instant,
    /// With when each came.
    revocations: Vec<(Revocation, Instant)>,
    /// The group shares partitions out anew: something was revoked that is not released, or assigned that gave no
    /// sign yet.
    rebalancing: bool,
    breaker: Breaker,
    limiter: Option<Limiter>,
    rate: Option<Rate>,
    pause: Option<Pause>,
    /// Intake stands still because enough is in hand.
    saturated: bool,
    /// Every partition was read to its end since the last records came.
    at_end: bool,
    draining_until: Option<Instant>,
    outages: Seldom,
}

impl<S: Stage> Driver<S> {
    fn new(stage: Arc<S>, plan: Plan, status: Status, member: Arc<dyn Member>) -> Self {
        let settings = &plan.settings;
        let now = Instant::now();
        Self {
            rule: BatchRule { records: settings.batch_records, bytes: settings.batch_bytes, linger: settings.linger },
            backoff: Backoff { base: settings.retry_base, cap: settings.retry_cap },
            breaker: Breaker::new(settings.halt_after),
            limiter: stage.dependency().map(|_| Limiter::new(settings.concurrency)),
            rate: Rate::new(settings.rate_limit, now),
            meters: Meters::new(stage.as_ref()),
            partitions: Partitions::default(),
            lanes: Lanes::default(),
            taken_bytes: 0,
            working: JoinSet::new(),
            working_records: 0,
            outbox: Outbox::default(),
            committing: None,
            commit_failures: 0,
            next_commit_at: now,
            commits_rest_until: now,
            revocations: Vec::new(),
            rebalancing: false,
            pause: None,
            saturated: false,
            at_end: false,
            draining_until: None,
            outages: Seldom::default(),
            stage,
            plan,
            status,
            member,
        }
    }

    async fn drive(mut self, session: Session, stop: CancellationToken) -> Result<(), StageError> {
        let mut events = session.events;
        loop {
            let now = Instant::now();
            self.status.looped();
            let wake = self.advance(now).map_or(now + HEARTBEAT, |wake| wake.min(now + HEARTBEAT));
            if self.is_drained() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = stop.cancelled(), if self.draining_until.is_none() => self.drain(Instant::now()),
                outcome = commit::wait(&mut self.committing) => self.settle_commit(outcome, Instant::now())?,
                Some(result) = self.working.join_next() => self.settle_batches(result, Instant::now())?,
                event = events.recv() => match event {
                    Some(event) => self.take_event(event, Instant::now())?,
                    None => return Err(StageError::Closed { stage: self.stage.name() }),
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    fn take_event(&mut self, event: Event, now: Instant) -> Result<(), StageError> {
        match event {
            Event::Records { partition, records } => self.take_records(&partition, records, now),
            Event::EndOfPartition { partition, offset } => self.take_end(&partition, offset, now),
            Event::Assigned(positions) => {
                self.meters.assigned();
                self.begin_rebalance(now);
                positions.into_iter().for_each(|position| self.partitions.assign(position, now));
                self.status.set_partitions(self.partitions.names());
                if self.saturated || self.draining_until.is_some() || self.breaker.tripped() {
                    self.pause_all(now);
                }
            }
            Event::Revoked(revocation) => self.begin_revocation(revocation, now),
            Event::Fenced(reason) => return Err(StageError::Fenced { stage: self.stage.name(), reason }),
            Event::Unavailable(reason) => {
                if let Some(left_out) = self.outages.say(now) {
                    tracing::warn!(stage = self.stage.name(), reason, left_out, "the log is unavailable");
                }
            }
        }
        Ok(())
    }

    /// Does whatever can be done at `now`; says when there will be more to do by itself.
    fn advance(&mut self, now: Instant) -> Option<Instant> {
        self.lanes.wake(now);
        let batch_at = self.start_batches(now);
        let commit_at = self.start_commit(now);
        let released_at = self.release_revoked(now);
        self.control_intake(now);
        self.report();
        let pause_at = self.pause.as_ref().filter(|pause| !pause.probing).map(|pause| pause.until);
        [batch_at, commit_at, released_at, pause_at, self.lanes.next_wake(), self.draining_until]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    fn report(&mut self) {
        let in_flight = self.in_hand();
        self.status.set_in_flight(in_flight, self.partitions.oldest_ms());
        self.meters.in_hand(in_flight, self.lanes.queued(), self.working.len());
        let log_is_down = (self.commit_failures > 0).then_some("log");
        self.meters.waits_for(self.pause.as_ref().map(|pause| pause.dependency).or(log_is_down));
        if let Some(limiter) = &self.limiter {
            self.meters.limit(limiter.limit());
        }
        if self.draining_until.is_none() && self.pause.is_none() && self.commit_failures == 0 && !self.breaker.tripped()
        {
            self.status.enter(State::Running);
        }
    }

    /// Records in lanes, in batches, and through but not committed.
    fn in_hand(&self) -> usize {
        let committing = self.committing.as_ref().map_or(0, Committing::records);
        self.lanes.queued() + self.working_records + self.outbox.len() + committing
    }

    /// Bytes of what is through and not committed.
    fn through_bytes(&self) -> usize {
        self.outbox.bytes() + self.committing.as_ref().map_or(0, Committing::bytes)
    }

    fn start_batches(&mut self, now: Instant) -> Option<Instant> {
        while self.may_start(now) {
            match self.rule.decide(self.lanes.ready(), now) {
                Decision::Start => {}
                Decision::Until(at) => return Some(at),
                Decision::Idle => return None,
            }
            let records = match self.rate.as_mut().map(|rate| rate.allowed(now)) {
                Some(Err(at)) => return Some(at),
                Some(Ok(allowed)) => allowed.min(self.rule.records),
                None => self.rule.records,
            };
            let ticket = match self.limiter.as_mut().map(Limiter::start) {
                Some(None) => return None,
                ticket => ticket.flatten(),
            };
            let tasks = self.lanes.take(records, self.rule.bytes, now);
            for (_, task) in &tasks {
                if let Some(assigned) = self.partitions.get_mut(task.assignment) {
                    assigned.working += 1;
                }
            }
            if let Some(rate) = &mut self.rate {
                rate.spend(tasks.len());
            }
            if let Some(pause) = &mut self.pause {
                pause.probing = true;
            }
            self.working_records += tasks.len();
            let (stage, wire, gate) = (Arc::clone(&self.stage), Arc::clone(&self.plan.wire), self.plan.gate.clone());
            self.working.spawn(async move {
                if let Some(gate) = gate {
                    gate.pass().await;
                }
                work::work(stage, wire, tasks, ticket).await
            });
        }
        None
    }

    fn may_start(&self, now: Instant) -> bool {
        let pause_is_over =
            self.pause.as_ref().is_none_or(|pause| !pause.probing && pause.until <= now && self.working.is_empty());
        self.draining_until.is_none()
            && !self.breaker.tripped()
            && pause_is_over
            && self.working.len() < self.plan.settings.concurrency
            && self.through_bytes() < self.plan.settings.in_flight_bytes
    }
}

#[cfg(test)]
mod tests;

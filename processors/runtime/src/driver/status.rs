//! What others may see of a running stage.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;

use super::task::Ending;
use crate::log::Member;
use crate::metric;
use crate::moment::now_ms;
use crate::record::TopicPartition;
use crate::seldom::Seldom;

/// What a stage is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It warms up or joins its group.
    Starting,
    /// It takes records.
    Running,
    /// Something that every record needs is down; it goes on by itself.
    Paused(String),
    /// Too many dead letters in a row: it takes no more until it is started anew.
    Halted(String),
    /// It finishes what it has.
    Draining,
    /// It has left its group.
    Stopped,
}

/// A stage at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The stage.
    pub stage: &'static str,
    /// Warm, and a member of its group.
    pub ready: bool,
    /// What it is doing.
    pub state: State,
    /// Records done since the start.
    pub done: u64,
    /// Records skipped since the start.
    pub skipped: u64,
    /// Dead letters since the start.
    pub failed: u64,
    /// Records in hand.
    pub in_flight: usize,
    /// How long ago the log was polled; zero before it has joined.
    pub polled_ago: Duration,
    /// How long ago the loop that works went round; zero before it has joined.
    pub looped_ago: Duration,
    /// Age of the oldest record in hand that is not committed, by when it was written.
    pub oldest: Option<Duration>,
}

impl Snapshot {
    /// How long ago the slower of the stage's two loops went round. Both go round every few seconds, whatever
    /// the broker and the work do; a stage in which one stands still does not come back by itself.
    pub fn heartbeat_ago(&self) -> Duration {
        self.polled_ago.max(self.looped_ago)
    }
}

struct Inner {
    stage: &'static str,
    ready: AtomicBool,
    done: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
    in_flight: AtomicUsize,
    /// When the oldest record in hand was written, in milliseconds since 1970; 0 for none in hand.
    oldest_ms: AtomicI64,
    made_at: Instant,
    /// When the loop that works went round last, in milliseconds since `made_at`.
    looped_ms: AtomicU64,
    state: Mutex<State>,
    pauses: Mutex<Seldom>,
    member: Mutex<Option<Arc<dyn Member>>>,
    partitions: Mutex<Vec<TopicPartition>>,
}

/// A running stage, for probes and displays; cheap to clone.
#[derive(Clone)]
pub struct Status(Arc<Inner>);

impl Status {
    /// The status of a stage that has not started.
    pub fn new(stage: &'static str) -> Self {
        Self(Arc::new(Inner {
            stage,
            ready: AtomicBool::new(false),
            done: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            oldest_ms: AtomicI64::new(0),
            made_at: Instant::now(),
            looped_ms: AtomicU64::new(0),
            state: Mutex::new(State::Starting),
            pauses: Mutex::default(),
            member: Mutex::new(None),
            partitions: Mutex::default(),
        }))
    }

    /// The stage now.
    pub fn snapshot(&self) -> Snapshot {
        let inner = &self.0;
        let member = lock(&inner.member).clone();
        let oldest_ms = inner.oldest_ms.load(Relaxed);
        let age_ms = |written_at_ms: i64| u64::try_from(now_ms() - written_at_ms).unwrap_or(0);
        Snapshot {
            stage: inner.stage,
            ready: inner.ready.load(Relaxed) && member.as_ref().is_some_and(|member| member.has_joined()),
            state: lock(&inner.state).clone(),
            done: inner.done.load(Relaxed),
            skipped: inner.skipped.load(Relaxed),
            failed: inner.failed.load(Relaxed),
            in_flight: inner.in_flight.load(Relaxed),
            polled_ago: member.as_ref().map_or(Duration::ZERO, |member| member.polled_ago()),
            looped_ago: member.map_or(Duration::ZERO, |_| inner.looped_ago()),
            oldest: (oldest_ms > 0).then(|| Duration::from_millis(age_ms(oldest_ms))),
        }
    }

    /// Sets the metrics that are of the moment at which somebody looks.
    pub fn publish(&self) {
        let (stage, now) = (self.0.stage, self.snapshot());
        gauge!(metric::READY.name, "stage" => stage).set(f64::from(u8::from(now.ready)));
        gauge!(metric::HEARTBEAT_AGE.name, "stage" => stage).set(now.heartbeat_ago().as_secs_f64());
        gauge!(metric::OLDEST_UNFINISHED.name, "stage" => stage).set(now.oldest.unwrap_or_default().as_secs_f64());
        gauge!(metric::PAUSED.name, "stage" => stage).set(f64::from(u8::from(matches!(now.state, State::Paused(_)))));
        gauge!(metric::HALTED.name, "stage" => stage).set(f64::from(u8::from(matches!(now.state, State::Halted(_)))));
    }

    pub(super) fn joined(&self, member: Arc<dyn Member>) {
        self.looped();
        *lock(&self.0.member) = Some(member);
        self.0.ready.store(true, Relaxed);
        self.enter(State::Running);
    }

    /// Says so in the log when the state is another than before. One that is halted stays so until it ends, whatever
    /// else comes to wait for something.
    pub(super) fn enter(&self, state: State) {
        let mut current = lock(&self.0.state);
        let stays_halted = matches!(*current, State::Halted(_))
            && !matches!(state, State::Halted(_) | State::Draining | State::Stopped);
        if *current == state || stays_halted {
            return;
        }
        let stage = self.0.stage;
        match &state {
            State::Paused(reason) => {
                if let Some(left_out) = lock(&self.0.pauses).say(Instant::now()) {
                    tracing::warn!(stage, reason, left_out, "paused");
                }
            }
            State::Halted(reason) => tracing::error!(stage, reason, "halted"),
            other => tracing::info!(stage, state = ?other, "stage"),
        }
        *current = state;
    }

    pub(super) fn left(&self) {
        self.0.ready.store(false, Relaxed);
        *lock(&self.0.member) = None;
        self.enter(State::Stopped);
    }

    pub(super) fn count(&self, ending: Ending) {
        let counter = match ending {
            Ending::Done => &self.0.done,
            Ending::Skipped => &self.0.skipped,
            Ending::DeadLettered => &self.0.failed,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn set_in_flight(&self, records: usize, oldest_ms: Option<i64>) {
        self.0.in_flight.store(records, Relaxed);
        self.0.oldest_ms.store(oldest_ms.unwrap_or(0), Relaxed);
    }

    /// The loop that works went round.
    pub(super) fn looped(&self) {
        self.0.looped_ms.store(self.0.elapsed_ms(), Relaxed);
    }

    /// The partitions that the stage has in this process.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        lock(&self.0.partitions).clone()
    }

    pub(super) fn set_partitions(&self, partitions: Vec<TopicPartition>) {
        *lock(&self.0.partitions) = partitions;
    }
}

impl Inner {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.made_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn looped_ago(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms().saturating_sub(self.looped_ms.load(Relaxed)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

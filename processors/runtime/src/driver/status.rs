//! What others may see of a running stage.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::task::Ending;
use crate::log::Member;

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
}

struct Inner {
    stage: &'static str,
    ready: AtomicBool,
    done: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
    in_flight: AtomicUsize,
    state: Mutex<State>,
    member: Mutex<Option<Arc<dyn Member>>>,
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
            state: Mutex::new(State::Starting),
            member: Mutex::new(None),
        }))
    }

    /// The stage now.
    pub fn snapshot(&self) -> Snapshot {
        let inner = &self.0;
        Snapshot {
            stage: inner.stage,
            ready: inner.ready.load(Relaxed),
            state: lock(&inner.state).clone(),
            done: inner.done.load(Relaxed),
            skipped: inner.skipped.load(Relaxed),
            failed: inner.failed.load(Relaxed),
            in_flight: inner.in_flight.load(Relaxed),
            polled_ago: lock(&inner.member).as_ref().map_or(Duration::ZERO, |member| member.polled_ago()),
        }
    }

    pub(super) fn joined(&self, member: Arc<dyn Member>) {
        *lock(&self.0.member) = Some(member);
        self.0.ready.store(true, Relaxed);
        self.enter(State::Running);
    }

    /// Says so in the log when the state is another than before.
    pub(super) fn enter(&self, state: State) {
        let mut current = lock(&self.0.state);
        if *current == state {
            return;
        }
        let stage = self.0.stage;
        match &state {
            State::Paused(reason) => tracing::warn!(stage, reason, "paused"),
            State::Halted(reason) => tracing::error!(stage, reason, "halted"),
            other => tracing::info!(stage, state = ?other, "stage"),
        }
        metrics::gauge!("frameline_paused", "stage" => stage)
            .set(f64::from(u8::from(!matches!(state, State::Running))));
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

    pub(super) fn set_in_flight(&self, records: usize) {
        self.0.in_flight.store(records, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Sleeps as exact as a thread's own, for tasks: tokio's are rounded up to whole milliseconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

const IDLE: Duration = Duration::from_secs(1);

/// A thread that wakes whoever sleeps; it ends with its last owner.
pub(super) struct Sleeper(Arc<Bed>);

#[derive(Default)]
struct Bed {
    sleeping: Mutex<Sleeping>,
    changed: Condvar,
}

#[derive(Default)]
struct Sleeping {
    by_end: BinaryHeap<Reverse<Ending>>,
    is_over: bool,
}

struct Ending {
    at: Instant,
    wakes: Arc<Notify>,
}

impl Sleeper {
    pub(super) fn start() -> anyhow::Result<Self> {
        let bed = Arc::new(Bed::default());
        let watched = Arc::clone(&bed);
        thread::Builder::new().name("sleeper".to_owned()).spawn(move || watched.wake_all())?;
        Ok(Self(bed))
    }

    /// Sleeps no shorter, and as little longer as the machine allows.
    pub(super) async fn sleep(&self, time: Duration) {
        self.lie_down(time).notified().await;
    }

    fn lie_down(&self, time: Duration) -> Arc<Notify> {
        let (at, wakes) = (Instant::now() + time, Arc::new(Notify::new()));
        let mut sleeping = self.0.lock();
        let is_first = sleeping.by_end.peek().is_none_or(|Reverse(first)| at < first.at);
        sleeping.by_end.push(Reverse(Ending { at, wakes: Arc::clone(&wakes) }));
        drop(sleeping);
        if is_first {
            self.0.changed.notify_one();
        }
        wakes
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_one();
    }
}

impl Bed {
    fn lock(&self) -> MutexGuard<'_, Sleeping> {
        self.sleeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        let mut sleeping = self.lock();
        while !sleeping.is_over {
            let now = Instant::now();
            while sleeping.by_end.peek().is_some_and(|Reverse(first)| first.at <= now) {
                sleeping.by_end.pop().inspect(|Reverse(first)| first.wakes.notify_one());
            }
            let next = sleeping.by_end.peek().map(|Reverse(first)| first.at.saturating_duration_since(now));
            // With nobody asleep it is looked again now and then, which costs nothing.
            let waited = self.changed.wait_timeout(sleeping, next.unwrap_or(IDLE));
            sleeping = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl PartialEq for Ending {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Ending {}

impl PartialOrd for Ending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

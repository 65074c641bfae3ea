//! Sleeps as exact as a thread's own, for tasks: tokio's are rounded up to whole milliseconds.

use std::collections::BTreeMap;
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
    /// By when they are to be woken, and who came first.
    by_end: BTreeMap<(Instant, u64), Arc<Notify>>,
    count: u64,
    is_over: bool,
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
        let is_first = sleeping.by_end.first_key_value().is_none_or(|((first, _), _)| at < *first);
        sleeping.count += 1;
        let number = sleeping.count;
        sleeping.by_end.insert((at, number), Arc::clone(&wakes));
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
            while let Some(first) = sleeping.by_end.first_entry().filter(|first| first.key().0 <= now) {
                first.remove().notify_one();
            }
            let next = sleeping.by_end.keys().next().map(|(first, _)| first.saturating_duration_since(now));
            // With nobody asleep it is looked again now and then, which costs nothing.
            let waited = self.changed.wait_timeout(sleeping, next.unwrap_or(IDLE));
            sleeping = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

//! A member of a group: what its user and its polling thread share, and what the user may ask of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use super::context::Consumer;
use super::events::is_in_group;
use super::positions::list_of;
use super::transactions::{Offsets, Transactions};
use crate::log::{Commit, CommitError, Member};
use crate::record::{Position, TopicPartition};

/// How much longer than the session timeout leaving may take, before it goes on without being watched.
const LEAVE_MARGIN: Duration = Duration::from_secs(4);

/// How long a rebalance may keep a commit waiting.
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two tries.
const REBALANCE_WAIT: Duration = Duration::from_millis(10);
/// How long the answer to a question is waited for that only wakes a client; leaving waits as long.
const WAKE_TIMEOUT: Duration = Duration::from_millis(250);

/// What user and polling thread share.
pub(super) struct Shared {
    /// The client of the member's seat. It goes with the polling thread, as the other, which reads.
    seat: Mutex<Weak<Consumer>>,
    reader: Weak<Consumer>,
    /// What the member may commit, with the number of the assignment that gave it. The broker checks the
    /// generation only, so a partition that was given back has to be refused here, also when it has come back:
    /// another may have gone on with it in between.
    owned: Mutex<HashMap<TopicPartition, u64>>,
    assignments: AtomicU64,
    /// In whose name commits are made where members are not fenced: it has no generation to be stale.
    nobody: Option<Consumer>,
    /// `None` once the member has left.
    transactions: Mutex<Option<Transactions>>,
    /// Set when the member leaves; the transactions wait for nothing then.
    pub(super) leaving: Arc<AtomicBool>,
    /// The group has taken the member in.
    joined: AtomicBool,
    /// Why the member was fenced.
    pub(super) fenced: OnceLock<String>,
    started: Instant,
    polled_ms: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        seat: &Arc<Consumer>,
        reader: &Arc<Consumer>,
        transactions: Transactions,
        leaving: Arc<AtomicBool>,
        nobody: Option<Consumer>,
    ) -> Self {
        Self {
            seat: Mutex::new(Arc::downgrade(seat)),
            reader: Arc::downgrade(reader),
            owned: Mutex::default(),
            assignments: AtomicU64::new(0),
            nobody,
            transactions: Mutex::new(Some(transactions)),
            leaving,
            joined: AtomicBool::new(false),
            fenced: OnceLock::new(),
            started: Instant::now(),
            polled_ms: AtomicU64::new(0),
        }
    }

    /// The member tries for its seat with another client.
    pub(super) fn sit(&self, seat: &Arc<Consumer>) {
        *locked(&self.seat) = Arc::downgrade(seat);
    }

    /// From now on the member may commit these.
    pub(super) fn own(&self, partitions: &[TopicPartition]) {
        let number = self.assignments.fetch_add(1, Ordering::Relaxed);
        locked(&self.owned).extend(partitions.iter().map(|partition| (partition.clone(), number)));
    }

    /// From now on it may not.
    pub(super) fn disown(&self, partitions: &[TopicPartition]) {
        let mut owned = locked(&self.owned);
        for partition in partitions {
            owned.remove(partition);
        }
    }

    /// The polling thread is alive.
    pub(super) fn was_polled(&self, consumer: &Consumer) {
        self.polled_ms.store(self.elapsed_ms(), Ordering::Relaxed);
        if !self.joined.load(Ordering::Relaxed) && is_in_group(consumer) {
            self.joined.store(true, Ordering::Relaxed);
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Ends the transactions; waits for one that is under way.
    pub(super) fn close(&self) {
        locked(&self.owned).clear();
        drop(locked(&self.transactions).take());
    }

    /// Writes the commit, if its positions are still the member's by these assignments; blocks.
    fn commit(&self, commit: &Commit, assignments: &[u64]) -> Result<(), CommitError> {
        let mut transactions = locked(&self.transactions);
        let Some(transactions) = transactions.as_mut() else { return Err(self.gone()) };
        let give_up = Instant::now() + REBALANCE_TIMEOUT;
        loop {
            let offsets = self.claim(&commit.positions, assignments)?;
            let result = transactions.commit(&commit.outputs, offsets.as_ref());
            self.note_fencing(&result);
            match result {
                // The generation was an old one, which says nothing about these partitions: the group is taking
                // up the next one, with them or without.
                Err(CommitError::Revoked(reason)) => {
                    if self.leaving.load(Ordering::Relaxed) || Instant::now() > give_up {
                        return Err(CommitError::Unavailable(reason));
                    }
                    std::thread::sleep(REBALANCE_WAIT);
                }
                other => return other,
            }
        }
    }

    /// Finds out whether a successor has the member's name; blocks. The broker tells only those who write, and an
    /// idle member would keep its partitions from its successor. One who comes makes the group rebalance, so that
    /// is when to ask.
    pub(super) fn look_for_successor(&self) {
        let mut transactions = locked(&self.transactions);
        let Some(transactions) = transactions.as_mut() else { return };
        let Some((partition, assignment)) = locked(&self.owned).iter().next().map(|(p, n)| (p.clone(), *n)) else {
            return;
        };
        let position = Position { partition, offset: 0, metadata: String::new() };
        if let Ok(Some(offsets)) = self.claim(std::slice::from_ref(&position), &[assignment]) {
            self.note_fencing(&transactions.probe(&offsets));
        }
    }

    fn note_fencing(&self, result: &Result<(), CommitError>) {
        if let Err(CommitError::Fenced(reason)) = result {
            // The first reason is the one to tell.
            let _ = self.fenced.set(reason.clone());
        }
    }

    /// By which assignment the member has each of these.
    fn assignments_of(&self, positions: &[Position]) -> Result<Vec<u64>, CommitError> {
        if self.fenced.get().is_some() {
            return Err(self.gone());
        }
        if self.nobody.is_some() {
            return Ok(vec![0; positions.len()]);
        }
        let owned = locked(&self.owned);
        let found = positions.iter().map(|Position { partition, .. }| {
            let assignment = owned.get(partition).copied();
            assignment.ok_or_else(|| CommitError::Revoked(format!("{partition} is not this member's any more")))
        });
        found.collect()
    }

    /// The positions with the generation that they are committed under, both from one moment: a partition that
    /// goes after it makes the broker refuse that generation. Nothing where there are no positions.
    fn claim<'a>(&self, positions: &'a [Position], assignments: &[u64]) -> Result<Option<Offsets<'a>>, CommitError> {
        if let Some(group) = self.nobody.as_ref().and_then(|nobody| nobody.group_metadata()) {
            return Ok((!positions.is_empty()).then_some(Offsets { positions, group }));
        }
        let owned = locked(&self.owned);
        for (Position { partition, .. }, assignment) in positions.iter().zip(assignments) {
            if owned.get(partition) != Some(assignment) {
                return Err(CommitError::Revoked(format!("{partition} is not this member's any more")));
            }
        }
        if positions.is_empty() {
            return Ok(None);
        }
        let seat = locked(&self.seat).upgrade();
        let group = seat.and_then(|seat| seat.group_metadata());
        group.map(|group| Some(Offsets { positions, group })).ok_or_else(|| self.gone())
    }

    fn gone(&self) -> CommitError {
        match self.fenced.get() {
            Some(reason) => CommitError::Fenced(reason.clone()),
            None => CommitError::Revoked("the member has left".to_owned()),
        }
    }

    /// Makes the client see at once that a partition is not paused any more. librdkafka's thread of a broker of which
    /// every partition is paused sleeps for up to a second (`rd_kafka_broker_consumer_serve`), whatever is resumed; a
    /// request to that broker wakes it, and its answer is of no use.
    fn wake(&self, mut list: TopicPartitionList) {
        let reader = Weak::clone(&self.reader);
        tokio::task::spawn_blocking(move || {
            let Some(reader) = reader.upgrade() else { return };
            let asked = list.set_all_offsets(Offset::End).and_then(|()| reader.offsets_for_times(list, WAKE_TIMEOUT));
            if let Err(error) = asked {
                tracing::debug!(%error, "a client was not woken, and wakes by itself within a second");
            }
        });
    }

    /// Calls for those of the partitions that are the member's. A pause of any other would outlast the loss.
    fn with_owned(&self, partitions: &[TopicPartition], call: impl FnOnce(&Consumer, &[&TopicPartition])) {
        let owned = locked(&self.owned);
        let still: Vec<&TopicPartition> = partitions.iter().filter(|partition| owned.contains_key(partition)).collect();
        if let Some(reader) = self.reader.upgrade()
            && !still.is_empty()
        {
            call(&reader, &still);
        }
    }
}

/// What the user has of the member. Dropping it leaves the group.
pub(super) struct KafkaMember {
    pub(super) shared: Arc<Shared>,
    /// Closed when the polling thread is done.
    pub(super) done: watch::Receiver<()>,
    /// After this long the group gives the member up by itself.
    pub(super) session_timeout: Duration,
}

#[async_trait]
impl Member for KafkaMember {
    fn pause(&self, partitions: &[TopicPartition]) {
        self.shared.with_owned(partitions, |consumer, partitions| {
            if let Err(error) = consumer.pause(&list_of(partitions.iter().copied())) {
                tracing::warn!(%error, "pausing failed");
            }
        });
    }

    fn resume(&self, partitions: &[TopicPartition]) {
        self.shared.with_owned(partitions, |consumer, partitions| {
            let list = list_of(partitions.iter().copied());
            if let Err(error) = consumer.resume(&list) {
                tracing::warn!(%error, "resuming failed");
            }
            self.shared.wake(list);
        });
    }

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), CommitError> {
        let assignments = self.shared.assignments_of(&commit.positions)?;
        let shared = Arc::clone(&self.shared);
        let written = tokio::task::spawn_blocking(move || shared.commit(&commit, &assignments)).await;
        written.unwrap_or_else(|error| Err(CommitError::Unavailable(error.to_string())))
    }

    async fn leave(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
        let mut done = self.done.clone();
        let left = async move { while done.changed().await.is_ok() {} };
        if tokio::time::timeout(self.session_timeout + LEAVE_MARGIN, left).await.is_err() {
            tracing::warn!("leaving the group takes long; the broker will notice by the session timeout");
        }
    }

    fn has_joined(&self) -> bool {
        self.shared.joined.load(Ordering::Relaxed)
    }

    fn polled_ago(&self) -> Duration {
        let polled_ms = self.shared.polled_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.shared.elapsed_ms().saturating_sub(polled_ms))
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }
}

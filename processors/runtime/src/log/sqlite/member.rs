//! A member: one task that reads, shows its sign of life, and does its part of the group's work.
//!
//! The task never waits for the reader of its events. What does not fit into the channel waits in the outbox,
//! and while anything does, nothing more is read; rounds go on all the same.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::future::ready;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::assign::Slot;
use super::clock::boot_ms;
use super::group::{self, GroupError, Held, Identity, Standing};
use super::read::{self, Bounds, Glance, Limits};
use super::rounds::LetGo;
use super::store::Store;
use super::wakes::Listener;
use crate::log::{Commit, CommitError, Event, Member, Revocation, Session};
use crate::record::{Position, TopicPartition};

/// Chunks that wait for the reader of the events; with [`CHUNK`], 8 MiB.
const EVENTS: usize = 32;
const CHUNK: Limits = Limits { records: 500, bytes: 256 << 10 };
/// So many signs of life fit into a session timeout.
const ROUNDS_PER_TIMEOUT: u32 = 6;
const LONGEST_ROUND: Duration = Duration::from_secs(3);
/// How soon a file that did not answer is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// The member's side that its user holds.
struct SqliteMember {
    store: Arc<Store>,
    identity: Arc<Identity>,
    shared: Arc<Shared>,
    /// Closes when the member is dropped; then the task leaves.
    commands: mpsc::UnboundedSender<Command>,
}

struct Shared {
    paused: Mutex<HashSet<TopicPartition>>,
    polled_at_ms: AtomicI64,
}

enum Command {
    Resumed,
    Leave(oneshot::Sender<()>),
}

impl Shared {
    /// A set is whole after every single change, whoever panicked.
    fn paused(&self) -> MutexGuard<'_, HashSet<TopicPartition>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Member for SqliteMember {
    fn pause(&self, partitions: &[TopicPartition]) {
        self.shared.paused().extend(partitions.iter().cloned());
    }

    fn resume(&self, partitions: &[TopicPartition]) {
        self.shared.paused().retain(|partition| !partitions.contains(partition));
        // A task that ended has nothing to resume.
        let _ = self.commands.send(Command::Resumed);
    }

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), CommitError> {
        group::commit(&self.store, &self.identity, &commit).await
    }

    async fn leave(&self) {
        let (left, done) = oneshot::channel();
        if self.commands.send(Command::Leave(left)).is_ok() {
            // An error means that the task ended before, which is as good.
            let _ = done.await;
        }
    }

    /// Joining writes the member into the group.
    fn has_joined(&self) -> bool {
        true
    }

    fn polled_ago(&self) -> Duration {
        let ago_ms = boot_ms() - self.shared.polled_at_ms.load(Ordering::Relaxed);
        Duration::from_millis(ago_ms.try_into().unwrap_or(0))
    }
}

/// Starts the task of a member that has joined.
pub(super) fn start(store: Arc<Store>, identity: Identity) -> Session {
    let identity = Arc::new(identity);
    let shared = Arc::new(Shared { paused: Mutex::default(), polled_at_ms: AtomicI64::new(boot_ms()) });
    let topics: Vec<i64> = identity.topics.iter().map(|(id, _)| *id).collect();
    let (events, session_events) = mpsc::channel(EVENTS);
    let (commands, task_commands) = mpsc::unbounded_channel();
    let task = Task {
        glance: Glance::new(Arc::clone(&identity.group), &topics),
        listener: store.wakes().listen(Arc::clone(&identity.group), topics),
        store: Arc::clone(&store),
        identity: Arc::clone(&identity),
        shared: Arc::clone(&shared),
        commands: task_commands,
        events,
        outbox: VecDeque::new(),
        reading: BTreeMap::new(),
        releases: FuturesUnordered::new(),
        let_go: BTreeSet::new(),
        generation: 0,
        next_round: Instant::now(),
        out_of_reach: false,
    };
    tokio::spawn(task.run());
    Session { events: session_events, member: Arc::new(SqliteMember { store, identity, shared, commands }) }
}

struct Task {
    store: Arc<Store>,
    identity: Arc<Identity>,
    shared: Arc<Shared>,
    glance: Glance,
    listener: Arc<Listener>,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Event>,
    /// What the channel had no room for.
    outbox: VecDeque<Event>,
    /// What the member has and was not told to give back.
    reading: BTreeMap<Slot, Cursor>,
    /// Resolve when revocations are let go.
    releases: FuturesUnordered<BoxFuture<'static, Vec<LetGo>>>,
    /// Let go, and not yet freed by a round.
    let_go: BTreeSet<LetGo>,
    generation: i64,
    next_round: Instant,
    out_of_reach: bool,
}

/// How far a partition was read.
struct Cursor {
    partition: TopicPartition,
    next: i64,
    /// The end that was told last.
    end_told: Option<i64>,
}

/// What ended a wait.
enum Woken {
    /// Look again.
    Again,
    /// Leave the group; tell it here, if somebody waits for that.
    Leave(Option<oneshot::Sender<()>>),
}

impl Task {
    async fn run(mut self) {
        loop {
            self.shared.polled_at_ms.store(boot_ms(), Ordering::Relaxed);
            let more = match self.look().await {
                Ok(more) => {
                    self.out_of_reach = false;
                    more
                }
                Err(GroupError::Store(error)) => {
                    self.lost_reach(&error);
                    false
                }
                Err(GroupError::Fenced(reason)) => return self.end_fenced(reason).await,
            };
            self.deliver();
            if let Woken::Leave(left) = self.wait(more).await {
                return self.leave(left).await;
            }
        }
    }

    /// Does what is due; returns whether more can be read at once.
    async fn look(&mut self) -> Result<bool, GroupError> {
        let (generation, mut bounds) = self.glance.take(self.store.readers()).await?;
        if generation != self.generation || !self.let_go.is_empty() || Instant::now() >= self.next_round {
            let standing = group::round(&self.store, &self.identity, &self.let_go).await?;
            self.let_go.clear();
            self.next_round = Instant::now() + (self.identity.session_timeout / ROUNDS_PER_TIMEOUT).min(LONGEST_ROUND);
            bounds.extend(standing.held.iter().map(|(slot, held)| (*slot, held.bounds)));
            self.follow(standing);
        }
        Ok(self.read_on(&bounds).await?)
    }

    /// Tells what changed between what the member reads and what it has.
    fn follow(&mut self, standing: Standing) {
        self.generation = standing.generation;
        let kept = |slot: &Slot| standing.held.get(slot).is_some_and(|held| held.revoke_by_ms.is_none());
        let lost: Vec<Slot> = self.reading.keys().filter(|slot| !kept(slot)).copied().collect();
        let mut revoked: BTreeMap<Option<i64>, Vec<Slot>> = BTreeMap::new();
        for slot in lost {
            revoked.entry(standing.held.get(&slot).and_then(|held| held.revoke_by_ms)).or_default().push(slot);
        }
        for (revoke_by_ms, slots) in revoked {
            self.revoke(slots, revoke_by_ms);
        }
        let assigned: Vec<Position> =
            standing.held.into_iter().filter_map(|(slot, held)| self.assigned(slot, held)).collect();
        if !assigned.is_empty() {
            self.outbox.push_back(Event::Assigned(assigned));
        }
    }

    /// Without a deadline they were lost without warning.
    fn revoke(&mut self, slots: Vec<Slot>, revoke_by_ms: Option<i64>) {
        let cursors = slots.iter().filter_map(|slot| self.reading.remove(slot));
        let partitions: Vec<TopicPartition> = cursors.map(|cursor| cursor.partition).collect();
        let left_ms = revoke_by_ms.map_or(0, |by| by.saturating_sub(boot_ms()));
        let deadline = Instant::now() + Duration::from_millis(left_ms.try_into().unwrap_or(0));
        self.shared.paused().retain(|partition| !partitions.contains(partition));
        let (revocation, released) = Revocation::new(partitions, deadline);
        self.outbox.push_back(Event::Revoked(revocation));
        let let_go = revoke_by_ms.map_or_else(Vec::new, |by| slots.into_iter().map(|slot| (slot, by)).collect());
        self.releases.push(Box::pin(async move {
            // Dropped is how it is let go; nothing is ever sent.
            let _ = released.await;
            let_go
        }));
    }

    /// Starts to read a slot that is new, where the group stopped.
    fn assigned(&mut self, slot: Slot, held: Held) -> Option<Position> {
        if held.revoke_by_ms.is_some() || self.reading.contains_key(&slot) {
            return None;
        }
        let partition = self.identity.partition(slot)?;
        let Bounds { low, end } = held.bounds;
        let (committed, metadata) = held.committed.unwrap_or((low, String::new()));
        let offset = committed.clamp(low, end);
        // The metadata counts from the committed offset, and means nothing at another one.
        let metadata = if offset == committed { metadata } else { String::new() };
        if offset != committed {
            tracing::warn!(
                topic = %partition.topic,
                partition = partition.partition,
                committed, low, end,
                "the committed offset is not kept any more; reading from {offset}"
            );
        }
        self.reading.insert(slot, Cursor { partition: partition.clone(), next: offset, end_told: None });
        Some(Position { partition, offset, metadata })
    }

    /// Reads a chunk of every partition that has more, as long as the reader takes them.
    async fn read_on(&mut self, bounds: &BTreeMap<Slot, Bounds>) -> Result<bool, sqlx::Error> {
        self.deliver();
        if !self.outbox.is_empty() || self.events.is_closed() {
            return Ok(false);
        }
        let paused = self.shared.paused().clone();
        let mut more = false;
        for (slot, cursor) in &mut self.reading {
            let Some(&Bounds { low, end }) = bounds.get(slot) else { continue };
            if paused.contains(&cursor.partition) {
                continue;
            }
            if cursor.next < low {
                let Cursor { partition, next, .. } = cursor;
                tracing::warn!(
                    topic = %partition.topic,
                    partition = partition.partition,
                    offset = next, low,
                    "records were not read before their retention ended"
                );
                cursor.next = low;
            }
            if cursor.next < end {
                let chunk = read::chunk(self.store.readers(), *slot, cursor.next, end, CHUNK).await?;
                cursor.next = chunk.next;
                if !chunk.records.is_empty() {
                    let partition = cursor.partition.clone();
                    self.outbox.push_back(Event::Records { partition, records: chunk.records });
                }
            }
            more |= cursor.next < end;
            if cursor.next >= end && cursor.end_told != Some(end) {
                cursor.end_told = Some(end);
                self.outbox.push_back(Event::EndOfPartition { partition: cursor.partition.clone(), offset: end });
            }
        }
        Ok(more)
    }

    fn lost_reach(&mut self, error: &sqlx::Error) {
        let reason = self.store.explain(error);
        if !self.out_of_reach {
            tracing::warn!(group = %self.identity.group, "the log is unavailable: {reason}");
            self.outbox.push_back(Event::Unavailable(reason));
        }
        self.out_of_reach = true;
        self.next_round = Instant::now() + RETRY;
    }

    fn deliver(&mut self) {
        if self.events.is_closed() {
            self.outbox.clear();
        }
        while !self.outbox.is_empty() {
            let Ok(room) = self.events.try_reserve() else { return };
            if let Some(event) = self.outbox.pop_front() {
                room.send(event);
            }
        }
    }

    async fn wait(&mut self, more: bool) -> Woken {
        let more = more && self.outbox.is_empty();
        tokio::select! {
            biased;
            command = self.commands.recv() => return match command {
                Some(Command::Resumed) => Woken::Again,
                Some(Command::Leave(left)) => Woken::Leave(Some(left)),
                None => Woken::Leave(None),
            },
            Some(let_go) = self.releases.next() => self.let_go.extend(let_go),
            () = sleep_until(self.next_round.into()) => {}
            () = ready(()), if more => {}
            () = self.listener.heard() => {}
            Ok(room) = self.events.reserve(), if !self.outbox.is_empty() => {
                if let Some(event) = self.outbox.pop_front() {
                    room.send(event);
                }
            }
        }
        Woken::Again
    }

    async fn leave(self, left: Option<oneshot::Sender<()>>) {
        if let Err(error) = group::leave(&self.store, &self.identity).await {
            let Identity { group, instance, .. } = &*self.identity;
            let reason = self.store.explain(&error);
            tracing::warn!(%group, instance, "left without a word, others wait for the session timeout: {reason}");
        }
        if let Some(left) = left {
            // Whoever asked may have stopped waiting.
            let _ = left.send(());
        }
    }

    /// The last event waits until the reader has room for it, or is gone.
    async fn end_fenced(self, reason: String) {
        let Self { mut outbox, events, commands, .. } = self;
        // Nobody shall wait for a task that leaves no more.
        drop(commands);
        outbox.push_back(Event::Fenced(reason));
        for event in outbox {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

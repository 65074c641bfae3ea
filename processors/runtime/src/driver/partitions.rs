//! The partitions that a stage has now, each with its window.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::ages::Ages;
use super::stillness::Stillness;
use super::task::AssignmentId;
use crate::record::{Position, TopicPartition};
use crate::window::{Tracked, Window};

/// An assigned partition.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) partition: TopicPartition,
    pub(super) window: Window,
    /// Records in a batch that is under way.
    pub(super) working: usize,
    /// Records that are through and wait for their commit.
    pub(super) waiting: usize,
    /// It is to be given back: nothing new is started.
    pub(super) leaving: bool,
    /// Its intake stands still because its window is full.
    pub(super) full: bool,
    pub(super) stillness: Stillness,
    ages: Ages,
    committed: i64,
}

impl Assigned {
    /// Nothing of it is under way or waits for a commit.
    pub(super) fn is_drained(&self) -> bool {
        self.working == 0 && self.waiting == 0
    }

    /// Whether the position is another than the committed one.
    pub(super) fn has_moved(&self) -> bool {
        self.window.position() > self.committed
    }

    /// What to commit.
    pub(super) fn position(&self) -> Position {
        Position { partition: self.partition.clone(), offset: self.window.position(), metadata: self.window.metadata() }
    }
}

/// All assigned partitions.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// Looked into several times a record: a handful of numbers in order is found sooner than by a hash.
    by_id: BTreeMap<AssignmentId, Assigned>,
    ids: HashMap<TopicPartition, AssignmentId>,
    next_id: u64,
}

impl Partitions {
    /// Takes a partition over where the group left it. Metadata that cannot be read is as good as none: its
    /// records are done again, which is harmless.
    pub(super) fn assign(&mut self, position: Position, now: Instant) {
        let window = Window::restore(position.offset, &position.metadata).unwrap_or_else(|error| {
            let partition = &position.partition;
            tracing::warn!(
                topic = %partition.topic,
                partition = partition.partition,
                offset = position.offset, %error,
                "finished records above the position are done again"
            );
            Window::new(position.offset)
        });
        let id = AssignmentId(self.next_id);
        self.next_id += 1;
        if let Some(earlier) = self.ids.insert(position.partition.clone(), id) {
            self.by_id.remove(&earlier);
        }
        let assigned = Assigned {
            partition: position.partition,
            window,
            working: 0,
            waiting: 0,
            leaving: false,
            full: false,
            stillness: Stillness::new(now),
            ages: Ages::default(),
            committed: position.offset,
        };
        self.by_id.insert(id, assigned);
    }

    pub(super) fn id(&self, partition: &TopicPartition) -> Option<AssignmentId> {
        self.ids.get(partition).copied()
    }

    pub(super) fn get(&self, id: AssignmentId) -> Option<&Assigned> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: AssignmentId) -> Option<&mut Assigned> {
        self.by_id.get_mut(&id)
    }

    /// Whether the partition is ours, and not about to be given back.
    pub(super) fn is_staying(&self, id: AssignmentId) -> bool {
        self.by_id.get(&id).is_some_and(|assigned| !assigned.leaving)
    }

    /// Takes an offset in; whether it is to be done.
    pub(super) fn track(&mut self, id: AssignmentId, offset: i64, written_at_ms: i64) -> bool {
        let Some(assigned) = self.by_id.get_mut(&id).filter(|assigned| !assigned.leaving) else { return false };
        let is_new = assigned.window.track(offset) == Tracked::New;
        if is_new {
            assigned.ages.take(offset, written_at_ms);
        }
        is_new
    }

    /// Its outputs are in the commit that is being made.
    pub(super) fn finish(&mut self, id: AssignmentId, offset: i64) {
        if let Some(assigned) = self.by_id.get_mut(&id) {
            assigned.window.finish(offset);
        }
    }

    /// It was read to its end. Of one that is leaving, records before that may have been dropped.
    pub(super) fn reach_end(&mut self, partition: &TopicPartition, offset: i64) {
        let staying = self.id(partition).and_then(|id| self.by_id.get_mut(&id)).filter(|assigned| !assigned.leaving);
        if let Some(assigned) = staying {
            assigned.window.reach_end(offset);
        }
    }

    /// The partition is another's now; what comes back of it later counts for nothing.
    pub(super) fn remove(&mut self, partition: &TopicPartition) {
        if let Some(id) = self.ids.remove(partition) {
            self.by_id.remove(&id);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Assigned> {
        self.by_id.values()
    }

    pub(super) fn all_with_ids(&self) -> impl Iterator<Item = (AssignmentId, &Assigned)> {
        self.by_id.iter().map(|(id, assigned)| (*id, assigned))
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Assigned> {
        self.by_id.values_mut()
    }

    /// Which they are.
    pub(super) fn names(&self) -> Vec<TopicPartition> {
        self.ids.keys().cloned().collect()
    }

    /// When the oldest record in hand was written that is not committed, in milliseconds since 1970.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.by_id.values().filter_map(|assigned| assigned.ages.oldest_ms()).min()
    }

    /// The log took these positions.
    pub(super) fn committed(&mut self, positions: &[Position]) {
        for position in positions {
            if let Some(assigned) = self.id(&position.partition).and_then(|id| self.by_id.get_mut(&id)) {
                assigned.committed = assigned.committed.max(position.offset);
                assigned.ages.pass(position.offset);
            }
        }
    }
}

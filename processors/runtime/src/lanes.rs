//! Lanes: records of a key one after the other, different keys at the same time.
//!
//! Every key has a lane while it has records in hand. A lane is ready, busy (some of its records are in a batch),
//! or waits (its first record failed and is to be tried again). A batch takes the front of ready lanes, those with the
//! oldest records first and as many records of each as fit, and makes these lanes busy; so at any time one batch at
//! most has records of a key.
//! A record without a key has a lane to itself.

mod line;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use self::line::Line;
use crate::batch::Ready;

/// What lanes carry.
pub trait Item {
    /// Bytes that it counts for.
    fn size_bytes(&self) -> usize;
    /// Whether it must be in a batch of its own: it may be what broke the last one.
    fn alone(&self) -> bool;
}

/// A lane; valid until it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not in use.
    Free,
    Ready,
    Busy,
    Waiting(Instant),
}

#[derive(Debug)]
struct Lane<T> {
    key: Option<Bytes>,
    /// Each with its number in the order in which all records came.
    queue: VecDeque<(u64, T)>,
    /// The number of the first record that the last batch took.
    taken: u64,
    /// Of all that is queued.
    bytes: usize,
    state: State,
}

impl<T: Item> Lane<T> {
    fn push_back(&mut self, number: u64, item: T) {
        self.bytes += item.size_bytes();
        self.queue.push_back((number, item));
    }

    /// Puts back what was taken last.
    fn push_front(&mut self, item: T) {
        self.bytes += item.size_bytes();
        self.queue.push_front((self.taken, item));
    }

    fn pop_front(&mut self) -> Option<T> {
        let (_, item) = self.queue.pop_front()?;
        self.bytes -= item.size_bytes();
        Some(item)
    }

    /// The number of its first record.
    fn first(&self) -> u64 {
        self.queue.front().map_or(self.taken, |(number, _)| *number)
    }

    fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.queue.retain(|(_, item)| keep(item));
        self.bytes = self.queue.iter().map(|(_, item)| item.size_bytes()).sum();
    }
}

/// All lanes of a stage.
#[derive(Debug)]
pub struct Lanes<T> {
    by_key: HashMap<Bytes, LaneId>,
    lanes: Vec<Lane<T>>,
    free: Vec<LaneId>,
    ready: Line,
    waiting: BinaryHeap<Reverse<(Instant, LaneId)>>,
    ready_records: usize,
    ready_bytes: usize,
    ready_since: Option<Instant>,
    queued: usize,
    /// Records that have come.
    came: u64,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            lanes: Vec::new(),
            free: Vec::new(),
            ready: Line::default(),
            waiting: BinaryHeap::new(),
            ready_records: 0,
            ready_bytes: 0,
            ready_since: None,
            queued: 0,
            came: 0,
        }
    }
}

impl<T: Item> Lanes<T> {
    /// Puts a record behind the others of its key.
    pub fn push(&mut self, key: Option<&Bytes>, item: T, now: Instant) {
        let id = self.lane_of(key);
        let size_bytes = item.size_bytes();
        let lane = &mut self.lanes[id.0];
        lane.push_back(self.came, item);
        self.came += 1;
        self.queued += 1;
        match lane.state {
            State::Free => self.make_ready(id, now),
            State::Ready => {
                self.ready_records += 1;
                self.ready_bytes += size_bytes;
            }
            State::Busy | State::Waiting(_) => {}
        }
    }

    /// What a batch could take.
    pub fn ready(&self) -> Ready {
        Ready { records: self.ready_records, bytes: self.ready_bytes, since: self.ready_since }
    }

    /// Records that wait in lanes, ready or not.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Takes a batch: of each lane a run of records in order, at most `records` and `bytes` in all (at least one
    /// record). The lanes are busy until they are released or given back.
    pub fn take(&mut self, records: usize, bytes: usize, now: Instant) -> Vec<(LaneId, T)> {
        let mut batch = Vec::with_capacity(records.min(self.ready_records));
        let mut size_bytes = 0;
        while let Some(id) = self.ready.front() {
            let lane = &mut self.lanes[id.0];
            let taken_before = batch.len();
            lane.taken = lane.first();
            while let Some((_, item)) = lane.queue.front() {
                let fits = batch.len() < records && size_bytes + item.size_bytes() <= bytes && !item.alone();
                if !fits && !batch.is_empty() {
                    break;
                }
                let last = item.alone();
                size_bytes += item.size_bytes();
                batch.extend(lane.pop_front().map(|item| (id, item)));
                if last {
                    self.leave_ready(id, batch.len() - taken_before, now);
                    return self.count_out(batch, size_bytes);
                }
            }
            if batch.len() == taken_before {
                break;
            }
            self.leave_ready(id, batch.len() - taken_before, now);
        }
        self.count_out(batch, size_bytes)
    }

    /// All of the batch's records of this lane are through: the next of the key may come.
    pub fn release(&mut self, id: LaneId, now: Instant) {
        if self.lanes[id.0].queue.is_empty() {
            self.remove(id);
        } else {
            self.make_ready(id, now);
        }
    }

    /// These, the last that the batch had of this lane, are not through: they come before the others of the key
    /// again, not before `until`.
    pub fn give_back(&mut self, id: LaneId, items: impl DoubleEndedIterator<Item = T>, until: Instant) {
        let lane = &mut self.lanes[id.0];
        for item in items.rev() {
            lane.push_front(item);
            self.queued += 1;
        }
        lane.state = State::Waiting(until);
        self.waiting.push(Reverse((until, id)));
    }

    /// Makes lanes ready whose wait is over.
    pub fn wake(&mut self, now: Instant) {
        while let Some(&Reverse((until, id))) = self.waiting.peek() {
            if until > now {
                break;
            }
            self.waiting.pop();
            if self.lanes[id.0].state == State::Waiting(until) {
                self.release(id, now);
            }
        }
    }

    /// When the next wait is over.
    pub fn next_wake(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse((until, _))| *until)
    }

    /// Forgets queued records that are not to be done any more.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        (self.queued, self.ready_records, self.ready_bytes) = (0, 0, 0);
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            lane.retain(&mut keep);
            self.queued += lane.queue.len();
            if lane.state == State::Ready {
                self.ready_records += lane.queue.len();
                self.ready_bytes += lane.bytes;
            }
            if lane.queue.is_empty() && matches!(lane.state, State::Ready | State::Waiting(_)) {
                self.remove(LaneId(index));
            }
        }
        let lanes = &self.lanes;
        self.ready.retain(|id| lanes[id.0].state == State::Ready);
        self.waiting.retain(|Reverse((until, id))| lanes[id.0].state == State::Waiting(*until));
        if self.ready.is_empty() {
            self.ready_since = None;
        }
    }

    fn lane_of(&mut self, key: Option<&Bytes>) -> LaneId {
        if let Some(&id) = key.and_then(|key| self.by_key.get(key)) {
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.lanes.push(Lane { key: None, queue: VecDeque::new(), taken: 0, bytes: 0, state: State::Free });
            LaneId(self.lanes.len() - 1)
        });
        if let Some(key) = key {
            self.lanes[id.0].key = Some(key.clone());
            self.by_key.insert(key.clone(), id);
        }
        id
    }

    fn make_ready(&mut self, id: LaneId, now: Instant) {
        let lane = &mut self.lanes[id.0];
        lane.state = State::Ready;
        self.ready_records += lane.queue.len();
        self.ready_bytes += lane.bytes;
        self.ready.push(lane.first(), id);
        self.ready_since.get_or_insert(now);
    }

    /// The front lane is busy now; what it has left is not ready.
    fn leave_ready(&mut self, id: LaneId, taken: usize, now: Instant) {
        let lane = &mut self.lanes[id.0];
        lane.state = State::Busy;
        self.ready.pop_front();
        self.ready_records -= taken + lane.queue.len();
        self.ready_bytes -= lane.bytes;
        self.ready_since = (!self.ready.is_empty()).then_some(now);
    }

    fn count_out(&mut self, batch: Vec<(LaneId, T)>, size_bytes: usize) -> Vec<(LaneId, T)> {
        self.queued -= batch.len();
        self.ready_bytes -= size_bytes;
        batch
    }

    fn remove(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id.0];
        lane.state = State::Free;
        if let Some(key) = lane.key.take() {
            self.by_key.remove(&key);
        }
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests;

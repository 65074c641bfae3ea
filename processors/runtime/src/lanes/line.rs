//! The lanes that are ready, the one with the oldest record first.
//!
//! Oldest first keeps the window of a partition short: whoever went round the keys in turn would leave behind those
//! that have many records, until the window is full of what is finished behind them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::LaneId;

/// Lanes with the number of their first record, in the order in which records came.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Those that stand in order as they come: a lane's first record mostly is the newest of all.
    in_order: VecDeque<(u64, LaneId)>,
    /// The others.
    others: BinaryHeap<Reverse<(u64, LaneId)>>,
}

impl Line {
    pub(super) fn push(&mut self, first: u64, id: LaneId) {
        if self.in_order.back().is_none_or(|(last, _)| *last <= first) {
            self.in_order.push_back((first, id));
        } else {
            self.others.push(Reverse((first, id)));
        }
    }

    pub(super) fn front(&self) -> Option<LaneId> {
        self.others_first().map_or(self.in_order.front(), Some).map(|(_, id)| *id)
    }

    pub(super) fn pop_front(&mut self) {
        if self.others_first().is_some() {
            self.others.pop();
        } else {
            self.in_order.pop_front();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_order.is_empty() && self.others.is_empty()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(LaneId) -> bool) {
        self.in_order.retain(|(_, id)| keep(*id));
        self.others.retain(|Reverse((_, id))| keep(*id));
    }

    /// The first of the others, where it comes before those in order.
    fn others_first(&self) -> Option<&(u64, LaneId)> {
        let Reverse(other) = self.others.peek()?;
        self.in_order.front().is_none_or(|first| other < first).then_some(other)
    }
}

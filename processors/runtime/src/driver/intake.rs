//! What is taken in, what is held back, and what is given up again: back-pressure and stop.

use std::time::Instant;

use super::partitions::{Assigned, Partitions};
use super::stillness::Stillness;
use super::task::Task;
use super::{Driver, State};
use crate::breach::Breach;
use crate::lanes::Item;
use crate::record::{Record, TopicPartition};
use crate::stage::Stage;

impl<S: Stage> Driver<S> {
    pub(super) fn take_records(&mut self, partition: &TopicPartition, records: Vec<Record>, now: Instant) {
        let Some(assignment) = self.partitions.id(partition) else { return };
        if self.draining_until.is_some() {
            return;
        }
        self.at_end = false;
        self.note_sign(partition, now, Stillness::moves);
        for record in records {
            if !self.partitions.track(assignment, record.offset, record.timestamp_ms) {
                continue;
            }
            if self.plan.breach == Some(Breach::Completion) {
                self.partitions.finish(assignment, record.offset);
            }
            let key = record.key.clone().filter(|_| self.plan.breach != Some(Breach::Lanes));
            let task = Task { assignment, record, failures: 0, first_failed_at_ms: 0, suspect: false };
            self.taken_bytes += task.size_bytes();
            self.lanes.push(key.as_ref(), task, now);
        }
        let full = self.partitions.get_mut(assignment).filter(|assigned| !assigned.full && !assigned.window.has_room());
        if let Some(assigned) = full {
            assigned.full = true;
            assigned.stillness.rests(now);
            self.member.pause(std::slice::from_ref(partition));
        }
    }

    /// The position goes there once all before it is finished. On the way out nothing is taken in any more, so what lies
    /// before this end may have been dropped, and the end says nothing.
    pub(super) fn take_end(&mut self, partition: &TopicPartition, offset: i64, now: Instant) {
        if self.draining_until.is_some() {
            return;
        }
        self.note_sign(partition, now, Stillness::rests);
        self.partitions.reach_end(partition, offset);
        self.at_end = true;
    }

    /// Pauses the intake when enough is in hand, and takes it up again when half of that is through.
    pub(super) fn control_intake(&mut self, now: Instant) {
        if self.draining_until.is_some() || self.breaker.tripped() {
            return;
        }
        let settings = &self.plan.settings;
        let (records, bytes) = (self.in_hand(), self.taken_bytes + self.through_bytes());
        if !self.saturated && (records >= settings.in_flight_records || bytes >= settings.in_flight_bytes) {
            self.saturated = true;
            self.pause_all(now);
        } else if self.saturated && records <= settings.in_flight_records / 2 && bytes <= settings.in_flight_bytes / 2 {
            self.saturated = false;
            let open = self.partitions.all_mut().filter(|assigned| !assigned.full && !assigned.leaving);
            let open = open.map(|assigned| opened(assigned, now)).collect::<Vec<_>>();
            self.member.resume(&open);
        }
        let mut room_again = Vec::new();
        // A client forgets what it has fetched of a partition that is paused, and fetches it again.
        for assigned in self.partitions.all_mut().filter(|assigned| assigned.full && assigned.window.has_much_room()) {
            assigned.full = false;
            if !self.saturated && !assigned.leaving {
                room_again.push(opened(assigned, now));
            }
        }
        if !room_again.is_empty() {
            self.member.resume(&room_again);
        }
    }

    pub(super) fn pause_all(&mut self, now: Instant) {
        self.partitions.all_mut().for_each(|assigned| assigned.stillness.rests(now));
        self.member.pause(&self.partitions.names());
    }

    /// The process is asked to stop: nothing new is started; what is under way is finished and committed.
    pub(super) fn drain(&mut self, now: Instant) {
        self.status.enter(State::Draining);
        self.draining_until = Some(now + self.plan.drain_deadline);
        // Whatever went wrong before: there is no time to wait for.
        self.next_commit_at = now;
        self.pause_all(now);
        self.forget_queued(|_, _| false);
    }

    /// Whether a stop has come to its end; what did not make it within the deadline is done again by the next.
    pub(super) fn is_drained(&self) -> bool {
        let Some(until) = self.draining_until else { return false };
        if self.plan.breach == Some(Breach::Drain) {
            return true;
        }
        let through = self.working.is_empty() && self.outbox.is_empty() && self.committing.is_none();
        if !through && Instant::now() >= until {
            tracing::warn!(
                stage = self.stage.name(),
                in_hand = self.in_hand(),
                "the drain deadline has passed; the rest is done again"
            );
            return true;
        }
        through && !self.partitions.all().any(Assigned::has_moved)
    }

    /// Drops records that have not been started; whoever has the partition next reads them again.
    pub(super) fn forget_queued(&mut self, keep: impl Fn(&Partitions, &Task) -> bool) {
        let (partitions, mut freed_bytes) = (&self.partitions, 0);
        self.lanes.retain(|task| {
            let keep = keep(partitions, task);
            freed_bytes += if keep { 0 } else { task.size_bytes() };
            keep
        });
        self.taken_bytes -= freed_bytes;
    }
}

/// The partition, whose intake is taken up again.
fn opened(assigned: &mut Assigned, now: Instant) -> TopicPartition {
    assigned.stillness.moves(now);
    assigned.partition.clone()
}

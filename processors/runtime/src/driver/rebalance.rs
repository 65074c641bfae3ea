//! What the group gives and takes: partitions come, are finished and let go, and how long each stands still.

use std::time::Instant;

use super::Driver;
use super::stillness::{Side, Stillness};
use crate::breach::Breach;
use crate::log::Revocation;
use crate::record::TopicPartition;
use crate::stage::Stage;

impl<S: Stage> Driver<S> {
    /// What stays is watched from here on.
    pub(super) fn begin_rebalance(&mut self, now: Instant) {
        self.rebalancing = true;
        let staying = self.partitions.all_mut().filter(|assigned| !assigned.leaving && !assigned.stillness.is_new());
        staying.for_each(|assigned| assigned.stillness.watch(now));
    }

    /// Nothing new of these is started; what is under way is finished and committed, until the deadline.
    pub(super) fn begin_revocation(&mut self, revocation: Revocation, now: Instant) {
        self.meters.revoked();
        for partition in &revocation.partitions {
            if let Some(assigned) = self.partitions.id(partition).and_then(|id| self.partitions.get_mut(id)) {
                assigned.leaving = true;
            }
        }
        self.begin_rebalance(now);
        // Whatever went wrong before: there is no time to wait for.
        self.next_commit_at = now;
        self.revocations.push((revocation, now));
        self.forget_queued(|partitions, task| partitions.is_staying(task.assignment));
    }

    /// Lets partitions go that are drained or whose deadline is over.
    pub(super) fn release_revoked(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for (revocation, since) in std::mem::take(&mut self.revocations) {
            let ids = revocation.partitions.iter().filter_map(|partition| self.partitions.id(partition));
            let all = ids.filter_map(|id| self.partitions.get(id));
            let undrained: Vec<_> = all.filter(|assigned| !assigned.is_drained() || assigned.has_moved()).collect();
            let is_in_time = now < revocation.deadline || self.plan.breach == Some(Breach::Fencing);
            if !undrained.is_empty() && is_in_time {
                next = next.into_iter().chain([revocation.deadline]).min();
                self.revocations.push((revocation, since));
                continue;
            }
            self.meters.given_up(undrained.iter().map(|assigned| assigned.working + assigned.waiting).sum());
            for partition in &revocation.partitions {
                self.meters.stood_still(Side::Given, now.duration_since(since));
                self.partitions.remove(partition);
            }
            self.status.set_partitions(self.partitions.names());
            let partitions = &self.partitions;
            self.outbox.retain(|finished| partitions.get(finished.assignment).is_some());
        }
        self.end_rebalance(now);
        next
    }

    /// A partition gave a sign: records, or its end.
    pub(super) fn note_sign(&mut self, partition: &TopicPartition, now: Instant, sign: fn(&mut Stillness, Instant)) {
        let Some(assigned) = self.partitions.id(partition).and_then(|id| self.partitions.get_mut(id)) else { return };
        sign(&mut assigned.stillness, now);
        if let Some(took) = assigned.stillness.begins(now) {
            self.meters.stood_still(Side::Taken, took);
        }
    }

    /// It is over when all that goes is gone and all that came has begun.
    fn end_rebalance(&mut self, now: Instant) {
        let goes_on = !self.revocations.is_empty() || self.partitions.all().any(|assigned| assigned.stillness.is_new());
        if !self.rebalancing || goes_on {
            return;
        }
        self.rebalancing = false;
        for assigned in self.partitions.all_mut() {
            if let Some(longest) = assigned.stillness.unwatch(now) {
                self.meters.stood_still(Side::Kept, longest);
            }
        }
    }
}

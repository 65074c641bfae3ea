//! Which member had which record of which partition in hand, and when.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::PATIENCE;

const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A record in a member's hand.
#[derive(Clone, Copy)]
struct Sighting {
    at: Instant,
    member: &'static str,
    number: u64,
}

/// All of them, by partition, in the order of time.
pub(super) struct Sightings(Vec<Mutex<Vec<Sighting>>>);

/// The longest pauses in a change, of a partition that stayed with its member and of one that moved.
#[derive(Clone, Copy)]
pub(super) struct Pauses {
    pub(super) kept: Duration,
    pub(super) moved: Duration,
}

impl Pauses {
    /// Of two changes.
    pub(super) fn max(self, other: Self) -> Self {
        Self { kept: self.kept.max(other.kept), moved: self.moved.max(other.moved) }
    }
}

impl fmt::Display for Pauses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "kept {:.0?}, moved {:.0?}", self.kept, self.moved)
    }
}

impl Sightings {
    pub(super) fn new(partitions: i32) -> Self {
        Self((0..partitions).map(|_| Mutex::default()).collect())
    }

    /// A member has a record in hand.
    pub(super) fn add(&self, member: &'static str, partition: usize, number: u64) {
        if let Some(sightings) = self.0.get(partition) {
            let mut sightings = sightings.lock().unwrap_or_else(PoisonError::into_inner);
            sightings.push(Sighting { at: Instant::now(), member, number });
        }
    }

    fn of(&self, partition: usize) -> Vec<Sighting> {
        self.0[partition].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn partitions(&self) -> impl Iterator<Item = Vec<Sighting>> {
        (0..self.0.len()).map(|partition| self.of(partition))
    }

    /// Waits until the partitions have had so many owners, and no others, for this long.
    pub(super) fn wait_for_owners(&self, members: usize, steady: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let since = Instant::now().checked_sub(steady).unwrap_or_else(Instant::now);
            let owners: Vec<BTreeSet<&str>> = self.partitions().map(|all| owners(&all, since)).collect();
            let of_all: BTreeSet<&str> = owners.iter().flatten().copied().collect();
            if of_all.len() == members && owners.iter().all(|owners| owners.len() == 1) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{members} members did not share the partitions: {owners:?}");
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits until the last of so many records of every partition was seen.
    pub(super) fn wait_for_all(&self, count: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.partitions().all(|all| all.iter().any(|sighting| sighting.number + 1 == count)) {
            ensure!(Instant::now() < deadline, "not every record was seen");
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// The longest pauses while something changes.
    pub(super) fn during<T>(&self, change: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Pauses)> {
        let from = Instant::now();
        let changed = change()?;
        let mut pauses = Pauses { kept: Duration::ZERO, moved: Duration::ZERO };
        for all in self.partitions() {
            // With the last one before the change, from which the first gap counts.
            let begin = all.partition_point(|sighting| sighting.at < from).saturating_sub(1);
            let seen = &all[begin..];
            let has_moved = seen.iter().map(|sighting| sighting.member).collect::<BTreeSet<_>>().len() > 1;
            let gaps = seen.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at));
            let longest = gaps.max().unwrap_or_default();
            let pause = if has_moved { &mut pauses.moved } else { &mut pauses.kept };
            *pause = longest.max(*pause);
        }
        Ok((changed, pauses))
    }
}

fn owners(all: &[Sighting], since: Instant) -> BTreeSet<&'static str> {
    all.iter().rev().take_while(|sighting| sighting.at >= since).map(|sighting| sighting.member).collect()
}

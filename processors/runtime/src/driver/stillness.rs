//! How long a partition stands still while its group shares partitions out anew.
//!
//! It stands still while nothing comes of it though there may be something: it was not read to its end, and the
//! stage does not hold it back by itself. One that has just been assigned stands still until its first sign.

use std::time::{Duration, Instant};

/// What a rebalance is to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It stays: how long it stood still meanwhile, at the longest.
    Kept,
    /// It goes: from the revocation until it was let go.
    Given,
    /// It came: from the assignment until its first record, or its end.
    Taken,
}

impl Side {
    /// As a label says it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Given => "given",
            Self::Taken => "taken",
        }
    }
}

/// The stillness of one partition.
#[derive(Debug)]
pub(super) struct Stillness {
    /// Since when nothing came; `None` while nothing can come.
    still_since: Option<Instant>,
    /// When it was assigned, until its first sign.
    assigned_at: Option<Instant>,
    /// Since when a rebalance goes on, and the longest stillness in it.
    watched: Option<(Instant, Duration)>,
}

impl Stillness {
    /// Of a partition that was just assigned.
    pub(super) fn new(now: Instant) -> Self {
        Self { still_since: Some(now), assigned_at: Some(now), watched: None }
    }

    /// Records came, or may come again.
    pub(super) fn moves(&mut self, now: Instant) {
        self.measure(now);
        self.still_since = Some(now);
    }

    /// Nothing can come: it was read to its end, or is held back.
    pub(super) fn rests(&mut self, now: Instant) {
        self.measure(now);
        self.still_since = None;
    }

    /// Something came for the first time; how long that took.
    pub(super) fn begins(&mut self, now: Instant) -> Option<Duration> {
        self.assigned_at.take().map(|assigned_at| now.duration_since(assigned_at))
    }

    /// It was assigned, and nothing came yet.
    pub(super) fn is_new(&self) -> bool {
        self.assigned_at.is_some()
    }

    /// A rebalance goes on from here.
    pub(super) fn watch(&mut self, now: Instant) {
        self.watched.get_or_insert((now, Duration::ZERO));
    }

    /// The rebalance is over; the longest stillness in it. Nothing for one that was not there from its beginning.
    pub(super) fn unwatch(&mut self, now: Instant) -> Option<Duration> {
        self.measure(now);
        self.watched.take().map(|(_, longest)| longest)
    }

    fn measure(&mut self, now: Instant) {
        if let (Some(still_since), Some((from, longest))) = (self.still_since, &mut self.watched) {
            *longest = now.saturating_duration_since(still_since.max(*from)).max(*longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn what_was_before_the_rebalance_does_not_count() {
        let start = Instant::now();
        let mut partition = Stillness::new(start);
        partition.watch(at(start, 700));
        partition.moves(at(start, 710));
        partition.moves(at(start, 740));
        assert_eq!(partition.unwatch(at(start, 750)), Some(Duration::from_millis(30)));
        assert_eq!(partition.unwatch(at(start, 760)), None);
    }

    #[test]
    fn a_partition_at_its_end_does_not_stand_still() {
        let start = Instant::now();
        let mut partition = Stillness::new(start);
        partition.rests(start);
        partition.watch(start);
        partition.moves(at(start, 5_000));
        partition.rests(at(start, 5_000));
        assert_eq!(partition.unwatch(at(start, 9_000)), Some(Duration::ZERO));
    }

    #[test]
    fn the_first_sign_is_told_once() {
        let start = Instant::now();
        let mut partition = Stillness::new(start);
        assert!(partition.is_new());
        assert_eq!(partition.begins(at(start, 40)), Some(Duration::from_millis(40)));
        assert!(!partition.is_new());
        assert_eq!(partition.begins(at(start, 90)), None);
    }

    proptest! {
        /// The longest gap between signs within the rebalance, by looking at each of its milliseconds.
        #[test]
        fn the_longest_gap_is_what_a_clock_beside_it_sees(
            signs in prop::collection::vec((0..200_u64, prop::bool::ANY), 0..20),
            from in 0..200_u64,
            length in 0..200_u64,
        ) {
            let mut signs = signs;
            signs.sort_unstable();
            let (start, to) = (Instant::now(), from + length);
            let mut partition = Stillness::new(start);
            let mut is_watched = false;
            for (ms, moves) in signs.iter().copied().filter(|(ms, _)| *ms <= to) {
                if ms >= from && !is_watched {
                    partition.watch(at(start, from));
                    is_watched = true;
                }
                if moves { partition.moves(at(start, ms)) } else { partition.rests(at(start, ms)) }
            }
            partition.watch(at(start, from));
            let seen = partition.unwatch(at(start, to)).unwrap_or_default();

            let (mut longest, mut gap) = (0, 0);
            for ms in from..to {
                let last = signs.iter().rev().find(|(sign, _)| *sign <= ms);
                let is_still = last.is_none_or(|(_, moves)| *moves);
                let begins = signs.iter().any(|(sign, _)| *sign == ms);
                gap = if is_still { if begins { 1 } else { gap + 1 } } else { 0 };
                longest = longest.max(gap);
            }
            prop_assert_eq!(seen, Duration::from_millis(longest));
        }
    }
}

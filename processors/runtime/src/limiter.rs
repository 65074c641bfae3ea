//! How many calls to a dependency may be under way: additive increase, multiplicative decrease.
//!
//! Calls are looked at in rounds, each about as long as a round trip. Up by one after a round that reached the limit
//! and went well; down by a tenth, and at least by one, on push-back, or when the mean of some round trips grows
//! beyond the usual mean plus 2.5 deviations (the rule of Vector's adaptive request concurrency; mean and variance are
//! exponentially weighted). One round steps down once.
//!
//! Where it was pushed back it does not go again before [`HOLD_CALLS`] calls went well: a limit that stands still
//! costs one refused call in a hundred, however low it is.

use std::time::Duration;

/// Calls that went well before the limit goes again where it was pushed back.
const HOLD_CALLS: u32 = 100;
/// Calls whose mean round trip is looked at together: means of fewer scatter too much to say anything.
const SAMPLE_CALLS: usize = 20;
/// Weight of a new sample in the mean.
const WEIGHT: f64 = 0.4;
/// Deviations above the mean at which a sample counts as pushed back, if it is also above this share of the mean.
const DEVIATIONS: f64 = 2.5;
const LEAST_GROWTH: f64 = 0.3;
/// Samples seen before their growth counts.
const WARM_UP: u32 = 4;

/// A call that is under way; hand it back to [`Limiter::finish`].
#[derive(Debug)]
pub struct Ticket {
    number: u64,
}

/// The limit of one dependency.
#[derive(Debug)]
pub struct Limiter {
    limit: f64,
    most: usize,
    in_flight: usize,
    next_ticket: u64,
    round: Round,
    sample: Sample,
    /// The limit that was pushed back last, until it has held again.
    ceiling: Option<f64>,
    good_calls: u32,
    round_trips: RoundTrips,
}

/// The calls that tell whether the limit is right: those that started under it.
#[derive(Debug, Default)]
struct Round {
    /// Tickets below it belong to earlier rounds, and say nothing.
    from: u64,
    calls: usize,
    reached_limit: bool,
}

/// Round trips under one limit.
#[derive(Debug, Default)]
struct Sample {
    calls: usize,
    sum_s: f64,
}

/// What samples were like.
#[derive(Debug, Default)]
struct RoundTrips {
    seen: u32,
    mean_s: f64,
    variance_s2: f64,
}

impl Limiter {
    /// A limiter that starts at one call and allows `most` at best.
    pub fn new(most: usize) -> Self {
        Self {
            limit: 1.0,
            most: most.max(1),
            in_flight: 0,
            next_ticket: 0,
            round: Round::default(),
            sample: Sample::default(),
            ceiling: None,
            good_calls: 0,
            round_trips: RoundTrips::default(),
        }
    }

    /// How many calls may be under way.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Starts a call, where the limit allows one more.
    pub fn start(&mut self) -> Option<Ticket> {
        if self.in_flight >= self.limit() {
            return None;
        }
        self.in_flight += 1;
        self.round.reached_limit |= self.in_flight == self.limit();
        let ticket = Ticket { number: self.next_ticket };
        self.next_ticket += 1;
        Some(ticket)
    }

    /// Ends a call that took `round_trip`; `pushed_back` says that the dependency was too busy or not there.
    pub fn finish(&mut self, ticket: Ticket, round_trip: Duration, pushed_back: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if ticket.number < self.round.from {
            return;
        }
        if pushed_back {
            return self.step_down();
        }
        self.good_calls = self.good_calls.saturating_add(1);
        self.round.calls += 1;
        self.sample.calls += 1;
        self.sample.sum_s += round_trip.as_secs_f64();
        if self.sample.calls >= SAMPLE_CALLS {
            let sample = std::mem::take(&mut self.sample);
            if self.round_trips.grew(sample.sum_s / sample.calls as f64) {
                return self.step_down();
            }
        }
        if self.round.calls >= self.limit() {
            if self.round.reached_limit {
                self.step_up();
            }
            self.begin_round();
        }
    }

    fn step_up(&mut self) {
        let next = (self.limit + 1.0).min(self.most as f64);
        if self.ceiling.is_some_and(|ceiling| next >= ceiling.floor()) {
            if self.good_calls < HOLD_CALLS {
                return;
            }
            self.ceiling = None;
        }
        self.limit = next;
    }

    fn step_down(&mut self) {
        self.ceiling = Some(self.limit);
        self.limit = (self.limit * 0.9).min(self.limit.floor() - 1.0).max(1.0);
        self.good_calls = 0;
        self.sample = Sample::default();
        self.begin_round();
    }

    fn begin_round(&mut self) {
        self.round = Round { from: self.next_ticket, ..Round::default() };
    }
}

impl RoundTrips {
    /// Takes in a sample's mean; whether it lies above what is usual.
    fn grew(&mut self, mean_s: f64) -> bool {
        let margin_s = (DEVIATIONS * self.variance_s2.sqrt()).max(LEAST_GROWTH * self.mean_s);
        let grew = self.seen >= WARM_UP && mean_s > self.mean_s + margin_s;
        self.seen = self.seen.saturating_add(1);
        if self.seen == 1 {
            self.mean_s = mean_s;
            return false;
        }
        let difference = mean_s - self.mean_s;
        self.mean_s += WEIGHT * difference;
        self.variance_s2 = (1.0 - WEIGHT) * (self.variance_s2 + WEIGHT * difference * difference);
        grew
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEADY: Duration = Duration::from_millis(10);

    fn grow(limiter: &mut Limiter, rounds: usize) {
        for _ in 0..rounds {
            let tickets: Vec<Ticket> = std::iter::from_fn(|| limiter.start()).collect();
            tickets.into_iter().for_each(|ticket| limiter.finish(ticket, STEADY, false));
        }
    }

    #[test]
    fn it_grows_by_one_a_round_while_the_limit_is_reached() {
        let mut limiter = Limiter::new(10);
        grow(&mut limiter, 4);
        assert_eq!(limiter.limit(), 5);
        grow(&mut limiter, 50);
        assert_eq!(limiter.limit(), 10);
    }

    #[test]
    fn one_burst_of_push_back_costs_one_tenth() {
        let mut limiter = Limiter::new(100);
        grow(&mut limiter, 99);
        let tickets: Vec<Ticket> = std::iter::from_fn(|| limiter.start()).collect();
        tickets.into_iter().for_each(|ticket| limiter.finish(ticket, STEADY, true));
        assert_eq!(limiter.limit(), 90);
    }

    #[test]
    fn round_trips_far_above_the_mean_count_as_push_back() {
        let mut limiter = Limiter::new(20);
        grow(&mut limiter, 19);
        let tickets: Vec<Ticket> = std::iter::from_fn(|| limiter.start()).collect();
        tickets.into_iter().for_each(|ticket| limiter.finish(ticket, STEADY * 20, false));
        assert_eq!(limiter.limit(), 18);
    }

    #[test]
    fn a_limit_that_rises_is_found_again() {
        let mut limiter = Limiter::new(100);
        rounds(&mut limiter, 5, 200);
        rounds(&mut limiter, 60, 100);
        assert!(limiter.limit() >= 50, "{}", limiter.limit());
    }

    /// Rounds with a dependency that takes so many calls at a time; the share of calls that it refused, and of those
    /// that it could have taken and did.
    fn rounds(limiter: &mut Limiter, hidden: usize, rounds: usize) -> (f64, f64) {
        let (mut calls, mut refused) = (0, 0);
        for _ in 0..rounds {
            let tickets: Vec<Ticket> = std::iter::from_fn(|| limiter.start()).collect();
            calls += tickets.len();
            for (place, ticket) in tickets.into_iter().enumerate() {
                refused += usize::from(place >= hidden);
                limiter.finish(ticket, STEADY, place >= hidden);
            }
        }
        (refused as f64 / calls as f64, (calls - refused) as f64 / (hidden * rounds) as f64)
    }

    proptest! {
        #[test]
        fn a_limit_that_stands_still_is_used_and_hardly_ever_overstepped(hidden in 1_usize..60) {
            let mut limiter = Limiter::new(100);
            rounds(&mut limiter, hidden, 2 * hidden);
            let (refused, used) = rounds(&mut limiter, hidden, 1_000);
            prop_assert!(refused < 0.015 && used > 0.85, "{refused} refused, {used} used");
        }

        #[test]
        fn it_never_lets_more_through_than_its_limit(
            most in 1_usize..20, steps in prop::collection::vec((any::<bool>(), 1_u64..500, any::<bool>()), 0..300),
        ) {
            let mut limiter = Limiter::new(most);
            let mut under_way = Vec::new();
            for (start, millis, pushed_back) in steps {
                if start {
                    under_way.extend(limiter.start());
                } else if let Some(ticket) = under_way.pop() {
                    limiter.finish(ticket, Duration::from_millis(millis), pushed_back);
                }
                prop_assert!((1..=most).contains(&limiter.limit()));
                prop_assert!(under_way.len() <= most);
            }
        }
    }
}

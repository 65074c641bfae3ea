//! How many calls to a dependency may be under way: additive increase, multiplicative decrease.
//!
//! Up by one when the limit was reached and all went well; down by a tenth on push-back, or when the round trip
//! grows beyond its mean plus 2.5 deviations (the rule of Vector's adaptive request concurrency). Mean and
//! variance are exponentially weighted. After a step down, calls that started before it say nothing more.

use std::time::Duration;

/// Weight of a new round trip in the mean.
const WEIGHT: f64 = 0.4;
/// Deviations above the mean at which a round trip counts as push-back.
const DEVIATIONS: f64 = 2.5;
/// Round trips seen before their growth counts.
const WARM_UP: u32 = 8;

/// A call that is under way; hand it back to [`Limiter::finish`].
#[derive(Debug)]
pub struct Ticket {
    number: u64,
    at_limit: bool,
}

/// The limit of one dependency.
#[derive(Debug)]
pub struct Limiter {
    limit: f64,
    most: usize,
    in_flight: usize,
    next_ticket: u64,
    /// Tickets below it started before the last step down.
    valid_from: u64,
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
            valid_from: 0,
            seen: 0,
            mean_s: 0.0,
            variance_s2: 0.0,
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
        let ticket = Ticket { number: self.next_ticket, at_limit: self.in_flight == self.limit() };
        self.next_ticket += 1;
        Some(ticket)
    }

    /// Ends a call that took `round_trip`; `pushed_back` says that the dependency was too busy or not there.
    pub fn finish(&mut self, ticket: Ticket, round_trip: Duration, pushed_back: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let seconds = round_trip.as_secs_f64();
        let slow = self.seen >= WARM_UP && seconds > self.mean_s + DEVIATIONS * self.variance_s2.sqrt();
        self.learn(seconds);
        if ticket.number < self.valid_from {
            return;
        }
        if pushed_back || slow {
            self.limit = (self.limit * 0.9).max(1.0);
            self.valid_from = self.next_ticket;
        } else if ticket.at_limit {
            self.limit = (self.limit + 1.0).min(self.most as f64);
        }
    }

    fn learn(&mut self, seconds: f64) {
        self.seen = self.seen.saturating_add(1);
        if self.seen == 1 {
            self.mean_s = seconds;
            return;
        }
        let difference = seconds - self.mean_s;
        self.mean_s += WEIGHT * difference;
        self.variance_s2 = (1.0 - WEIGHT) * (self.variance_s2 + WEIGHT * difference * difference);
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
    fn a_round_trip_far_above_the_mean_counts_as_push_back() {
        let mut limiter = Limiter::new(20);
        grow(&mut limiter, 19);
        let ticket = limiter.start().unwrap();
        limiter.finish(ticket, STEADY * 20, false);
        assert_eq!(limiter.limit(), 18);
    }

    proptest! {
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

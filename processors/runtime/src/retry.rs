//! How long a failed record waits before it is tried again.

use std::time::Duration;

/// Exponential backoff with jitter: the n-th wait is drawn between half and all of `base` doubled n - 1 times,
/// at most `cap` ("equal jitter" of the AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after `failures` failures, at least one. `random` is drawn from 0 to 1.
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.base.saturating_mul(1 << doublings).min(self.cap);
        full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// The longest that a record waits in all when it is tried so often.
    pub fn longest(&self, attempts: u32) -> Duration {
        let failures = attempts.saturating_sub(1);
        // From then on every wait is as long as the cap.
        let doubling = failures.min(32);
        let doubled: Duration = (1..=doubling).map(|failure| self.delay(failure, 1.0)).sum();
        doubled.saturating_add(self.delay(u32::MAX, 1.0).saturating_mul(failures - doubling))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(30) };

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits: Vec<u128> = [1, 2, 3, 9, 10, u32::MAX].map(|n| BACKOFF.delay(n, 1.0).as_millis()).to_vec();
        assert_eq!(waits, [100, 200, 400, 25_600, 30_000, 30_000]);
    }

    #[test]
    fn the_longest_wait_of_all_is_the_sum_of_the_longest_waits() {
        let sums = [0, 1, 2, 5, 12].map(|attempts| BACKOFF.longest(attempts).as_millis());
        assert_eq!(sums, [0, 0, 100, 1_500, 51_100 + 2 * 30_000]);
        assert_eq!(BACKOFF.longest(132) - BACKOFF.longest(32), 100 * BACKOFF.cap);
    }

    proptest! {
        #[test]
        fn jitter_takes_at_most_half(failures in 1_u32..100, random in 0.0..1.0_f64) {
            let full = BACKOFF.delay(failures, 1.0);
            let wait = BACKOFF.delay(failures, random);
            prop_assert!(wait <= full && wait >= full / 2);
        }
    }
}

//! How many records a second a stage may start.

use std::time::{Duration, Instant};

/// A token bucket that holds a tenth of a second.
#[derive(Debug)]
pub struct Rate {
    per_second: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Rate {
    /// A rate of `per_second` records; none for 0, which is no limit.
    pub fn new(per_second: u32, now: Instant) -> Option<Self> {
        (per_second > 0).then(|| Self { per_second: f64::from(per_second), tokens: 1.0, filled_at: now })
    }

    /// How many records may start at `now`; when none, from when on one may.
    pub fn allowed(&mut self, now: Instant) -> Result<usize, Instant> {
        let most = (self.per_second / 10.0).max(1.0);
        let gained = now.saturating_duration_since(self.filled_at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(most);
        self.filled_at = now;
        if self.tokens >= 1.0 {
            return Ok(self.tokens as usize);
        }
        let missing_s = (1.0 - self.tokens) / self.per_second;
        Err(now + Duration::from_secs_f64(missing_s) + Duration::from_micros(1))
    }

    /// So many have started.
    pub fn spend(&mut self, records: usize) {
        self.tokens -= records as f64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn over_any_stretch_no_more_start_than_the_rate_allows(
            per_second in 1_u32..5_000, waits_ms in prop::collection::vec(0_u64..300, 1..100),
        ) {
            let start = Instant::now();
            let mut rate = Rate::new(per_second, start).unwrap();
            let (mut now, mut started) = (start, 0);
            for wait_ms in waits_ms {
                now += Duration::from_millis(wait_ms);
                match rate.allowed(now) {
                    Ok(records) => {
                        rate.spend(records);
                        started += records;
                    }
                    Err(from) => prop_assert!(from > now),
                }
            }
            let elapsed_s = now.duration_since(start).as_secs_f64();
            prop_assert!(started as f64 <= 1.0 + elapsed_s * f64::from(per_second) + 0.001);
        }
    }
}

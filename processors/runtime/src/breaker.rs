//! When so many records fail in a row that it cannot be the records.

/// Counts dead letters in a row. A broken deploy must not pour a whole topic into the dead letters.
#[derive(Debug)]
pub struct Breaker {
    limit: u32,
    run: u32,
}

impl Breaker {
    /// A breaker that trips at `limit` dead letters in a row.
    pub fn new(limit: u32) -> Self {
        Self { limit, run: 0 }
    }

    /// A record went through, or was skipped on purpose.
    pub fn passed(&mut self) {
        if !self.tripped() {
            self.run = 0;
        }
    }

    /// A record became a dead letter.
    pub fn failed(&mut self) {
        self.run = self.run.saturating_add(1);
    }

    /// Whether the stage is to stop taking. It stays so until the process is started anew.
    pub fn tripped(&self) -> bool {
        self.run >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_trips_at_the_first_run_that_is_long_enough(limit in 1_u32..6, outcomes in prop::collection::vec(any::<bool>(), 0..60)) {
            let mut breaker = Breaker::new(limit);
            let (mut run, mut expected) = (0, false);
            for passed in outcomes {
                if passed { breaker.passed() } else { breaker.failed() }
                run = if passed { 0 } else { run + 1 };
                expected |= run >= limit;
                prop_assert_eq!(breaker.tripped(), expected);
            }
        }
    }
}

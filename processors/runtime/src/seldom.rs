//! Warnings that repeat: the first is written, then one in a while, with how many were left out.

use std::time::{Duration, Instant};

/// How long a warning that repeats stays out of the log lines.
pub const EVERY: Duration = Duration::from_secs(10);

/// One thing that may have to be said again and again, such as that a disk is full.
#[derive(Debug, Default)]
pub struct Seldom {
    said_at: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// Whether to say it at `now`; then, how often it was left out since it was last said.
    pub fn say(&mut self, now: Instant) -> Option<u64> {
        if self.said_at.is_some_and(|said_at| now.saturating_duration_since(said_at) < EVERY) {
            self.left_out += 1;
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_is_said_or_counted_and_nothing_twice_in_a_while(waits_ms in prop::collection::vec(0_u64..4_000, 1..60)) {
            let (mut seldom, mut now) = (Seldom::default(), Instant::now());
            let (mut said, mut counted, mut last) = (0, 0, None);
            for wait_ms in &waits_ms {
                now += Duration::from_millis(*wait_ms);
                if let Some(left_out) = seldom.say(now) {
                    prop_assert!(last.is_none_or(|last| now - last >= EVERY));
                    (said, counted, last) = (said + 1, counted + left_out, Some(now));
                }
            }
            prop_assert_eq!(said + counted + seldom.left_out, waits_ms.len() as u64);
        }
    }
}

//! When a batch starts: full by records or bytes, or its first record has waited long enough.

use std::time::{Duration, Instant};

/// What is ready to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// How many records.
    pub records: usize,
    /// How many bytes.
    pub bytes: usize,
    /// Since when the oldest waits; `None` when nothing does.
    pub since: Option<Instant>,
}

/// The size of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchRule {
    /// Records at most.
    pub records: usize,
    /// Bytes at most; a single larger record is a batch of its own.
    pub bytes: usize,
    /// How long a batch waits to fill up.
    pub linger: Duration,
}

/// What to do about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is ready.
    Idle,
    /// Wait for more, at most until then.
    Until(Instant),
    /// Start one.
    Start,
}

impl BatchRule {
    /// Decides for what is ready at `now`.
    pub fn decide(&self, ready: Ready, now: Instant) -> Decision {
        let Some(since) = ready.since else { return Decision::Idle };
        let due = since + self.linger;
        if ready.records >= self.records || ready.bytes >= self.bytes || now >= due {
            return Decision::Start;
        }
        Decision::Until(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: BatchRule = BatchRule { records: 10, bytes: 1_000, linger: Duration::from_millis(5) };

    #[test]
    fn a_batch_starts_full_or_after_its_linger() {
        let now = Instant::now();
        let ready = |records, bytes, since| Ready { records, bytes, since };
        assert_eq!(RULE.decide(ready(0, 0, None), now), Decision::Idle);
        assert_eq!(RULE.decide(ready(1, 10, Some(now)), now), Decision::Until(now + RULE.linger));
        assert_eq!(RULE.decide(ready(1, 10, Some(now)), now + RULE.linger), Decision::Start);
        assert_eq!(RULE.decide(ready(10, 10, Some(now)), now), Decision::Start);
        assert_eq!(RULE.decide(ready(1, 1_000, Some(now)), now), Decision::Start);
    }
}

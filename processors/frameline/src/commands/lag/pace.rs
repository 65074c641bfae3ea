//! How fast a stage goes, from two looks at it.

use std::time::Duration;

use frameline_runtime::log::PartitionLag;

/// Rates, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// Records that were finished in a second.
    pub(crate) rate_per_s: f64,
    /// Records that came in a second.
    pub(crate) arriving_per_s: f64,
    /// Seconds until the lag is zero at this pace; `None` where it does not shrink.
    pub(crate) drain_s: Option<f64>,
}

impl Pace {
    /// Between two looks at the same partitions.
    pub(crate) fn between(before: &[PartitionLag], after: &[PartitionLag], took: Duration) -> Self {
        let pairs = || before.iter().zip(after);
        let seconds = took.as_secs_f64().max(f64::MIN_POSITIVE);
        let per_s = |records: i64| records.max(0) as f64 / seconds;
        let rate_per_s = per_s(pairs().map(|(before, after)| after.position() - before.position()).sum());
        let arriving_per_s = per_s(pairs().map(|(before, after)| after.high - before.high).sum());
        let lag: i64 = after.iter().map(PartitionLag::records).sum();
        let drain_s = match lag {
            0 => Some(0.0),
            lag => (rate_per_s > arriving_per_s).then(|| lag as f64 / (rate_per_s - arriving_per_s)),
        };
        Self { rate_per_s, arriving_per_s, drain_s }
    }
}

#[cfg(test)]
mod tests {
    use frameline_runtime::TopicPartition;

    use super::*;

    fn place(committed: i64, high: i64) -> [PartitionLag; 1] {
        [PartitionLag {
            partition: TopicPartition::new("frames", 0),
            committed: Some(committed),
            low: 0,
            high,
            has_map: false,
        }]
    }

    fn pace(before: [PartitionLag; 1], after: [PartitionLag; 1]) -> Pace {
        Pace::between(&before, &after, Duration::from_secs(2))
    }

    #[test]
    fn a_lag_that_shrinks_ends_when_the_difference_of_the_rates_has_eaten_it() {
        let expected = Pace { rate_per_s: 15.0, arriving_per_s: 5.0, drain_s: Some(8.0) };
        assert_eq!(pace(place(0, 100), place(30, 110)), expected);
    }

    #[test]
    fn one_that_grows_or_stands_has_no_end_and_none_has_ended() {
        assert_eq!(pace(place(0, 100), place(2, 200)).drain_s, None);
        assert_eq!(pace(place(5, 100), place(5, 100)).drain_s, None);
        assert_eq!(pace(place(5, 100), place(100, 100)).drain_s, Some(0.0));
    }

    #[test]
    fn a_stage_that_was_put_back_in_between_has_no_negative_rate() {
        assert_eq!(pace(place(90, 100), place(10, 100)).rate_per_s, 0.0);
    }
}

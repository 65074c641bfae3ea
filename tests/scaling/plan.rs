//! What the thresholds promise, and the values by which the promise is put to the test.
//!
//! **The promise.** A stage with a lag of L records gets `ceil(L / threshold)` replicas, where `threshold =
//! recordsPerSecond × drainSeconds`. Each replica does `recordsPerSecond`, so what waits is done in `drainSeconds`; a bit
//! sooner, as the number of replicas is rounded up: with N of them at worst in (N − 1) / N of that time.
//!
//! **How it is counted.** From the moment at which the whole backlog is in the log to a lag of 0. What the scaler needs is
//! in it, for whoever waits does not care: the autoscaler looks every 2 s and adds two pods at once, two more after
//! another `scaleUp.everySeconds`; each process has to start and to join the group, and partitions move. A replica that
//! comes s seconds late leaves s × `recordsPerSecond` to the others. That is small beside `drainSeconds` as long as
//! `everySeconds` is, as in the chart's defaults, and the replicas that are there must stay until the work is done, so
//! `scaleDown.quietSeconds` is no less than `drainSeconds`.
//!
//! **The values.** All times are those of the chart's defaults, at 15 %. The burst is 3.9 thresholds: four replicas, fewer
//! than there may be, so it is the formula that decides and not the cap; and each with 3 of the 12 partitions. By rounding
//! up they need 0.975 of `drainSeconds`. One is there at once, two are at work after some 5 s, the last one after some
//! 15 s, which costs (2 × 5 + 15) / 4 s, 0.07 of it. A partition goes to another replica with what is left of it, so not
//! everybody is done at the same second: a replica whose share is a tenth larger makes it a tenth more. So 1.05 to 1.15 is
//! what to expect, and 0.75 to 1.25 is allowed: below it more replicas would have come than the formula says, or faster
//! ones than were measured; above it fewer, or slower or later ones. When the last one is decided on, the lag is at 3.5
//! thresholds still, and the autoscaler takes no notice of less than 3.3: it leaves three replicas as they are for a tenth
//! more.
//!
//! Records are about as large as those with vectors are. Of tiny ones a single fetch is all that a partition has; a replica
//! would do one partition after the other, and whoever joins it later would get some that are whole and leave it idle.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How soon what waits shall be done.
pub(crate) const DRAIN: Duration = Duration::from_secs(90);
/// Shares of it within which it has to be done.
pub(crate) const ALLOWED: RangeInclusive<f64> = 0.75..=1.25;
/// Replicas of a stage without work.
pub(crate) const LEAST_REPLICAS: usize = 1;
/// So many there may be.
const MOST_REPLICAS: usize = 6;
/// A replica sends so many records to the index in one call, and then waits for its answer.
const BATCH_RECORDS: usize = 40;
/// How long the index takes for a call: a replica's rate is to follow from that, and not from the cores of this machine.
pub(crate) const CALL: Duration = Duration::from_secs(1);

/// What one replica does, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// As in the values.
    pub(crate) records_per_second: u32,
}

impl Plan {
    /// Before anything is measured: as many as there may be at best.
    pub(crate) fn guess() -> Self {
        Self { records_per_second: BATCH_RECORDS as u32 }
    }

    /// By what was measured of one replica.
    pub(crate) fn of(records_per_second: f64) -> Self {
        Self { records_per_second: records_per_second.round() as u32 }
    }

    /// The lag that one replica is given.
    pub(crate) fn threshold(self) -> u64 {
        u64::from(self.records_per_second) * DRAIN.as_secs()
    }

    /// How many records come at once.
    pub(crate) fn burst(self) -> u64 {
        self.threshold() * 39 / 10
    }

    /// How many replicas this lag wants.
    pub(crate) fn replicas(self, lag: u64) -> usize {
        let wanted = usize::try_from(lag.div_ceil(self.threshold())).unwrap_or(usize::MAX);
        wanted.clamp(LEAST_REPLICAS, MOST_REPLICAS)
    }

    /// The chart's values. Of the stores that `index` does not use only the names are there.
    pub(crate) fn values(self, bootstrap_servers: &str, vectors_url: &str) -> String {
        let (drain, rate) = (DRAIN.as_secs(), self.records_per_second);
        format!(
            "config:
  kafka: {{ bootstrap_servers: \"{bootstrap_servers}\", replication: 1 }}
  vectors: {{ url: \"{vectors_url}\" }}
  blobs: {{ url: s3://unused }}
  jobs: {{ url: postgres://unused@unused:5432/unused }}
topics: {{ mode: none }}
stageDefaults: {{ enabled: false }}
stages:
  index:
    enabled: true
    settings: {{ batch_records: {BATCH_RECORDS}, concurrency: 1 }}
    autoscaling:
      mode: keda
      minReplicas: {LEAST_REPLICAS}
      maxReplicas: {MOST_REPLICAS}
      recordsPerSecond: {rate}
      drainSeconds: {drain}
autoscaling:
  pollingSeconds: 2
  scaleUp: {{ pods: 2, everySeconds: 9 }}
  scaleDown: {{ pods: 1, everySeconds: 45, quietSeconds: {drain} }}
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_wants_four_replicas_and_the_cap_is_far() {
        let plan = Plan::of(38.4);
        assert_eq!(plan.threshold(), 38 * 90);
        assert_eq!(plan.replicas(plan.burst()), 4);
        assert_eq!(plan.replicas(0), LEAST_REPLICAS);
        assert_eq!(plan.replicas(u64::MAX), MOST_REPLICAS);
    }
}

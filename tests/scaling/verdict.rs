//! Whether what was seen is what the thresholds promise.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::plan::{ALLOWED, DRAIN, LEAST_REPLICAS, Plan};
use crate::watch::Sample;

/// What came out, as `--json` tells it.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    name: &'static str,
    /// Of the burst.
    records: u64,
    /// Of one replica, measured.
    records_per_second: f64,
    /// The lag that one replica is given.
    lag_threshold: u64,
    /// The longest.
    lag: u64,
    /// That this lag wants.
    replicas_promised: usize,
    /// The most that the Deployment wanted.
    replicas: usize,
    /// The most whose processes were at work at once.
    replicas_at_work: usize,
    /// How soon what waits shall be done.
    drain_seconds_promised: u64,
    /// How soon it was.
    drain_seconds: f64,
    /// Between the two.
    ratio: f64,
    /// When the replicas were as few as before.
    lowered_after_seconds: f64,
    /// Records that are not in the index.
    lost: u64,
    /// Records that the stage could not do.
    dead_letters: u64,
    /// Whether all of it is as promised.
    pub(crate) ok: bool,
}

impl Verdict {
    /// Judges a run that has come to its end.
    pub(crate) fn of(plan: Plan, rate: f64, samples: &[Sample], lost: u64, dead_letters: u64) -> Result<Self> {
        let lag = samples.iter().map(|sample| sample.lag).max().context("nothing was seen")?;
        let replicas = samples.iter().map(|sample| sample.wanted).max().context("nothing was seen")?;
        let replicas_at_work = samples.iter().map(|sample| sample.at_work).max().context("nothing was seen")?;
        let behind = |sample: &&Sample| sample.seconds > 0.0;
        let drained = samples.iter().filter(behind).find(|sample| sample.lag == 0).context("it was not drained")?;
        let is_lowered = |sample: &&Sample| sample.wanted == LEAST_REPLICAS && sample.at_work == LEAST_REPLICAS;
        let mut since_then = samples.iter().filter(|sample| sample.seconds >= drained.seconds);
        let lowered = since_then.find(is_lowered).context("the replicas did not go")?;
        let (promised, ratio) = (plan.replicas(lag), drained.seconds / DRAIN.as_secs_f64());
        let as_many = [replicas, replicas_at_work] == [promised; 2];
        let ok = as_many && ALLOWED.contains(&ratio) && lost == 0 && dead_letters == 0;
        Ok(Self {
            name: "scaling",
            records: plan.burst(),
            records_per_second: tenths(rate),
            lag_threshold: plan.threshold(),
            lag,
            replicas_promised: promised,
            replicas,
            replicas_at_work,
            drain_seconds_promised: DRAIN.as_secs(),
            drain_seconds: tenths(drained.seconds),
            ratio: (ratio * 100.0).round() / 100.0,
            lowered_after_seconds: tenths(lowered.seconds),
            lost,
            dead_letters,
            ok,
        })
    }

    /// When it was done, in seconds after the burst.
    pub(crate) fn drain_seconds(&self) -> f64 {
        self.drain_seconds
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, lag, lag_threshold, replicas, replicas_promised, drain_seconds, ratio, lost, .. } = self;
        writeln!(formatter, "one replica does {} records a second", self.records_per_second)?;
        writeln!(formatter, "{records} records at once: lag {lag}, at {lag_threshold} a replica")?;
        let at_work = self.replicas_at_work;
        writeln!(formatter, "replicas: {replicas} wanted, {at_work} at work, {replicas_promised} promised")?;
        let promised = self.drain_seconds_promised;
        writeln!(formatter, "worked off in {drain_seconds} s, {promised} s promised: {ratio} of it")?;
        writeln!(formatter, "as few replicas as before after {} s", self.lowered_after_seconds)?;
        writeln!(formatter, "lost: {lost}, dead letters: {}", self.dead_letters)?;
        formatter.write_str(if self.ok { "as promised" } else { "not as promised" })
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of a burst of 3.9 thresholds, worked off after so many seconds; so many replicas were wanted, so many had
    /// a process at work.
    fn ok((wanted, at_work): (usize, usize), seconds: f64, lost: u64) -> bool {
        let plan = Plan { records_per_second: 40 };
        let sample = |seconds, lag, wanted, at_work| Sample { seconds, lag, wanted, at_work };
        let samples = [
            sample(-1.0, 0, LEAST_REPLICAS, LEAST_REPLICAS),
            sample(1.0, plan.burst(), LEAST_REPLICAS, LEAST_REPLICAS),
            sample(9.0, 11_000, wanted, at_work),
            sample(seconds, 0, wanted, at_work),
            sample(250.0, 0, LEAST_REPLICAS, LEAST_REPLICAS),
        ];
        Verdict::of(plan, 40.2, &samples, lost, 0).unwrap().ok
    }

    #[test]
    fn what_is_not_as_promised_is_told() {
        assert!(ok((4, 4), 95.0, 0));
        assert!(!ok((4, 4), 95.0, 1), "a record is lost");
        assert!(!ok((3, 3), 95.0, 0) && !ok((5, 5), 95.0, 0), "not as many replicas as the lag wants");
        assert!(!ok((4, 3), 95.0, 0), "one of them never worked");
        assert!(!ok((4, 4), 60.0, 0) && !ok((4, 4), 120.0, 0), "not in the time");
    }
}

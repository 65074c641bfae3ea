//! What is seen of the service from outside: its memory, its lag, its metrics.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use frameline_runtime::metric;
use frameline_tests::{http, processes};
use serde_json::Value;

use super::load::Product;
use crate::service::Service;

/// Nothing of this may be counted.
const TROUBLES: [&str; 3] = [metric::RETRIES.name, metric::DEAD_LETTERS.name, metric::COMMITS_FAILED.name];
/// One line in so many sights is told.
const TOLD_EVERY: usize = 6;
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The service at one moment.
pub(super) struct Sight {
    pub(super) resident_mib: f64,
}

pub(super) struct Watch<'a> {
    pub(super) service: &'a Service,
    pub(super) product: Product<'a>,
}

impl Watch<'_> {
    /// Looks again and again, and tells now and then what it sees.
    pub(super) fn look_until(&self, end: Instant, interval: Duration) -> anyhow::Result<Vec<Sight>> {
        let (begun, mut sights) = (Instant::now(), Vec::new());
        while Instant::now() < end {
            let resident_mib = processes::resident_mib(self.service.pid())?;
            if sights.len().is_multiple_of(TOLD_EVERY) {
                let (minutes, lag) = (begun.elapsed().as_secs() / 60, self.lag()?);
                eprintln!("minute {minutes}: {resident_mib:.0} MiB resident, a lag of {lag} records");
            }
            sights.push(Sight { resident_mib });
            thread::sleep(interval.min(end.saturating_duration_since(Instant::now())));
        }
        Ok(sights)
    }

    /// Waits until nothing is left to do.
    pub(super) fn until_idle(&self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while self.lag()? > 0 {
            ensure!(Instant::now() < deadline, "there is a lag of {} records after {patience:?}", self.lag()?);
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Every job is done, and no failure was counted, not even one that was tried again.
    pub(super) fn nothing_failed(&self, jobs: usize) -> anyhow::Result<()> {
        let (status, metrics) = http::get(self.service.address(), "/metrics")?;
        ensure!(status == 200, "/metrics answers {status}");
        for line in metrics.lines().filter(|line| TROUBLES.iter().any(|name| line.starts_with(name))) {
            ensure!(line.ends_with(" 0"), "something failed: {line}");
        }
        let told = self.ask(&["jobs", "--limit", "100000"])?;
        let told = told["jobs"].as_array().context("no jobs")?;
        let done = told.iter().filter(|job| job["state"] == "done").count();
        ensure!(done == jobs && told.len() == jobs, "{done} of {} jobs are done, and {jobs} were made", told.len());
        Ok(())
    }

    fn lag(&self) -> anyhow::Result<i64> {
        self.ask(&["lag"])?["lag"].as_i64().context("no lag")
    }

    fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = (self.product)(arguments[0])?;
        let output = command.args(&arguments[1..]).arg("--json").output()?;
        ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

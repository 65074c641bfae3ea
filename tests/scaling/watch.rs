//! What is seen, once a second: the lag, the replicas that are wanted, the processes at work.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::plan::{LEAST_REPLICAS, Plan};
use crate::world::World;

/// How long it is quiet before the burst, and after all is over.
const QUIET: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(1);
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// What was seen at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Since the burst was in the log; before it less than 0.
    pub(crate) seconds: f64,
    /// Records.
    pub(crate) lag: u64,
    /// Replicas that the Deployment wants.
    pub(crate) wanted: usize,
    /// Processes that are ready, and not on their way out.
    pub(crate) at_work: usize,
}

/// Brings the burst in, and looks until it is worked off and the replicas are as few as before.
pub(crate) fn watch(world: &World, plan: Plan) -> Result<Vec<Sample>> {
    let begun = Instant::now();
    let (mut seen, mut whole, mut over_since) = (Vec::new(), None, None);
    std::thread::scope(|scope| -> Result<()> {
        let feeding = scope.spawn(|| {
            std::thread::sleep(QUIET);
            world.burst(plan.burst())
        });
        let mut feeding = Some(feeding);
        for turn in 1.. {
            let (lag, now) = (world.lag()?, Instant::now());
            let (wanted, at_work) = (world.wanted(), world.at_work());
            seen.push((now, lag, wanted, at_work));
            if let Some(ended) = feeding.take_if(|feeding| feeding.is_finished()) {
                whole = Some(ended.join().map_err(|_| anyhow::anyhow!("the burst panicked"))??);
            }
            let is_over = lag == 0 && wanted == LEAST_REPLICAS && at_work == LEAST_REPLICAS;
            // What was seen in this turn may be from before the burst.
            if !(is_over && whole.is_some_and(|whole| now > whole)) {
                over_since = None;
            } else if now - *over_since.get_or_insert(now) >= QUIET {
                return Ok(());
            }
            ensure!(world.is_well(), "a process of the stage failed");
            ensure!(begun.elapsed() < PATIENCE, "after {PATIENCE:?}: lag {lag}, {wanted} replicas, {at_work} at work");
            std::thread::sleep((begun + EVERY * turn).saturating_duration_since(Instant::now()));
        }
        Ok(())
    })?;
    let whole = whole.context("the burst was not brought in")?;
    let sample = |(at, lag, wanted, at_work): (Instant, u64, usize, usize)| {
        let since = |one: Instant, other: Instant| other.saturating_duration_since(one).as_secs_f64();
        let seconds = since(whole, at) - since(at, whole);
        Sample { seconds, lag, wanted, at_work }
    };
    Ok(seen.into_iter().map(sample).collect())
}

/// As a table for other programs.
pub(crate) fn csv(samples: &[Sample]) -> String {
    let mut text = String::from("seconds,lag_records,replicas_wanted,processes_at_work\n");
    for Sample { seconds, lag, wanted, at_work } in samples {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{seconds:.1},{lag},{wanted},{at_work}");
    }
    text
}

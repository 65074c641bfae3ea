//! A run: the same inputs twice, once undisturbed and once under faults, and what is made of it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use frameline_runtime::{Output, headers};
use frameline_topics as topics;
use serde::Serialize;
use tempfile::TempDir;

use crate::faults;
use crate::feed::Feeder;
use crate::promise::Promise;
use crate::schedule::{LogKind, Schedule};
use crate::state::{self, EndState, REPLAY};
use crate::verdict::{self, Verdict};
use crate::world::World;

/// How long the stages may take to be ready again after a fault.
const RECOVERY: Duration = Duration::from_secs(60);
/// How long a service may take to end that was told to.
const STOP: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) log: LogKind,
    pub(crate) faults: usize,
    pub(crate) seed: u64,
    /// The promise that the stages do not keep.
    pub(crate) broken: Option<&'static Promise>,
    /// Whether the folder of the run stays.
    pub(crate) keep: bool,
}

/// The line for scripts.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Those that came; a full disk does not where nobody may make a small one.
    faults: usize,
    lost: usize,
    duplicates: usize,
    reordered: usize,
    seed: u64,
    pub(crate) ok: bool,
}

/// Runs it, telling what happens on standard error.
pub(crate) fn run(order: &Order) -> Result<Report> {
    let schedule = match order.broken {
        None => Schedule::draw(order.log, order.faults, order.seed),
        Some(promise) => Schedule::against(promise.breach, order.faults, order.seed),
    };
    let folder = tempfile::Builder::new().prefix("frameline-chaos-").tempdir()?;
    let calm = calm(&folder, &schedule).context("the undisturbed run")?;
    let Storm { state: storm, findings, left_out } =
        storm(&folder, order, &schedule).context("the run under faults")?;
    let verdict = verdict::compare(&calm, &storm);
    for line in findings.iter().chain(&verdict.differences) {
        eprintln!("  {line}");
    }
    let is_good = findings.is_empty() && verdict.is_good();
    if order.keep {
        eprintln!("kept: {}", folder.keep().display());
    }
    let Verdict { lost, duplicates, reordered, .. } = verdict;
    Ok(Report { faults: schedule.faults() - left_out, lost, duplicates, reordered, seed: order.seed, ok: is_good })
}

/// Where the files of both runs are: the same paths give the same ids.
fn fresh_files(folder: &TempDir) -> Result<PathBuf> {
    let files = folder.path().join("files");
    if files.exists() {
        fs::remove_dir_all(&files)?;
    }
    fs::create_dir(&files)?;
    Ok(files)
}

fn feeder(world: &World, files: PathBuf) -> Result<Feeder> {
    Ok(Feeder {
        launch: world.launch.clone(),
        files,
        log: world.log()?,
        runtime: world.runtime.clone(),
        feeding: Arc::clone(&world.feeding),
    })
}

/// All stages in one process on the embedded log, whatever the other run is on: what comes out has to be the same.
fn calm(folder: &TempDir, schedule: &Schedule) -> Result<EndState> {
    let begun = Instant::now();
    let world = World::new(&folder.path().join("calm"), LogKind::Sqlite, false, None)?;
    let mut service = world.launch.service(&["up"], "up")?;
    while !service.is_ready() {
        if let Some(status) = service.has_ended()? {
            bail!("it did not start: {status}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let feeder = feeder(&world, fresh_files(folder)?)?;
    schedule.steps.iter().try_for_each(|step| feeder.feed(&step.inputs))?;
    let settle = || -> Result<()> {
        let behind = world.runtime.block_on(state::settle(&feeder.log, || Ok(())))?;
        ensure!(behind.is_empty(), "{}", behind.join(", "));
        Ok(())
    };
    settle()?;
    replay(&feeder)?;
    settle()?;
    let stopped = service.stop(STOP)?;
    ensure!(stopped.status.success(), "it ended with {}", stopped.status);
    let vectors = world.vectors()?;
    let state = world.runtime.block_on(EndState::read(&feeder.log, &world.launch.data, &vectors))?;
    ensure!(state.unaccounted.is_empty(), "{}", state.unaccounted.join(", "));
    eprintln!(
        "undisturbed: {} jobs, {} records, {} units in {:.0?}",
        state.jobs.len(),
        state.records(),
        state.units.len(),
        begun.elapsed()
    );
    Ok(state)
}

/// What a run under faults left.
struct Storm {
    state: EndState,
    findings: Vec<String>,
    /// Faults that could not be made.
    left_out: usize,
}

fn storm(folder: &TempDir, order: &Order, schedule: &Schedule) -> Result<Storm> {
    let mut world = World::new(&folder.path().join("storm"), order.log, true, order.broken)?;
    let left_out = if world.disk.is_none() { schedule.full_disks() } else { 0 };
    if left_out > 0 {
        eprintln!("skipped: a full disk, {left_out} times: this user may not mount a file system to fill");
    }
    let begun = Instant::now();
    let missing = world.fleet.recover(RECOVERY)?;
    ensure!(missing.is_empty(), "not ready: {}", missing.join(", "));
    let feeder = feeder(&world, fresh_files(folder)?)?;
    let mut in_order = true;
    for (number, step) in schedule.steps.iter().enumerate() {
        eprintln!("{:6.1?} step {number}: {:?}", begun.elapsed(), step.faults);
        faults::prepare(step, &world)?;
        let feeding = {
            let (feeder, inputs) = (feeder.clone(), step.inputs.clone());
            std::thread::spawn(move || feeder.feed(&inputs))
        };
        world.fleet.tend_for(step.pause)?;
        faults::happen(step, &mut world, in_order)?;
        while !feeding.is_finished() {
            world.fleet.tend_for(Duration::from_millis(20))?;
        }
        feeding.join().map_err(|_| anyhow::anyhow!("the feeder panicked"))??;
        in_order = step.recovers && recover(&mut world)?;
    }
    recover(&mut world)?;
    settle(&mut world, &feeder)?;
    replay(&feeder)?;
    settle(&mut world, &feeder)?;
    for (stage, stopped) in world.fleet.stop(STOP)? {
        if !stopped.status.success() || stopped.unfinished != Some(0) {
            world.findings.push(format!("{stage} had nothing to do, and did not stop well: {stopped:?}"));
        }
    }
    let vectors = world.vectors()?;
    let state = world.runtime.block_on(EndState::read(&feeder.log, &world.launch.data, &vectors))?;
    eprintln!(
        "under faults: {} jobs, {} records, {} units in {:.0?}; ended by themselves: {:?}",
        state.jobs.len(),
        state.records(),
        state.units.len(),
        begun.elapsed(),
        world.fleet.fallen()
    );
    Ok(Storm { state, findings: world.findings, left_out })
}

fn recover(world: &mut World) -> Result<bool> {
    let missing = world.fleet.recover(RECOVERY)?;
    if !missing.is_empty() {
        world.findings.push(format!("not ready {RECOVERY:?} after a fault was mended: {}", missing.join(", ")));
    }
    Ok(missing.is_empty())
}

fn settle(world: &mut World, feeder: &Feeder) -> Result<()> {
    let runtime = world.runtime.clone();
    let behind = runtime.block_on(state::settle(&feeder.log, || world.fleet.tend()))?;
    world.findings.extend(behind);
    Ok(())
}

/// Sends again what older revisions were embedded to, as somebody does who puts a stage back.
fn replay(feeder: &Feeder) -> Result<()> {
    let stale = feeder.runtime.block_on(state::stale_embeddings(&feeder.log))?;
    let outputs: Vec<Output> = stale
        .into_iter()
        .map(|record| {
            let mut again = record.onto(topics::EMBEDDINGS);
            again.headers.set(headers::ORIGIN, Bytes::from_static(REPLAY.as_bytes()));
            again
        })
        .collect();
    if outputs.is_empty() { Ok(()) } else { Ok(feeder.runtime.block_on(feeder.log.append(outputs))?) }
}

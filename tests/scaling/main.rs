//! Replicas that follow the lag: `cargo xtask scaling [--json] [--to FOLDER]`.
//!
//! The chart is installed on a real control plane with KEDA itself, over a real Kafka; for each pod of the stage `index`
//! runs a process. The rate of one replica is measured, the chart is told of it, a burst comes in, and what happens is
//! held against what the thresholds promise ([`plan`]). It takes five minutes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod picture;
mod plan;
mod verdict;
mod watch;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::plan::Plan;
use crate::verdict::Verdict;
use crate::world::World;

const USAGE: &str = "\
usage: scaling [--json] [--to FOLDER]

  --json   ends with one line for scripts
  --to     where scaling.csv and scaling.svg are written [default: the folder for temporary files]";

struct Options {
    json: bool,
    to: PathBuf,
}

fn main() -> ExitCode {
    let Some(options) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(is_ok) => ExitCode::from(u8::from(!is_ok)),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options { json: false, to: std::env::temp_dir() };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.json = true,
            "--to" => options.to = arguments.next()?.into(),
            _ => return None,
        }
    }
    Some(options)
}

/// Runs it to its end, tells what came out; says whether it is as promised.
fn run(options: &Options) -> Result<bool> {
    let world = World::start()?;
    let rate = world.measure()?;
    let plan = Plan::of(rate);
    println!("one replica does {rate:.1} records a second; a burst of {} comes in", plan.burst());
    world.upgrade(plan)?;
    let samples = watch::watch(&world, plan)?;
    let (lost, dead_letters) = world.lost(plan.burst())?;
    let verdict = Verdict::of(plan, rate, &samples, lost, dead_letters)?;
    write(&options.to, "scaling.csv", &watch::csv(&samples))?;
    write(&options.to, "scaling.svg", &picture::draw(&samples, plan, verdict.drain_seconds()))?;
    println!("{verdict}");
    if options.json {
        println!("{}", serde_json::to_string(&verdict)?);
    }
    Ok(verdict.ok)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let file = folder.join(name);
    fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    println!("{}", file.display());
    Ok(())
}

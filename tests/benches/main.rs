//! The benchmarks: `cargo xtask bench NAME [--json] [--rounds N] [--minutes N]`.
//!
//! Each is a file that measures two contenders on the same input, prepared once from fixed seeds. They run in
//! turn, for several rounds, because the machine is never quiet: only a ratio within a round says something.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chain;
mod contest;
mod copies;
mod corpus;
mod embed;
mod hop;
mod java;
mod kafka;
mod keys;
mod limiter;
mod passthrough;
mod rebalance;
mod scale;
mod search;
mod service;
mod soak;
mod streams;

use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::contest::{Contest, Report, Scores, Verdict};

const DEFAULT_ROUNDS: usize = 5;
const DEFAULT_MINUTES: usize = 60;

/// The contests of a benchmark, with what was scored.
type Played = Vec<(Contest, Scores)>;

struct Benchmark {
    name: &'static str,
    run: fn(&Options) -> anyhow::Result<Played>,
}

#[rustfmt::skip]
const BENCHMARKS: [Benchmark; 11] = [
    Benchmark { name: "chain", run: |options| Ok(vec![chain::run(options.rounds)?]) },
    Benchmark { name: "embed", run: |options| Ok(vec![embed::run(options.rounds)?]) },
    Benchmark { name: "hop", run: |options| hop::run(options.rounds) },
    Benchmark { name: "keys", run: |options| keys::run(options.rounds) },
    Benchmark { name: "limiter", run: |options| limiter::run(options.rounds) },
    Benchmark { name: "passthrough", run: |options| Ok(vec![passthrough::run(options.rounds)?]) },
    Benchmark { name: "rebalance", run: |options| rebalance::run(options.rounds) },
    Benchmark { name: "scale", run: |options| Ok(vec![scale::run(options.rounds)?]) },
    Benchmark { name: "search", run: |options| Ok(vec![search::run(options.rounds)?]) },
    Benchmark { name: "soak", run: |options| soak::run(options.minutes) },
    Benchmark { name: "streams", run: |options| streams::run(options.rounds) },
];

struct Options {
    name: String,
    json: bool,
    rounds: usize,
    minutes: usize,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let name = arguments.next().with_context(|| format!("which benchmark? there are {}", names()))?;
    let mut options = Options { name, json: false, rounds: DEFAULT_ROUNDS, minutes: DEFAULT_MINUTES };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u32>().ok()).filter(|number| *number > 0);
        match argument.as_str() {
            "--json" => options.json = true,
            "--rounds" => options.rounds = number().context("--rounds wants a whole number from 1")? as usize,
            "--minutes" => options.minutes = number().context("--minutes wants a whole number from 1")? as usize,
            other => bail!("no option {other}; there are --json, --rounds N and, for soak, --minutes N"),
        }
    }
    Ok(options)
}

fn names() -> String {
    BENCHMARKS.map(|benchmark| benchmark.name).join(", ")
}

/// Runs it, prints the scores; says whether the goal is reached.
fn run(options: &Options) -> anyhow::Result<bool> {
    let benchmark = BENCHMARKS.iter().find(|benchmark| benchmark.name == options.name);
    let benchmark = benchmark.with_context(|| format!("no benchmark {}; there are {}", options.name, names()))?;
    let played = (benchmark.run)(options)?;
    let verdicts: Vec<Verdict> = played.iter().map(|(contest, scores)| contest.judge(scores)).collect();
    verdicts.iter().for_each(|verdict| println!("{}", verdict.text()));
    let report = Report::new(benchmark.name, &verdicts).context("nothing was measured")?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(report.is_ok())
}

//! The benchmarks: `cargo xtask bench NAME [--json] [--rounds N]`.
//!
//! Each is a file that measures two contenders on the same input, prepared once from fixed seeds. They run in
//! turn, for several rounds, because the machine is never quiet: only a ratio within a round says something.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chain;
mod contest;
mod corpus;
mod embed;
mod passthrough;
mod search;

use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::contest::{Contest, Scores};

const NAMES: &str = "chain, embed, passthrough and search";
const DEFAULT_ROUNDS: usize = 5;

struct Options {
    name: String,
    json: bool,
    rounds: usize,
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
    let name = arguments.next().with_context(|| format!("which benchmark? there are {NAMES}"))?;
    let mut options = Options { name, json: false, rounds: DEFAULT_ROUNDS };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.json = true,
            "--rounds" => {
                let rounds = arguments.next().and_then(|text| text.parse().ok()).filter(|rounds| *rounds > 0);
                options.rounds = rounds.context("--rounds wants a whole number from 1")?;
            }
            other => bail!("no option {other}; there are --json and --rounds N"),
        }
    }
    Ok(options)
}

/// Runs it, prints the scores; says whether the goal is reached.
fn run(options: &Options) -> anyhow::Result<bool> {
    let (contest, scores): (Contest, Scores) = match options.name.as_str() {
        "chain" => chain::run(options.rounds)?,
        "embed" => embed::run(options.rounds)?,
        "passthrough" => passthrough::run(options.rounds)?,
        "search" => search::run(options.rounds)?,
        other => bail!("no benchmark {other}; there are {NAMES}"),
    };
    let verdict = contest.judge(&scores);
    println!("{}", verdict.text());
    if options.json {
        println!("{}", serde_json::to_string(&verdict)?);
    }
    Ok(verdict.ok)
}

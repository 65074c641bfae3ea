//! The fault harness: `cargo xtask chaos --log kafka|sqlite --faults N --seed S [--json]`.
//!
//! The same inputs run twice, undisturbed and under faults that the seed alone decides on ([`schedule`]), and
//! everything that both leave is compared ([`state`], [`verdict`]). The stages are processes of this very program,
//! which is the product too: so it can run stages that break a promise on purpose (`--breach`), and show that it
//! notices. The product itself has no such switch: the library takes it as an argument, and its binary gives none.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod faults;
mod feed;
mod fleet;
mod input;
mod promise;
mod run;
mod schedule;
mod state;
mod verdict;
mod world;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use frameline::Tampering;
use frameline_runtime::gate::Gate;

use crate::promise::Promise;
use crate::run::Order;
use crate::schedule::LogKind;

const USAGE: &str = "\
usage: chaos --log sqlite|kafka --faults N --seed S [--json] [--keep] [--breach NAME]

  --log       which log carries the records
  --faults    how many faults are drawn
  --seed      the same seed, the same schedule
  --json      ends with one line for scripts
  --keep      leaves the folder of the run
  --breach    the stages break this promise, and the faults are those that show it: completion, lanes, drain,
              fencing (on kafka), revisions (on sqlite)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| !first.starts_with('-')) {
        return frameline::main_with(tampering());
    }
    let (order, json) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("{error:#}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run::run(&order) {
        Ok(report) => {
            println!("{}", if report.ok { "every promise was kept" } else { "a promise was broken" });
            if json {
                match serde_json::to_string(&report) {
                    Ok(line) => println!("{line}"),
                    Err(error) => eprintln!("{error}"),
                }
            }
            ExitCode::from(u8::from(!report.ok))
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// What this process changes as a stage, as the harness that started it says.
fn tampering() -> Tampering {
    let said = |name| std::env::var(name).ok();
    Tampering {
        breach: said("CHAOS_BREACH").and_then(|name| Promise::named(&name)).map(|promise| promise.breach),
        model_failures: said("CHAOS_MODEL_FAILURES").and_then(|every| every.parse().ok()),
        gate: said("CHAOS_GATE").map(|path| Gate::at(Path::new(&path))),
    }
}

fn parse(arguments: &[String]) -> anyhow::Result<(Order, bool)> {
    let (mut log, mut faults, mut seed, mut broken, mut json, mut keep) = (None, None, None, None, false, false);
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
        match argument {
            "--log" => {
                log = Some(match value()? {
                    "sqlite" => LogKind::Sqlite,
                    "kafka" => LogKind::Kafka,
                    other => bail!("no log {other}; there are sqlite and kafka"),
                });
            }
            "--faults" => faults = Some(value()?.parse().context("--faults wants a whole number")?),
            "--seed" => seed = Some(value()?.parse().context("--seed wants a whole number")?),
            "--breach" => {
                let name = value()?;
                broken = Some(Promise::named(name).with_context(|| format!("no promise {name}"))?);
            }
            "--json" => json = true,
            "--keep" => keep = true,
            other => bail!("no option {other}"),
        }
    }
    let order = Order {
        log: log.context("--log is missing")?,
        faults: faults.context("--faults is missing")?,
        seed: seed.context("--seed is missing")?,
        broken,
        keep,
    };
    if let Some(promise) = order.broken {
        ensure!(promise.is_of(order.log), "{} cannot be broken on this log", promise.name);
    }
    Ok((order, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<(Order, bool)> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_options_are_read_and_wrong_ones_refused() {
        let (order, json) = parsed("--log kafka --faults 25 --seed 7 --json --breach lanes").unwrap();
        assert_eq!((order.log, order.faults, order.seed, json), (LogKind::Kafka, 25, 7, true));
        assert_eq!(order.broken.map(|promise| promise.name), Some("lanes"));
        let wrong = ["--faults 25 --seed 7", "--log rabbit", "--log kafka --faults many", "--breach nothing", "--what"];
        let elsewhere = [("sqlite", "fencing"), ("kafka", "revisions")]
            .map(|(log, promise)| format!("--log {log} --faults 25 --seed 7 --breach {promise}"));
        for line in wrong.into_iter().chain(elsewhere.iter().map(String::as_str)) {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}

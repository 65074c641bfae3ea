//! Sets up and runs what a developer runs: the tests and the benchmarks.
//!
//! It depends on nothing but the standard library, so that it is built in a second on a fresh machine. Each
//! command is a file: [`test`] runs the whole test run and sums it up by [`report`], [`program`] runs a benchmark,
//! the fault harness, the scaling of a stage or the stack. Both first see to the machine's [`needs`], but for what
//! speaks to a stack that is up.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cargo;
mod needs;
mod program;
mod report;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

  test [FILTER]       run all tests, or those whose name contains FILTER; installs what they need when it is
                      root on Debian, else says what is missing and exits 2
  bench NAME [--json] [--rounds N] [--minutes N]
                      run a benchmark: chain, embed, hop, keys, limiter, passthrough, rebalance, scale, search,
                      soak (in minutes), streams; --json ends with one line for scripts
  chaos --log sqlite|kafka --faults N --seed S [--json] [--keep] [--breach PROMISE]
                      run the whole chain under faults, the same ones for the same seed, and compare what it leaves
                      with an undisturbed run; --json ends with one line for scripts, --keep leaves the folder of the
                      run, --breach breaks a promise on purpose, to see that it is noticed
  scaling [--json] [--to FOLDER]
                      a burst of records on the chart's release, with KEDA on a Kubernetes control plane and a process
                      for each pod: whether replicas follow the lag as the thresholds promise; writes scaling.csv and
                      scaling.svg; KEDA is built the first time, which takes minutes
  stack up|status|scale STAGE=N|down [--folder DIR] [--json]
                      the services of compose/compose.yaml as processes of this machine, without containers; they stay
                      until `down`, and what they have stored goes with them
  help                this text";

/// Why a command came to nothing.
enum Error {
    /// The machine lacks something, or the command cannot be understood: exit code 2.
    Unusable(String),
    /// Exit code 1.
    Failed(String),
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Error::Failed(message)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => test::run(None),
        ["test", filter] if !filter.starts_with('-') => test::run(Some(filter)),
        ["bench", name, ..] if !name.starts_with('-') => program::run("bench", &words[1..]),
        ["chaos", options @ ..] => program::run("chaos", options),
        ["scaling", options @ ..] => program::run("scaling", options),
        ["stack", "status" | "scale" | "down", ..] => program::run_built("stack", &words[1..]),
        ["stack", command @ ..] => program::run("stack", command),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Error::Unusable(HELP.to_owned())),
    };
    let (message, code) = match outcome {
        Ok(code) => return code,
        Err(Error::Unusable(message)) => (message, 2),
        Err(Error::Failed(message)) => (message, 1),
    };
    eprintln!("{message}");
    ExitCode::from(code)
}

//! Runs one of the programs in `tests`: the benchmarks, the fault harness, the scaling of a stage, the stack.

use std::process::{Command, ExitCode, Stdio};

use crate::{Error, cargo, needs};

/// Builds the product and the programs around it, and runs the one called `name` to its end.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Result<ExitCode, Error> {
    needs::meet()?;
    cargo::build(&["frameline", "frameline-tests"])?;
    start(name, arguments)
}

/// The same without a build where it is there: for commands to what runs already.
pub(crate) fn run_built(name: &str, arguments: &[&str]) -> Result<ExitCode, Error> {
    if cargo::built(name)?.is_file() { start(name, arguments) } else { run(name, arguments) }
}

fn start(name: &str, arguments: &[&str]) -> Result<ExitCode, Error> {
    let mut command = Command::new(cargo::built(name)?);
    command.args(arguments).stdin(Stdio::null());
    command.env("FRAMELINE_BIN", cargo::built("frameline")?).env("RUST_LIB_BACKTRACE", "0");
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    // A goal that is missed, or a promise that is broken, ends with 1; what was killed has no code.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map(ExitCode::from).ok_or_else(|| format!("{name} did not end: {status}").into())
}

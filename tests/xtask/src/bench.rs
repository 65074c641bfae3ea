//! Runs one benchmark of `tests/benches`.

use std::process::{Command, ExitCode, Stdio};

use crate::{Error, cargo, needs};

/// Builds the product and the benchmarks, and runs the one called `name`.
pub(crate) fn run(name: &str, options: &[&str]) -> Result<ExitCode, Error> {
    needs::meet()?;
    cargo::build(&["frameline", "frameline-tests"])?;
    let mut command = Command::new(cargo::built("bench")?);
    command.arg(name).args(options).stdin(Stdio::null());
    command.env("FRAMELINE_BIN", cargo::built("frameline")?).env("RUST_LIB_BACKTRACE", "0");
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    // A benchmark that misses its goal ends with 1; one that was killed has no code.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map(ExitCode::from).ok_or_else(|| format!("the benchmark {name} did not end: {status}").into())
}

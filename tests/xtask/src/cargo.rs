//! Cargo, as it was when it started this program.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// A cargo command on this workspace, in the one profile that everything is built with.
pub(crate) fn release(subcommand: &str) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args([subcommand, "--release"]);
    // An error captures a stack where RUST_BACKTRACE is set, which slows whatever handles many of them.
    command.env("RUST_LIB_BACKTRACE", "0");
    command
}

/// Where cargo puts the release build of the program `name`: this program lies in `TARGET/PROFILE`.
pub(crate) fn built(name: &str) -> Result<PathBuf, String> {
    let this = env::current_exe().map_err(|error| format!("cannot find this program's own file: {error}"))?;
    let target = this.parent().and_then(|profile| profile.parent());
    let target = target.ok_or_else(|| format!("{} does not lie in a target directory", this.display()))?;
    Ok(target.join("release").join(name))
}

/// Runs a build to its end.
pub(crate) fn build(packages: &[&str]) -> Result<(), String> {
    let mut command = release("build");
    for package in packages {
        command.args(["--package", package]);
    }
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}

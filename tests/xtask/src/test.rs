//! The whole test run.

use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use crate::report::Report;
use crate::{Error, cargo, needs};

/// Runs the tests whose name contains `filter`, and ends with their sums: `N passed, N failed, N skipped`.
pub(crate) fn run(filter: Option<&str>) -> Result<ExitCode, Error> {
    needs::meet()?;
    // Tests of the whole product start its binary.
    cargo::build(&["frameline"])?;
    let mut command = cargo::release("test");
    command.args(["--workspace", "--no-fail-fast"]).args(filter).args(["--", "--show-output"]);
    command.env("FRAMELINE_BIN", cargo::built("frameline")?).stdin(Stdio::null()).stdout(Stdio::piped());

    let fail = |error: std::io::Error| format!("cannot run the tests: {error}");
    let mut tests = command.spawn().map_err(fail)?;
    let mut report = Report::default();
    if let Some(output) = tests.stdout.take() {
        // Lossily: a test may print any bytes.
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(fail)?;
            let line = String::from_utf8_lossy(&line);
            if report.read(&line) {
                println!("{line}");
            }
        }
    }
    let status = tests.wait().map_err(fail)?;
    if !status.success() {
        println!("cargo test: {status}");
    }
    println!("{report}");
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! The one binary: every stage, the commands beside them, and the child processes that open files.
//!
//! It is a library, so that the fault harness can run stages that break a promise, and show that it notices:
//! [`main_with`] is for the harness alone, `main.rs` has nothing but [`main`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod audit;
mod cli;
mod commands;
mod config;
mod data;
mod error;
mod footprint;
mod host;
mod http;
mod kubernetes;
mod memory;
mod output;
mod ports;
mod progress;
mod service;
mod stages;
mod tampering;
mod telemetry;
mod times;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use cli::{Cli, Command};
pub use tampering::Tampering;

/// Threads that drive the stages; what computes or blocks has threads of its own.
const WORKERS: usize = 2;

/// The product.
pub fn main() -> ExitCode {
    main_with(Tampering::default())
}

/// The product with something changed, which no configuration, environment or command line of it can.
pub fn main_with(tampering: Tampering) -> ExitCode {
    without_backtraces();
    memory::share_arenas();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return error::exit_usage(&error),
    };
    let is_json = cli.common.json;
    match cli.command {
        Command::Worker { stage } => commands::worker::run(stage),
        Command::Completion { shell } => error::exit(commands::completion::run(shell), is_json),
        command => {
            telemetry::start(cli.common.log, &command);
            error::exit(block_on(commands::run(cli.common, command, tampering)), is_json)
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("frameline")
        .enable_all()
        .build()
        .context("the threads cannot be started")?;
    let result = runtime.block_on(work);
    // What still blocks has nothing left to say: its results could not be committed any more.
    runtime.shutdown_background();
    result
}

/// Every `anyhow` error would capture a stack where `RUST_BACKTRACE` is set: slow, and no use to a person.
fn without_backtraces() {
    if std::env::var_os("RUST_LIB_BACKTRACE").is_none() {
        // SAFETY: nothing else runs yet that could read the environment at the same time.
        unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
    }
}

//! The commands, one a file. Each makes a report, which [`crate::output`] prints for people or for programs.

mod about;
mod add;
mod audit;
mod canary;
pub(crate) mod completion;
mod config;
mod delete;
mod demo;
mod dlq;
mod doctor;
mod feed;
mod health;
mod jobs;
mod lag;
mod migrate;
mod replay;
mod rewind;
mod schemas;
mod search;
mod source;
mod topics;
mod up;
mod vectors;
pub(crate) mod worker;

use std::sync::Arc;

use anyhow::Result;

use crate::cli::{Command, Common};
use crate::config::Loaded;
use crate::data::DataDir;
use crate::error::Refusal;
use crate::output::Output;
use crate::ports::Ports;
use crate::tampering::Tampering;
use crate::telemetry::Exporter;

/// What every command has before it begins.
pub(crate) struct Context {
    pub(crate) common: Common,
    pub(crate) output: Output,
    pub(crate) loaded: Loaded,
    pub(crate) ports: Arc<Ports>,
}

impl Context {
    /// What sends its traces is to be finished at the end.
    fn new(common: Common, data: DataDir, tampering: Tampering) -> Result<(Self, Exporter)> {
        let loaded = Loaded::read(common.config.as_deref())?;
        let output = Output { json: common.json };
        let (exporter, tracer) = Exporter::start(&loaded.config.telemetry)?;
        let ports = Arc::new(Ports::new(data, loaded.config.clone(), tampering).traced(tracer));
        Ok((Self { common, output, loaded, ports }, exporter))
    }

    /// Refuses to look into a directory in which nothing ever was.
    fn needs_data(&self) -> Result<()> {
        if self.ports.has_data()? {
            return Ok(());
        }
        let message = format!("there is nothing in the data directory {} yet", self.ports.data().root().display());
        Err(Refusal::new(message, "bring files in with `frameline add PATH`, or name another directory: --data DIR")
            .into())
    }
}

/// Does what was asked.
pub(crate) async fn run(common: Common, command: Command, tampering: Tampering) -> Result<()> {
    let data = match command {
        Command::Demo(_) => DataDir::find_for_demo(common.data.as_deref())?,
        _ => DataDir::find(common.data.as_deref())?,
    };
    let (context, exporter) = Context::new(common, data, tampering)?;
    let done = run_in(context, command).await;
    exporter.finish().await;
    done
}

async fn run_in(context: Context, command: Command) -> Result<()> {
    match command {
        Command::Up(serve) => up::run(context, serve).await,
        Command::Run(run) => up::run_some(context, run).await,
        Command::Add(add) => add::run(context, add).await,
        Command::Search(search) => search::run(context, search).await,
        Command::Jobs(jobs) => jobs::run(context, jobs).await,
        Command::Lag(lag) => lag::run(context, lag).await,
        Command::Rewind(rewind) => rewind::run(context, rewind).await,
        Command::Doctor => doctor::run(context).await,
        Command::Health(health) => health::run(context, health).await,
        Command::Audit(audit) => audit::run(context, audit).await,
        Command::Replay(replay) => replay::run(context, replay).await,
        Command::Dlq(command) => dlq::run(context, command).await,
        Command::Delete(delete) => delete::run(context, delete).await,
        Command::Demo(demo) => demo::run(context, demo).await,
        Command::Canary(canary) => canary::run(context, canary).await,
        Command::Config(command) => config::run(&context, &command),
        Command::Topics(command) => topics::run(context, &command).await,
        Command::Schemas(command) => schemas::run(context, &command).await,
        Command::Migrate { execute } => migrate::run(context, execute).await,
        Command::Vectors(command) => vectors::run(context, command).await,
        Command::Completion { shell } => completion::run(shell),
        Command::Worker { .. } => Ok(()),
    }
}

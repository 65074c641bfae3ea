//! The commands, one a file. Each makes a report, which [`crate::output`] prints for people or for programs.

mod add;
pub(crate) mod completion;
mod config;
mod delete;
mod demo;
mod jobs;
mod lag;
mod search;
mod topics;
mod up;
pub(crate) mod worker;

use std::sync::Arc;

use anyhow::Result;

use crate::cli::{Command, Common};
use crate::config::Loaded;
use crate::data::DataDir;
use crate::error::Refusal;
use crate::output::Output;
use crate::ports::Ports;

/// What every command has before it begins.
pub(crate) struct Context {
    pub(crate) common: Common,
    pub(crate) output: Output,
    pub(crate) loaded: Loaded,
    pub(crate) ports: Arc<Ports>,
}

impl Context {
    fn new(common: Common, data: DataDir) -> Result<Self> {
        let loaded = Loaded::read(common.config.as_deref())?;
        let output = Output { json: common.json };
        let ports = Arc::new(Ports::new(data, loaded.config.clone()));
        Ok(Self { common, output, loaded, ports })
    }

    /// Refuses to look into a directory in which nothing ever was.
    fn needs_data(&self) -> Result<()> {
        if self.ports.is_complete()? {
            return Ok(());
        }
        let message = format!("there is nothing in the data directory {} yet", self.ports.data().root().display());
        Err(Refusal::new(message, "bring files in with `frameline add PATH`, or name another directory: --data DIR")
            .into())
    }
}

/// Does what was asked.
pub(crate) async fn run(common: Common, command: Command) -> Result<()> {
    let data = match command {
        Command::Demo(_) => DataDir::find_for_demo(common.data.as_deref())?,
        _ => DataDir::find(common.data.as_deref())?,
    };
    let context = Context::new(common, data)?;
    match command {
        Command::Up(serve) => up::run(context, serve).await,
        Command::Run(run) => up::run_some(context, run).await,
        Command::Add(add) => add::run(context, add).await,
        Command::Search(search) => search::run(context, search).await,
        Command::Jobs(jobs) => jobs::run(context, jobs).await,
        Command::Lag => lag::run(context).await,
        Command::Delete(delete) => delete::run(context, delete).await,
        Command::Demo(demo) => demo::run(context, demo).await,
        Command::Config(command) => config::run(&context, &command),
        Command::Topics(command) => topics::run(context, &command).await,
        Command::Completion { shell } => completion::run(shell),
        Command::Worker { .. } => Ok(()),
    }
}

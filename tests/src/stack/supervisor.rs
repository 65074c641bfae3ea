//! The process that has the stack in its hands, from `up` to `down`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::compose::Compose;
use super::servers::Servers;
use super::stages::{Launch, Stages};
use super::state::{Folder, State};

/// How often it looks at its processes, and at what is wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Starts everything, keeps the stages as they are wanted until it is told to stop, and stops everything: the stages
/// drain, then the servers go. Whatever kills it takes all of them along.
///
/// # Errors
/// Where another one has the stack, or something cannot be started.
pub fn run(folder: &Folder, program: PathBuf) -> Result<()> {
    let _lock = folder.hold()?.context("another supervisor has this stack")?;
    // Before anybody knows whom to tell: whoever stops it while the servers start leaves nothing of them either.
    let mut stop = Stop::heard()?;
    let ended = keep(folder, program, &mut stop);
    let _ = fs::remove_dir_all(folder.path().join("data"));
    ended
}

/// Until it is told to stop.
fn keep(folder: &Folder, program: PathBuf, stop: &mut Stop) -> Result<()> {
    let compose = Compose::read()?;
    tell(folder, None, None)?;
    let servers = Servers::start(&compose)?;
    tell(folder, Some(&servers), None)?;
    let launch = Launch { program, folder: folder.clone(), environment: servers.environment() };
    for service in compose.once() {
        if stop.comes_within(LOOK_AGAIN) {
            return Ok(());
        }
        launch.once(service)?;
    }
    let mut environment = servers.environment();
    environment.insert("FRAMELINE_DATA".to_owned(), folder.data("you").display().to_string());
    folder.tell_environment(&environment)?;
    let mut stages = Stages::new(launch, compose.stages().cloned().collect());
    let ended = keep_stages(folder, &servers, &mut stages, stop);
    stages.stop();
    ended
}

fn keep_stages(folder: &Folder, servers: &Servers, stages: &mut Stages, stop: &mut Stop) -> Result<()> {
    loop {
        if stages.reconcile(&folder.wanted())? {
            servers.watch_stages(&stages.targets())?;
            tell(folder, Some(servers), Some(stages))?;
        }
        if stop.comes_within(LOOK_AGAIN) {
            return Ok(());
        }
    }
}

/// SIGTERM or SIGINT, once it is listened for.
struct Stop {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// From now on neither ends this process.
    fn heard() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let both = async { anyhow::Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)) };
        let (terminate, interrupt) = runtime.block_on(both)?;
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Whether it comes within this time, or has come already.
    fn comes_within(&mut self, time: Duration) -> bool {
        let Self { runtime, terminate, interrupt } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => true,
                _ = interrupt.recv() => true,
                () = tokio::time::sleep(time) => false,
            }
        })
    }
}

fn tell(folder: &Folder, servers: Option<&Servers>, stages: Option<&Stages>) -> Result<()> {
    let mut parts = servers.map(Servers::parts).unwrap_or_default();
    parts.extend(stages.map(Stages::parts).unwrap_or_default());
    folder.tell(&State { supervisor: std::process::id(), complete: stages.is_some(), parts })
}

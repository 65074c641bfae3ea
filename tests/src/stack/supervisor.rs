//! The process that has the stack in its hands, from `up` to `down`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

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
    let compose = Compose::read()?;
    tell(folder, None, None)?;
    let servers = Servers::start(&compose)?;
    tell(folder, Some(&servers), None)?;
    let launch = Launch { program, folder: folder.clone(), environment: servers.environment() };
    for service in compose.once() {
        launch.once(service)?;
    }
    let mut environment = servers.environment();
    environment.insert("FRAMELINE_DATA".to_owned(), folder.data("you").display().to_string());
    folder.tell_environment(&environment)?;
    let mut stages = Stages::new(launch, compose.stages().cloned().collect());
    let ended = keep(folder, &servers, &mut stages);
    stages.stop();
    drop(servers);
    let _ = std::fs::remove_dir_all(folder.path().join("data"));
    ended
}

/// Until it is told to stop.
fn keep(folder: &Folder, servers: &Servers, stages: &mut Stages) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        loop {
            if stages.reconcile(&folder.wanted())? {
                servers.watch_stages(&stages.targets())?;
                tell(folder, Some(servers), Some(stages))?;
            }
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    })
}

fn tell(folder: &Folder, servers: Option<&Servers>, stages: Option<&Stages>) -> Result<()> {
    let mut parts = servers.map(Servers::parts).unwrap_or_default();
    parts.extend(stages.map(Stages::parts).unwrap_or_default());
    folder.tell(&State { supervisor: std::process::id(), complete: stages.is_some(), parts })
}

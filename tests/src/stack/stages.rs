//! The stages as processes of their own, as many of each as are wanted: what an orchestrator does with containers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, kill_process};

use super::compose::Service;
use super::state::{Folder, Part};
use crate::product::bare;
use crate::server::{Process, free_port};

/// How long a stage that has ended by itself is left alone.
const BACKOFF: Duration = Duration::from_secs(1);
/// How long one may take to end, as `stop_grace_period` has it.
const GRACE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How the product is started.
pub struct Launch {
    /// Its program.
    pub program: PathBuf,
    /// Where what it leaves goes.
    pub folder: Folder,
    /// What takes the place of the addresses of containers.
    pub environment: BTreeMap<String, String>,
}

/// All processes of all stages; killed when they are dropped.
pub struct Stages {
    launch: Launch,
    services: Vec<Service>,
    replicas: Vec<Replica>,
}

/// One process of a stage, at work, on its way out or about to be started again.
struct Replica {
    stage: String,
    name: String,
    /// It keeps its port, so that whoever watches it sees the same one come back.
    port: u16,
    run: Run,
    restarts: u32,
    ended: Option<String>,
}

enum Run {
    Working(Process),
    /// It was told to stop at this moment, and may take its grace.
    Stopping(Process, Instant),
    /// It ended by itself at this moment.
    Ended(Instant),
    /// It has ended, and is not to come back.
    Gone,
}

impl Launch {
    /// A command of a service, with nothing of the configuration around the stack.
    fn command(&self, service: &Service, name: &str) -> Command {
        let mut command = bare(&self.program);
        command.args(&service.command).envs(service.environment()).envs(&self.environment);
        command.env("FRAMELINE_DATA", self.folder.data(name));
        command
    }

    /// Runs a service to its end, which has to be good.
    ///
    /// # Errors
    /// Where it fails, with what it says.
    pub fn once(&self, service: &Service) -> Result<()> {
        let name = &service.name;
        let process = self.spawn(self.command(service, name), name).context("the product cannot be started")?;
        let status = process.wait().with_context(|| format!("nobody knows how {name} ended"))?;
        let said = || fs::read_to_string(self.folder.log(name)).unwrap_or_default();
        ensure!(status.success(), "{name} failed ({status}): {}", said());
        Ok(())
    }

    fn start(&self, service: &Service, name: &str, port: u16) -> Result<Process> {
        let mut command = self.command(service, name);
        command.env("FRAMELINE_INSTANCE", name).env("FRAMELINE__SERVICE__LISTEN", format!("127.0.0.1:{port}"));
        self.spawn(command, name)
    }

    /// A process whose lines go to its log.
    fn spawn(&self, mut command: Command, name: &str) -> Result<Process> {
        let lines = File::options().create(true).append(true).open(self.folder.log(name))?;
        command.stdout(lines.try_clone()?).stderr(lines);
        Ok(Process::start(command)?.0)
    }
}

impl Stages {
    /// Of these services; none is running yet.
    pub fn new(launch: Launch, services: Vec<Service>) -> Self {
        Self { launch, services, replicas: Vec::new() }
    }

    /// Brings what is running closer to what is wanted; a stage of which nothing is said has one process. Never waits;
    /// says whether anything has changed.
    ///
    /// # Errors
    /// Where a process cannot be started.
    pub fn reconcile(&mut self, wanted: &BTreeMap<String, usize>) -> Result<bool> {
        let mut changed = self.note_ends();
        for service in &self.services {
            let wanted = wanted.get(&service.name).copied().unwrap_or(1);
            for number in 0..wanted {
                let name = format!("{}-{number}", service.name);
                if !self.replicas.iter().any(|replica| replica.name == name) {
                    self.replicas.push(Replica::start(&self.launch, service, name)?);
                    changed = true;
                }
            }
            let is_wanted = |name: &str| (0..wanted).any(|number| name == format!("{}-{number}", service.name));
            for replica in self.replicas.iter_mut().filter(|replica| replica.stage == service.name) {
                changed |=
                    if is_wanted(&replica.name) { replica.start_again(&self.launch, service)? } else { replica.stop() };
            }
        }
        Ok(changed)
    }

    /// Notes who has ended, whoever wanted that.
    fn note_ends(&mut self) -> bool {
        let mut changed = false;
        let replicas = std::mem::take(&mut self.replicas);
        self.replicas = replicas.into_iter().filter_map(|replica| replica.looked_at(&mut changed)).collect();
        changed
    }

    /// Tells all of them to stop, and waits until they have, or until their grace is over.
    pub fn stop(mut self) {
        for replica in &mut self.replicas {
            replica.stop();
        }
        while !self.replicas.is_empty() {
            self.note_ends();
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// What is told of them, in the order of the chain.
    pub fn parts(&self) -> Vec<Part> {
        let of_stage = |service: &Service| {
            let mut replicas: Vec<&Replica> =
                self.replicas.iter().filter(|replica| replica.stage == service.name).collect();
            replicas.sort_by(|one, other| one.name.cmp(&other.name));
            replicas.into_iter().map(Replica::part).collect::<Vec<_>>()
        };
        self.services.iter().flat_map(of_stage).collect()
    }

    /// The stage and the address of each process that is to be watched.
    pub fn targets(&self) -> Vec<(String, String)> {
        self.replicas.iter().map(|replica| (replica.stage.clone(), replica.address())).collect()
    }
}

impl Replica {
    fn start(launch: &Launch, service: &Service, name: String) -> Result<Self> {
        let port = free_port()?;
        let run = Run::Working(launch.start(service, &name, port)?);
        Ok(Self { stage: service.name.clone(), name, port, run, restarts: 0, ended: None })
    }

    /// Starts it again, where it has ended by itself and was left alone for long enough.
    fn start_again(&mut self, launch: &Launch, service: &Service) -> Result<bool> {
        match &self.run {
            Run::Ended(since) if since.elapsed() >= BACKOFF => {
                self.run = Run::Working(launch.start(service, &self.name, self.port)?);
                self.restarts += 1;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Tells it to stop, once.
    fn stop(&mut self) -> bool {
        let (run, changed) = match std::mem::replace(&mut self.run, Run::Gone) {
            Run::Working(process) => {
                // It may just have ended by itself.
                let _ = kill_process(process.pid(), Signal::TERM);
                (Run::Stopping(process, Instant::now()), true)
            }
            Run::Ended(_) => (Run::Gone, true),
            other => (other, false),
        };
        self.run = run;
        changed
    }

    /// The same after a look at its process; `None` once it has stopped as it was told to.
    fn looked_at(mut self, changed: &mut bool) -> Option<Self> {
        match self.run {
            Run::Working(process) if process.has_ended() => {
                *changed = true;
                self.ended = process.wait().map(|status| status.to_string());
                self.run = Run::Ended(Instant::now());
            }
            Run::Stopping(process, since) if process.has_ended() || since.elapsed() > GRACE => {
                *changed = true;
                process.kill();
                return None;
            }
            Run::Gone => return None,
            other => self.run = other,
        }
        Some(self)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn part(&self) -> Part {
        let pid = match &self.run {
            Run::Working(process) | Run::Stopping(process, _) => Some(process.pid()),
            Run::Ended(_) | Run::Gone => None,
        };
        Part {
            name: self.name.clone(),
            pid: pid.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()),
            address: self.address(),
            path: Some("/readyz".to_owned()),
            restarts: self.restarts,
            ended: self.ended.clone(),
        }
    }
}

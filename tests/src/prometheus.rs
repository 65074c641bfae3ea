//! Prometheus and Alertmanager for tests, run from Debian's packages and never as their services.
//!
//! Each has a port and data of its own, and never outlives the process of the test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;
use serde::Deserialize;

use crate::http;
use crate::server::{Folder, Process, free_port};
use crate::stack::compose;

/// How long one may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A Prometheus of its own; killed when it is dropped.
pub struct Prometheus(Program);

/// An Alertmanager of its own; killed when it is dropped.
pub struct Alertmanager(Program);

/// An alert that an Alertmanager was told of and that is not over.
#[derive(Debug, Clone, Deserialize)]
pub struct Notice {
    /// Its labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// Who is to be told.
    pub receivers: Vec<Receiver>,
}

/// One of the configuration's.
#[derive(Debug, Clone, Deserialize)]
pub struct Receiver {
    /// Its name there.
    pub name: String,
}

struct Program {
    folder: Folder,
    port: u16,
    process: Option<Process>,
}

impl Prometheus {
    /// Starts one with this configuration. Files that it names without a folder in front lie in [`Self::folder`], which
    /// `prepare` may fill before.
    ///
    /// # Errors
    /// Where it is not installed, with what to install, or does not take the configuration.
    pub fn start(configuration: &str, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let folder = Folder::new("prometheus")?;
        prepare(&folder)?;
        Program::start("prometheus", "--storage.tsdb.path=", &[], configuration, folder).map(Self)
    }

    /// Where its configuration lies.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Where it answers: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.0.address()
    }

    /// Its process.
    pub fn pid(&self) -> Option<Pid> {
        self.0.pid()
    }
}

impl Alertmanager {
    /// Starts one with the configuration of `compose/`.
    ///
    /// # Errors
    /// As [`Prometheus::start`].
    pub fn of_compose() -> Result<Self> {
        let configuration = compose::folder().join("config/alertmanager.yaml");
        Self::start(&fs::read_to_string(&configuration).with_context(|| configuration.display().to_string())?)
    }

    /// Starts one with this configuration.
    ///
    /// # Errors
    /// As [`Prometheus::start`].
    pub fn start(configuration: &str) -> Result<Self> {
        let folder = Folder::new("alertmanager")?;
        // It is alone: nobody is to be told of it.
        let alone = ["--cluster.listen-address="];
        Program::start("prometheus-alertmanager", "--storage.path=", &alone, configuration, folder).map(Self)
    }

    /// Where it answers: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.0.address()
    }

    /// Its process.
    pub fn pid(&self) -> Option<Pid> {
        self.0.pid()
    }

    /// What it lists as active.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn active(&self) -> Result<Vec<Notice>> {
        let (status, body) = http::get(&self.address(), "/api/v2/alerts?active=true&silenced=false&inhibited=false")?;
        ensure!(status == 200, "{status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }
}

impl Program {
    fn start(name: &str, storage: &str, more: &[&str], configuration: &str, folder: Folder) -> Result<Self> {
        let file = folder.join("configuration.yaml");
        fs::write(&file, configuration)?;
        let port = free_port()?;
        let output = File::create(folder.join("output.log"))?;
        let mut command = Command::new(name);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("{storage}{}", folder.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(more).current_dir(&*folder);
        command.stdout(output.try_clone()?).stderr(output);
        let package = if name == "prometheus" { "prometheus" } else { "prometheus-alertmanager" };
        let (process, _) = Process::start(command)
            .with_context(|| format!("`{name}` is not there; on Debian: apt-get install {package}"))?;
        let program = Self { folder, port, process: Some(process) };
        program.wait_until_ready()?;
        Ok(program)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn pid(&self) -> Option<Pid> {
        self.process.as_ref().map(Process::pid)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while !http::get(&self.address(), "/-/ready").is_ok_and(|(status, _)| status == 200) {
            if self.process.as_ref().is_none_or(Process::has_ended) || Instant::now() > deadline {
                let said: PathBuf = self.folder.join("output.log");
                bail!("it does not get ready: {}", fs::read_to_string(said).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }
}

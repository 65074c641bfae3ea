//! Qdrant for tests: its engine behind its gRPC API, a Python program beside the tests (`servers/qdrant_server.py`).
//!
//! What the program needs is kept in the user's cache folder, and is fetched by pip when it is missing. A server has
//! a port and data of its own, and never outlives the process of the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;
use serde_json::Value;

use crate::python::environment;
use crate::server::{Folder, Process, ready};

/// What pip installs: the engine, and the services of its gRPC API.
const PACKAGES: [&str; 3] = ["qdrant-client==1.20.0", "qdrant-edge-py==0.9.0", "grpcio==1.85.1"];
/// How long a server may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A server of its own; killed when it is dropped.
pub struct Qdrant {
    folder: Folder,
    key: String,
    running: Mutex<Option<Running>>,
}

/// The process, and where it listens.
struct Running {
    process: Process,
    port: u16,
}

impl Qdrant {
    /// The server that all tests of this process share. It is for tests that do not disturb it, under aliases of
    /// their own.
    ///
    /// # Panics
    /// Where it cannot be had, with what is missing: a test on Qdrant never passes without it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Qdrant> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of the test's own.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn start() -> Self {
        Self::with_key("")
    }

    /// A server that lets nobody in without this key.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn with_key(key: &str) -> Self {
        Self::try_start(key).unwrap_or_else(|error| panic!("no Qdrant to test on: {error:#}"))
    }

    fn try_start(key: &str) -> Result<Self> {
        install()?;
        let folder = Folder::new("qdrant")?;
        let server = Self { folder, key: key.to_owned(), running: Mutex::new(None) };
        server.run(0)?;
        Ok(server)
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    ///
    /// # Panics
    /// Where it is not running.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Where it is not running.
    pub fn port(&self) -> u16 {
        let running = self.running.lock().expect("no test panicked inside");
        running.as_ref().map(|running| running.port).expect("the server is running")
    }

    /// Its process, to be signalled.
    pub fn pid(&self) -> Option<Pid> {
        self.running.lock().expect("no test panicked inside").as_ref().map(|running| running.process.pid())
    }

    /// From now on calls go wrong as `faults` says, in the words of the program; `None` ends that.
    ///
    /// # Panics
    /// Where its folder cannot be written to.
    pub fn set_faults(&self, faults: Option<&Value>) {
        let (path, fresh) = (self.data().join("faults.json"), self.data().join("faults.new"));
        match faults {
            Some(faults) => {
                fs::write(&fresh, faults.to_string())
                    .and_then(|()| fs::rename(&fresh, &path))
                    .expect("a folder of ours");
            }
            // It may never have been there.
            None => _ = fs::remove_file(&path),
        }
    }

    /// Kills it, as a machine does that loses its power; what it has on disk stays.
    ///
    /// # Panics
    /// Where the process cannot be waited for.
    pub fn kill(&self) {
        let running = self.running.lock().expect("no test panicked inside").take();
        if let Some(running) = running {
            running.process.kill();
        }
    }

    /// Starts it again on this port, which [`Self::port`] was, with its data.
    ///
    /// # Errors
    /// Where it does not come up, with what it said.
    pub fn resume(&self, port: u16) -> Result<()> {
        ensure!(self.pid().is_none(), "the server is running");
        self.run(port)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn run(&self, port: u16) -> Result<()> {
        let started = spawn(&self.folder, port, &self.key)?;
        *self.running.lock().expect("no test panicked inside") = Some(started);
        Ok(())
    }
}

impl Drop for Qdrant {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The Python with all that the program needs, made where it is not there yet.
///
/// # Errors
/// Where Python is missing, with what to install.
pub fn install() -> Result<PathBuf> {
    Ok(environment("qdrant-edge-0.9.0", &PACKAGES)?.join("python"))
}

/// Starts the program; returns when it answers.
fn spawn(folder: &Path, port: u16, key: &str) -> Result<Running> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/servers/qdrant_server.py");
    let said = folder.join("output.log");
    let mut command = Command::new(install()?);
    command.arg(program).arg("--dir").arg(folder.join("data")).args(["--port", &port.to_string(), "--key", key]);
    command.stdout(Stdio::piped()).stderr(File::options().create(true).append(true).open(&said)?);
    let (process, output) = Process::start(command)?;
    match ready(output.context("its output is piped")?, READY_TIMEOUT) {
        Some(port) => Ok(Running { process, port }),
        None => {
            process.kill();
            bail!("the program does not get ready: {}", fs::read_to_string(said).unwrap_or_default())
        }
    }
}

//! What the supervisor tells of the stack, in a folder: `state.json`, `environment` for a shell, and the log lines of
//! every process. Whoever wants to know looks there, and says in `replicas.json` what is wanted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Log lines that tell a person what happened at the end.
const LAST_LINES: usize = 10;

/// The folder; one a stack.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// Everything that is started, and whether that is all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The supervisor's process.
    pub supervisor: u32,
    /// Whether everything was started; it may still get ready.
    pub complete: bool,
    /// Servers and processes of stages.
    pub parts: Vec<Part>,
}

/// One process of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The service's name in compose.yaml; for a stage with its number behind it.
    pub name: String,
    /// Its process; `None` while it is about to be started again.
    pub pid: Option<u32>,
    /// Where it answers.
    pub address: String,
    /// What it answers on by HTTP; `None` where it speaks something else.
    pub path: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended the last time.
    pub ended: Option<String>,
}

impl Part {
    /// How often it has ended by itself: whoever is about to be started again has ended once more.
    pub fn ends(&self) -> u32 {
        self.restarts + u32::from(self.pid.is_none())
    }
}

impl Folder {
    /// The folder `named`, else the usual one.
    ///
    /// # Errors
    /// Where nothing says who the user is.
    pub fn find(named: Option<&Path>) -> Result<Self> {
        let of_home = |home: OsString| Path::new(&home).join(".local/state");
        let usual = || {
            let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
            state.or_else(|| std::env::var_os("HOME").map(of_home)).map(|state| state.join("frameline/stack"))
        };
        let path = named.map(Path::to_owned).or_else(usual).context("neither XDG_STATE_HOME nor HOME is set")?;
        Ok(Self { path: std::path::absolute(path)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, and throws away what an earlier stack has left.
    ///
    /// # Errors
    /// Where it cannot be written to, or has anything else in it.
    pub fn make(&self) -> Result<()> {
        let told = || format!("the folder of the stack, {}", self.path.display());
        fs::create_dir_all(&self.path).with_context(told)?;
        let is_empty = fs::read_dir(&self.path).with_context(told)?.next().is_none();
        ensure!(
            is_empty || self.path.join("lock").is_file(),
            "{} is no folder of a stack; name another",
            self.path.display()
        );
        fs::remove_dir_all(&self.path).and_then(|()| fs::create_dir(&self.path)).with_context(told)
    }

    /// Holds the stack, as its supervisor does for as long as it lives; `None` where somebody else does.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn hold(&self) -> Result<Option<File>> {
        let lock = File::create(self.path.join("lock")).with_context(|| self.path.display().to_string())?;
        Ok(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(lock))
    }

    /// Whether a supervisor has the stack.
    pub fn is_held(&self) -> bool {
        let lock = File::open(self.path.join("lock"));
        lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
    }

    /// What the supervisor tells; `None` before it has told anything.
    pub fn state(&self) -> Option<State> {
        serde_json::from_slice(&fs::read(self.path.join("state.json")).ok()?).ok()
    }

    /// Tells it, whole or not at all.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn tell(&self, state: &State) -> Result<()> {
        let fresh = self.path.join("state.new");
        fs::write(&fresh, serde_json::to_vec_pretty(state)?)?;
        Ok(fs::rename(fresh, self.path.join("state.json"))?)
    }

    /// What a shell reads before it asks the product for anything.
    pub fn environment(&self) -> PathBuf {
        self.path.join("environment")
    }

    /// Writes that.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn tell_environment(&self, environment: &BTreeMap<String, String>) -> Result<()> {
        let line = |(name, value): (&String, &String)| format!("export {name}='{}'\n", value.replace('\'', r"'\''"));
        Ok(fs::write(self.environment(), environment.iter().map(line).collect::<String>())?)
    }

    /// Where a process's log lines go.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.log"))
    }

    /// The end of them, for a person.
    pub fn last_lines(&self, name: &str) -> String {
        let lines = fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = lines.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    /// The data directory of a process.
    pub fn data(&self, name: &str) -> PathBuf {
        self.path.join("data").join(name)
    }

    /// How many processes each stage is to have; one where nothing is said.
    pub fn wanted(&self) -> BTreeMap<String, usize> {
        let said = fs::read(self.path.join("replicas.json")).ok();
        said.and_then(|said| serde_json::from_slice(&said).ok()).unwrap_or_default()
    }

    /// Says it.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn want(&self, wanted: &BTreeMap<String, usize>) -> Result<()> {
        let fresh = self.path.join("replicas.new");
        fs::write(&fresh, serde_json::to_vec(wanted)?)?;
        Ok(fs::rename(fresh, self.path.join("replicas.json"))?)
    }
}

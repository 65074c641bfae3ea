//! The data directory: what lies in it, and who serves it.
//!
//! ```text
//! layout      that the directory is complete, and how it is laid out
//! log.db      the embedded log
//! jobs.db     files, jobs and what is still to be sent
//! vectors.db  the index
//! blobs/      scenes, thumbnails, long texts, where no bucket has them
//! backups/    where stages were before they were put back
//! serving/    one lock a stage; whoever runs the stage holds it and says there who it is
//! ```
//!
//! The locks are the kernel's: they go with their process, however it ends. Commands beside a running service
//! take none.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Refusal;

const LAYOUT: &str = "1";

/// A data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// The directory `named`, else the usual one. Nothing is made yet.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self> {
        let root = match named {
            Some(root) => root.to_owned(),
            None => usual()?,
        };
        Ok(Self { root: std::path::absolute(root)? })
    }

    /// The same for the demonstration: by default it keeps out of the usual directory's own contents.
    pub(crate) fn find_for_demo(named: Option<&Path>) -> Result<Self> {
        match named {
            Some(_) => Self::find(named),
            None => Ok(Self { root: usual()?.join("demo") }),
        }
    }

    /// Makes what is missing of the folders.
    pub(crate) fn make(&self) -> Result<()> {
        fs::create_dir_all(self.root.join("serving")).map_err(|error| {
            let message = format!("the data directory {} cannot be used", self.root.display());
            Refusal::new(message, "name another one with --data DIR, or in $FRAMELINE_DATA").because(error).into()
        })
    }

    /// The directory itself, absolute.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The embedded log.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log.db")
    }

    /// Files, jobs and what is still to be sent.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.root.join("jobs.db")
    }

    /// The index.
    pub(crate) fn vectors(&self) -> PathBuf {
        self.root.join("vectors.db")
    }

    /// The folder of the blobs; made when it is first needed.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Where stages were before they were put back; made when it is first needed.
    pub(crate) fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }

    /// Whether everything was made once. A complete directory that has lost one of `stores` is refused: made
    /// anew it would be empty, and the others would take its contents for done.
    pub(crate) fn is_complete(&self, stores: &[PathBuf]) -> Result<bool> {
        let layout = match fs::read_to_string(self.root.join("layout")) {
            Ok(layout) => layout,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}/layout", self.root.display())),
        };
        if layout.trim() != LAYOUT {
            let message = format!(
                "the data directory {} has layout `{}`, and this frameline knows {LAYOUT}",
                self.root.display(),
                crate::output::one_line(layout.trim())
            );
            bail!(Refusal::new(message, "use the frameline that wrote it, or another directory: --data DIR"));
        }
        if let Some(missing) = stores.iter().find(|store| !store.exists()) {
            let message =
                format!("the data directory {} is damaged: {} is missing", self.root.display(), name(missing));
            let help = if *missing == self.vectors() {
                "put its backup back, or let `frameline vectors rebuild --execute` make it anew"
            } else {
                "put its backup back, or move the directory away and add the files again"
            };
            bail!(Refusal::new(message, help));
        }
        Ok(true)
    }

    /// Says that everything was made.
    pub(crate) fn complete(&self) -> Result<()> {
        fs::write(self.root.join("layout"), format!("{LAYOUT}\n"))
            .with_context(|| format!("cannot write {}/layout", self.root.display()))
    }

    /// Claims `stages` for this process; refused, with who has one of them, when another serves it.
    pub(crate) fn serve(&self, stages: &[&str]) -> Result<Claim> {
        let mut locks = Vec::with_capacity(stages.len());
        for stage in stages {
            let (mut lock, path) = self.lock_file(stage)?;
            match lock_exclusively(&lock) {
                Ok(()) => locks.push(lock),
                Err(Errno::WOULDBLOCK) => return Err(self.taken(stage, &read_server(&mut lock)).into()),
                Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
            }
        }
        let mut claim = Claim { locks };
        claim.tell(None)?;
        Ok(claim)
    }

    /// Who runs `stage` here, if anyone does.
    pub(crate) fn server(&self, stage: &str) -> Result<Option<Server>> {
        let (mut lock, path) = self.lock_file(stage)?;
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(Errno::WOULDBLOCK) => Ok(Some(read_server(&mut lock))),
            Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
        }
    }

    fn lock_file(&self, stage: &str) -> Result<(File, PathBuf)> {
        let path = self.root.join("serving").join(stage);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        Ok((file.with_context(|| format!("cannot open {}", path.display()))?, path))
    }

    fn taken(&self, stage: &str, server: &Server) -> Refusal {
        let message = format!("{server} already runs {stage} on the data directory {}", self.root.display());
        let stop = server.pid.map_or_else(String::new, |pid| format!(", stop it with `kill {pid}`"));
        Refusal::new(message, format!("use the one that runs{stop}, or start on another directory: --data DIR"))
    }
}

/// Who runs a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    /// Its process.
    pub(crate) pid: Option<u32>,
    /// Where it answers, once it does.
    pub(crate) address: Option<SocketAddr>,
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(formatter, "process {pid}")?,
            None => write!(formatter, "another process")?,
        }
        match self.address {
            Some(address) => write!(formatter, " (http://{address})"),
            None => Ok(()),
        }
    }
}

/// Stages claimed for this process, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    locks: Vec<File>,
}

impl Claim {
    /// Tells others who and where we are.
    pub(crate) fn tell(&mut self, address: Option<SocketAddr>) -> Result<()> {
        let text = serde_json::to_string(&Server { pid: Some(std::process::id()), address })?;
        for lock in &mut self.locks {
            let written = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(text.as_bytes()));
            written.context("cannot write who serves the data directory")?;
        }
        Ok(())
    }
}

/// A command that only looks holds the lock for a moment: that must not turn a service away.
fn lock_exclusively(lock: &File) -> Result<(), Errno> {
    let mut outcome = flock(lock, FlockOperation::NonBlockingLockExclusive);
    for _ in 0..10 {
        if outcome != Err(Errno::WOULDBLOCK) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        outcome = flock(lock, FlockOperation::NonBlockingLockExclusive);
    }
    outcome
}

/// Whoever holds the lock may be just about to write: then it is somebody without a name.
fn read_server(lock: &mut File) -> Server {
    let mut text = String::new();
    match lock.read_to_string(&mut text) {
        Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => Server::default(),
    }
}

fn usual() -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(data) = from("FRAMELINE_DATA") {
        return Ok(data);
    }
    let base = from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share")));
    let Some(base) = base else {
        bail!(Refusal::new(
            "there is no place for the data: neither $HOME nor $XDG_DATA_HOME is set",
            "name one: --data DIR"
        ));
    };
    Ok(base.join("frameline"))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path) -> DataDir {
        let data = DataDir::find(Some(folder)).unwrap();
        data.make().unwrap();
        data
    }

    #[test]
    fn a_second_server_is_refused_and_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let data = made(folder.path());
        let mut first = data.serve(&["identify", "render"]).unwrap();
        first.tell(Some("127.0.0.1:8470".parse().unwrap())).unwrap();

        let second = data.serve(&["validate", "render"]).unwrap_err();
        let text = format!("{second:#}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(text.contains("http://127.0.0.1:8470"), "{text}");
        assert!(text.contains(&data.root().display().to_string()), "{text}");
        assert_eq!(data.server("render").unwrap().unwrap().pid, Some(std::process::id()));

        drop(first);
        assert_eq!(data.server("render").unwrap(), None);
        data.serve(&["validate", "render"]).unwrap();
    }

    #[test]
    fn a_refused_claim_leaves_the_other_stages_free() {
        let folder = tempfile::tempdir().unwrap();
        let data = made(folder.path());
        let _held = data.serve(&["render"]).unwrap();
        assert!(data.serve(&["identify", "render"]).is_err());
        assert_eq!(data.server("identify").unwrap(), None);
    }

    #[test]
    fn a_complete_directory_that_lost_a_store_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let data = made(folder.path());
        let stores = [data.jobs(), data.vectors()];
        assert!(!data.is_complete(&stores).unwrap());
        for store in &stores {
            fs::write(store, "x").unwrap();
        }
        data.complete().unwrap();
        assert!(data.is_complete(&stores).unwrap());
        fs::remove_file(data.vectors()).unwrap();
        let text = data.is_complete(&stores).unwrap_err().to_string();
        assert!(text.contains("damaged: vectors.db is missing"), "{text}");
    }

    #[test]
    fn a_directory_of_another_layout_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = made(folder.path());
        fs::write(data.root().join("layout"), "9\n").unwrap();
        assert!(data.is_complete(&[]).unwrap_err().to_string().contains("layout `9`"));
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = DataDir::find(Some(&file)).unwrap().make().unwrap_err();
        assert!(error.to_string().contains("cannot be used"), "{error:#}");
    }
}

//! A server beside the tests: a process that never outlives them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal};

/// A running process, and the thread that waits for it.
pub struct Process {
    pid: Pid,
    waiter: JoinHandle<Option<ExitStatus>>,
}

impl Process {
    /// Starts it, and gives its standard output where that is piped.
    ///
    /// A thread that lives as long as it does so: the kernel kills a child with the thread that started it, and the
    /// threads of tests come and go.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(mut command: Command) -> Result<(Self, Option<ChildStdout>)> {
        let dies_with_parent = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
        // SAFETY: one system call, which allocates nothing and takes no lock.
        unsafe { command.stdin(Stdio::null()).pre_exec(dies_with_parent) };
        let (sender, receiver) = mpsc::channel();
        let waiter = std::thread::Builder::new().name("server".to_owned()).spawn(move || match command.spawn() {
            Ok(mut child) => {
                let _ = sender.send(Ok((child.id(), child.stdout.take())));
                child.wait().ok()
            }
            Err(error) => {
                let _ = sender.send(Err(error));
                None
            }
        })?;
        let (pid, output) = receiver.recv()??;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process has a positive id")?;
        Ok((Self { pid, waiter }, output))
    }

    /// Starts it in a folder, where what it says comes into a file of this name and `.log`.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn in_folder(mut command: Command, folder: &Path, name: &str) -> Result<Self> {
        let output = File::create(folder.join(format!("{name}.log")))?;
        command.stdout(output.try_clone()?).stderr(output).current_dir(folder);
        let (process, _) = Self::start(command).with_context(|| format!("{name} cannot be started"))?;
        Ok(process)
    }

    /// Its id, to be signalled.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.waiter.is_finished()
    }

    /// Waits for its end, and says how it was.
    ///
    /// # Panics
    /// Where it cannot be waited for.
    pub fn wait(self) -> Option<ExitStatus> {
        self.waiter.join().expect("the waiting thread does not panic")
    }

    /// Kills it, as a machine does that loses its power.
    ///
    /// # Panics
    /// Where it cannot be waited for.
    pub fn kill(self) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        self.wait();
    }
}

/// The port that a program tells of itself, `READY PORT` in its first line; `None` where it ends before, or takes too
/// long.
pub fn ready(output: ChildStdout, timeout: Duration) -> Option<u16> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let first = BufReader::new(output).lines().map_while(Result::ok).next();
        let port = first.and_then(|line| line.strip_prefix("READY ")?.parse().ok());
        // Nobody waits any longer, perhaps.
        let _ = sender.send(port);
    });
    receiver.recv_timeout(timeout).ok().flatten()
}

/// A port of the loopback that nobody listens on now.
///
/// # Errors
/// Where there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A folder for the data of a server, removed when it is dropped. Those of shared servers never are: they go with the
/// first folder of their kind after their process.
pub struct Folder(PathBuf);

impl Folder {
    /// One for a server of this kind, named by this process.
    ///
    /// # Errors
    /// Where the folder for temporary files cannot be written to.
    pub fn new(kind: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = std::env::temp_dir().join(format!("frameline-{kind}"));
        fs::create_dir_all(&parent)?;
        for entry in fs::read_dir(&parent)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.split('-').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
            if owner.is_some_and(|pid| rustix::process::test_kill_process(pid).is_err()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("{}-{count}", std::process::id()));
        // An earlier process may have had the same id.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where what was fetched once for the tests is kept.
///
/// # Errors
/// Where nothing says who the user is.
pub fn cache_folder() -> Result<PathBuf> {
    let of_user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let of_home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = of_user.or_else(of_home).context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(folder.join("frameline"))
}

/// Holds what this name stands for in the cache folder, until the file is dropped: one at a time, of all processes.
///
/// # Errors
/// Where the cache folder cannot be written to.
pub fn lock(name: &str) -> Result<File> {
    let cache = cache_folder()?;
    fs::create_dir_all(&cache)?;
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner_or_after_a_process_that_is_gone() {
        let folder = Folder::new("folders").unwrap();
        let path = folder.to_owned();
        // No process has such an id.
        let left = path.with_file_name("2000000000-0");
        fs::create_dir_all(left.join("data")).unwrap();
        let other = Folder::new("folders").unwrap();
        assert!(!left.exists() && path.is_dir() && *other != *path);
        drop(folder);
        assert!(!path.exists());
    }
}

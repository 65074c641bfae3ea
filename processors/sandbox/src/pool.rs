//! The pool's side: who runs, who waits, who is replaced.
//!
//! A [`Slot`] is the right to use one worker, so a stage takes a slot before it loads a file and never holds
//! more files in memory than there are workers. Cancelling a call kills its worker: a worker belongs to the
//! call until it has answered.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::{Fault, Limits, fault, wire};

/// How many bytes of a worker's last words are kept.
const SAID_BYTES: usize = 2_048;

/// The longest message that a worker may start with, in bytes.
const READY_BYTES: u64 = 100;

/// What a pool runs.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The program. The default is the running one, even where its file has been replaced since.
    pub program: PathBuf,
    /// Its arguments: those that make it call [`crate::serve`].
    pub args: Vec<String>,
    /// How many workers may run at the same time.
    pub workers: usize,
    /// What each may use.
    pub limits: Limits,
    /// A worker is replaced after so many files.
    pub recycle_files: u32,
    /// A worker is replaced when it holds more memory than this, in bytes.
    pub recycle_rss_bytes: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            args: Vec::new(),
            workers: thread::available_parallelism().map_or(1, usize::from),
            limits: Limits::default(),
            recycle_files: 100,
            recycle_rss_bytes: 512 << 20,
        }
    }
}

/// Workers of one kind. All of them end when the pool and its slots are dropped.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    settings: PoolSettings,
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<Worker>>,
    spawner: mpsc::Sender<oneshot::Sender<io::Result<Child>>>,
}

/// The right to use one worker.
pub struct Slot {
    shared: Arc<Shared>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// A pool without workers; they start with the files. Must be called within a tokio runtime.
    pub fn new(settings: PoolSettings) -> io::Result<Self> {
        let spawner = start_spawner(&settings)?;
        let slots = Arc::new(Semaphore::new(settings.workers.max(1)));
        Ok(Self { shared: Arc::new(Shared { settings, slots, idle: Mutex::default(), spawner }) })
    }

    /// Waits for the right to use a worker.
    pub async fn slot(&self) -> Slot {
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = Arc::clone(&self.shared.slots).acquire_owned().await.ok();
        Slot { shared: Arc::clone(&self.shared), _permit: permit }
    }
}

impl Slot {
    /// Has a worker answer a question about a file. A worker that dies of it is replaced, and the fresh one
    /// tries once more; the limit of time by the clock holds for both together.
    pub async fn call<Q, A>(&mut self, question: &Q, body: &[u8]) -> Result<(A, Vec<u8>), Fault>
    where
        Q: Serialize,
        A: DeserializeOwned,
    {
        let header = serde_json::to_vec(question).map_err(|error| Fault::Answer(error.to_string()))?;
        let deadline = Instant::now() + self.shared.settings.limits.wall;
        let idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let answered = match self.try_once(idle, &header, body, deadline).await {
            Err(fault) if fault.is_death() => {
                tracing::debug!(%fault, "a worker died; a fresh one tries again");
                self.try_once(None, &header, body, deadline).await
            }
            answered => answered,
        };
        let (header, body) = answered?;
        let answer = wire::parse(&header).map_err(|error| Fault::Answer(error.to_string()))?;
        Ok((answer, body))
    }

    async fn try_once(
        &self,
        idle: Option<Worker>,
        header: &[u8],
        body: &[u8],
        deadline: Instant,
    ) -> Result<(Vec<u8>, Vec<u8>), Fault> {
        let limits = &self.shared.settings.limits;
        let timeout = |_| Fault::Timeout { limit: limits.wall };
        let mut worker = match idle {
            Some(worker) => worker,
            None => timeout_at(deadline, self.shared.start_worker()).await.map_err(timeout)?.map_err(Fault::Spawn)?,
        };
        match timeout_at(deadline, worker.exchange(header, body, limits.answer_bytes)).await.map_err(timeout)? {
            Ok(answer) => {
                self.shared.take_back(worker);
                Ok(answer)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Fault::Answer(error.to_string())),
            Err(_) => Err(timeout_at(deadline, worker.death(limits)).await.unwrap_or_else(timeout)),
        }
    }
}

impl Shared {
    async fn start_worker(&self) -> io::Result<Worker> {
        let gone = || io::Error::other("the spawner has ended");
        let (reply, child) = oneshot::channel();
        self.spawner.send(reply).map_err(|_| gone())?;
        let mut worker = Worker::new(child.await.map_err(|_| gone())??)?;
        let limits = serde_json::to_vec(&self.settings.limits)?;
        match worker.exchange(&limits, &[], READY_BYTES).await {
            Ok(_ready) => Ok(worker),
            Err(_) => Err(io::Error::other(worker.death(&self.settings.limits).await.to_string())),
        }
    }

    /// Keeps the worker for the next file, unless it has become old or large.
    fn take_back(&self, mut worker: Worker) {
        worker.files += 1;
        let old = worker.files >= self.settings.recycle_files;
        let large = worker.rss_bytes().is_some_and(|bytes| bytes > self.settings.recycle_rss_bytes);
        if !old && !large {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        }
    }
}

/// Starts processes from a thread of its own: the kernel ends a worker with the *thread* that started it, and
/// the runtime's threads come and go.
fn start_spawner(settings: &PoolSettings) -> io::Result<mpsc::Sender<oneshot::Sender<io::Result<Child>>>> {
    let (requests, received) = mpsc::channel::<oneshot::Sender<io::Result<Child>>>();
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    let (program, args) = (settings.program.clone(), settings.args.clone());
    thread::Builder::new().name("sandbox-spawner".to_owned()).spawn(move || {
        let _entered = runtime.enter();
        for reply in received {
            // Nobody waits any more: the process is killed as it is dropped.
            drop(reply.send(spawn(&program, &args)));
        }
    })?;
    Ok(requests)
}

/// A worker inherits neither the environment, which may hold secrets, nor a terminal, nor the process group: an
/// interrupt from the keyboard is for the parent, which still needs its workers to drain.
fn spawn(program: &PathBuf, args: &[String]) -> io::Result<Child> {
    let mut command = std::process::Command::new(program);
    command.args(args).env_clear().process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Ok(path) = std::env::current_exe() {
        command.arg0(path);
    }
    Command::from(command).kill_on_drop(true).spawn()
}

struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    said: JoinHandle<String>,
    files: u32,
}

impl Worker {
    fn new(mut child: Child) -> io::Result<Self> {
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the process has no pipes"));
        };
        Ok(Self { child, input, output, said: tokio::spawn(last_words(errors)), files: 0 })
    }

    async fn send(&mut self, header: &[u8], body: &[u8]) -> io::Result<()> {
        self.input.write_all(&wire::prefix(header, body)).await?;
        self.input.write_all(header).await?;
        self.input.write_all(body).await
    }

    async fn exchange(&mut self, header: &[u8], body: &[u8], limit_bytes: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
        self.send(header, body).await?;
        let mut prefix = [0; wire::PREFIX_BYTES];
        self.output.read_exact(&mut prefix).await?;
        let (header_length, body_length) = wire::lengths(prefix, limit_bytes)?;
        Ok((self.receive(header_length).await?, self.receive(body_length).await?))
    }

    /// Grows with what really comes, so that a wrong length costs nothing.
    async fn receive(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.output).take(length as u64).read_to_end(&mut bytes).await?;
        if bytes.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    /// What the worker died of. Its pipe is closed: it is dead or about to be.
    async fn death(mut self, limits: &Limits) -> Fault {
        // A worker that closed its pipe and lives on is of no use either.
        drop(self.input);
        drop(self.output);
        match self.child.wait().await {
            Ok(status) => fault::of_death(status, self.said.await.unwrap_or_default(), limits),
            Err(error) => Fault::Spawn(error),
        }
    }

    /// Resident memory, where the system tells it.
    fn rss_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes << 10)
    }
}

/// Reads until the pipe closes, and keeps the end.
async fn last_words(mut errors: ChildStderr) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; SAID_BYTES];
    while let Ok(length @ 1..) = errors.read(&mut buffer).await {
        said.extend(buffer.iter().take(length));
        let surplus = said.len().saturating_sub(SAID_BYTES);
        said.drain(..surplus);
    }
    String::from_utf8_lossy(&said).into_owned()
}

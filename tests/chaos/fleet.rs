//! The stages as processes of their own, and what a supervisor does for them: it starts again what has ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use frameline_runtime::gate::Gate;
use frameline_tests::product::bare;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use serde_json::Value;

use crate::schedule::STAGES;

/// How long a process that has ended by itself is left alone.
const BACKOFF: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How processes of the product are started: this very program is the product too.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) config: PathBuf,
    /// Where what they log goes.
    pub(crate) logs: PathBuf,
    /// Where their gates are.
    pub(crate) gates: PathBuf,
    /// What stages have in their environment beyond that.
    pub(crate) of_stages: Vec<(&'static str, String)>,
}

/// One process of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) stage: &'static str,
    /// Whether it is the one beside the usual one.
    pub(crate) is_second: bool,
}

impl Name {
    /// The usual process of a stage.
    pub(crate) fn first(stage: &'static str) -> Self {
        Self { stage, is_second: false }
    }

    /// One more.
    pub(crate) fn second(stage: &'static str) -> Self {
        Self { stage, is_second: true }
    }

    fn text(self) -> String {
        format!("{}-{}", self.stage, if self.is_second { "b" } else { "a" })
    }
}

impl Launch {
    /// A command of the product, with nothing of the configuration around the harness.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(&self.program);
        command.args(arguments).arg("--json").arg("--config").arg(&self.config).arg("--data").arg(&self.data);
        command.env("RUST_LIB_BACKTRACE", "0");
        command
    }

    /// The gate in front of the work of a process.
    pub(crate) fn gate(&self, name: Name) -> Gate {
        Gate::at(&self.gates.join(name.text()))
    }

    /// Starts a service, which ends with the harness.
    pub(crate) fn service(&self, arguments: &[&str], name: &str) -> Result<Process> {
        let mut command = self.command(arguments);
        let lines = File::options().create(true).append(true).open(self.logs.join(format!("{name}.log")))?;
        command.args(["--listen", "127.0.0.1:0"]).envs(self.of_stages.iter().map(|(name, value)| (name, value)));
        command.env("CHAOS_GATE", self.gates.join(name)).stdout(Stdio::piped()).stderr(lines);
        // SAFETY: system calls, which allocate nothing and take no lock.
        unsafe { command.pre_exec(become_a_child_that_obeys_permissions) };
        let mut child = command.spawn().with_context(|| format!("{command:?} cannot be started"))?;
        let told = Arc::new(Told::default());
        let listening = child.stdout.take().map(|output| {
            let told = Arc::clone(&told);
            thread::spawn(move || told.read(output))
        });
        Ok(Process { child, told, listening })
    }

    fn stage(&self, name: Name) -> Result<Process> {
        self.service(&["run", name.stage, "--instance", &name.text()], &name.text())
    }
}

/// It ends with the thread that started it; and it may not do what it has no permission for, also as root.
fn become_a_child_that_obeys_permissions() -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
        // Who is not root has none of them, and may not give them up either.
        let _ = remove_capability_from_bounding_set(capability);
    }
    Ok(())
}

/// A process of the product at work; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    told: Arc<Told>,
    /// Ends with what it tells.
    listening: Option<JoinHandle<()>>,
}

/// What it told of itself.
#[derive(Default)]
struct Told(Mutex<(bool, Option<u64>)>);

impl Told {
    fn read(&self, output: ChildStdout) {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match event["event"].as_str() {
                Some("ready") => told.0 = true,
                Some("stopped") => told.1 = event["unfinished"].as_u64(),
                _ => {}
            }
        }
    }
}

/// How a process ended that was told to stop.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) status: ExitStatus,
    /// Records that it had begun, and did not finish; it says so itself.
    pub(crate) unfinished: Option<u64>,
    pub(crate) took: Duration,
}

impl Process {
    pub(crate) fn is_ready(&self) -> bool {
        self.told.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Once it has ended, another may have its number.
    fn signal(&mut self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Some(pid), Ok(None)) = (pid, self.child.try_wait()) {
            // It may end just now, and is not waited for.
            let _ = kill_process(pid, signal);
        }
    }

    fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end; kills it after `patience`.
    pub(crate) fn stop(mut self, patience: Duration) -> Result<Stopped> {
        self.signal(Signal::TERM);
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> Result<Stopped> {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if begun.elapsed() > patience {
                self.kill()?;
            }
            thread::sleep(LOOK_AGAIN);
        };
        // What it wrote last may still be on its way through the pipe.
        if let Some(listening) = self.listening.take() {
            listening.join().map_err(|_| anyhow::anyhow!("the thread that listens panicked"))?;
        }
        let unfinished = self.told.0.lock().unwrap_or_else(PoisonError::into_inner).1;
        Ok(Stopped { status, unfinished, took: begun.elapsed() })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// All processes of the stages.
pub(crate) struct Fleet {
    launch: Arc<Launch>,
    wanted: BTreeMap<Name, Option<Process>>,
    /// Those that ended by themselves wait until then.
    not_before: BTreeMap<Name, Instant>,
    /// How often one ended by itself, and what its exit status was.
    fallen: BTreeMap<String, u32>,
}

impl Fleet {
    /// One process of every stage, none of them started.
    pub(crate) fn new(launch: Arc<Launch>) -> Self {
        let wanted = STAGES.iter().map(|(stage, _)| (Name::first(stage), None)).collect();
        Self { launch, wanted, not_before: BTreeMap::new(), fallen: BTreeMap::new() }
    }

    /// Starts what does not run, notes what has ended by itself. To be called often.
    pub(crate) fn tend(&mut self) -> Result<()> {
        for (name, process) in &mut self.wanted {
            if let Some(running) = process
                && let Some(status) = running.has_ended()?
            {
                let how =
                    status.code().map_or_else(|| format!("signal {:?}", status.signal()), |code| code.to_string());
                *self.fallen.entry(format!("{} with {how}", name.stage)).or_default() += 1;
                self.not_before.insert(*name, Instant::now() + BACKOFF);
                *process = None;
            }
            if process.is_none() && self.not_before.get(name).is_none_or(|at| *at <= Instant::now()) {
                *process = Some(self.launch.stage(*name)?);
            }
        }
        Ok(())
    }

    /// Tends it for a while.
    pub(crate) fn tend_for(&mut self, time: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.tend()?;
            thread::sleep(LOOK_AGAIN.min(time));
        }
        Ok(())
    }

    /// Tends it until every process is ready; says which are not, when they take longer than `patience`.
    pub(crate) fn recover(&mut self, patience: Duration) -> Result<Vec<String>> {
        let begun = Instant::now();
        loop {
            self.tend()?;
            let is_ready = |process: &Option<Process>| process.as_ref().is_some_and(Process::is_ready);
            let missing: Vec<String> =
                self.wanted.iter().filter(|(_, process)| !is_ready(process)).map(|(name, _)| name.text()).collect();
            if missing.is_empty() || begun.elapsed() > patience {
                return Ok(missing);
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Wants one process more.
    pub(crate) fn add(&mut self, name: Name) -> Result<()> {
        self.wanted.entry(name).or_default();
        self.tend()
    }

    /// Wants one less, and gives it, if it runs.
    pub(crate) fn take(&mut self, name: Name) -> Option<Process> {
        self.wanted.remove(&name).flatten()
    }

    /// SIGKILL; the next tending starts it again.
    pub(crate) fn kill(&mut self, name: Name) -> Result<()> {
        match self.wanted.get_mut(&name).and_then(Option::take) {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// SIGKILL to all of them, at once.
    pub(crate) fn kill_all(&mut self) -> Result<()> {
        let mut processes: Vec<Process> = self.wanted.values_mut().filter_map(Option::take).collect();
        processes.iter_mut().for_each(|process| process.signal(Signal::KILL));
        processes.iter_mut().try_for_each(Process::kill)
    }

    /// SIGTERM: gives the process, which is on its way out. The next tending starts another one.
    pub(crate) fn terminate(&mut self, name: Name) -> Option<Leaving> {
        let mut process = self.wanted.get_mut(&name)?.take()?;
        // On the embedded log the next one of the stage cannot start before this one has gone.
        self.not_before.insert(name, Instant::now() + BACKOFF);
        process.signal(Signal::TERM);
        Some(Leaving { was_ready: process.is_ready(), process })
    }

    /// SIGSTOP or SIGCONT to all of them.
    pub(crate) fn signal_all(&mut self, signal: Signal) {
        self.wanted.values_mut().flatten().for_each(|process| process.signal(signal));
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&mut self, name: Name, signal: Signal) {
        if let Some(process) = self.wanted.get_mut(&name).and_then(Option::as_mut) {
            process.signal(signal);
        }
    }

    /// Stops all, the first of the chain first; says how each ended.
    pub(crate) fn stop(&mut self, patience: Duration) -> Result<Vec<(&'static str, Stopped)>> {
        let mut all = Vec::new();
        for (stage, _) in STAGES {
            if let Some(process) = self.take(Name::first(stage)) {
                all.push((stage, process.stop(patience)?));
            }
        }
        Ok(all)
    }

    /// How often processes ended by themselves.
    pub(crate) fn fallen(&self) -> &BTreeMap<String, u32> {
        &self.fallen
    }
}

/// A process that was told to stop.
pub(crate) struct Leaving {
    process: Process,
    /// Whether it was at work by then.
    pub(crate) was_ready: bool,
}

impl Leaving {
    /// Waits for its end.
    pub(crate) fn end(mut self, patience: Duration) -> Result<Stopped> {
        self.process.end(patience)
    }
}

//! The product's binary at work, as its users start it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// A service at work; killed when it is dropped.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said of itself when it was ready.
    pub ready: Value,
}

impl Running {
    /// Starts a service that tells events, and waits for its first one.
    ///
    /// # Panics
    /// Where it ends before, with what it says.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(Ok(line)) = lines.next() else {
            let mut err = String::new();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            panic!("it ended before it was ready: {err}");
        };
        // Nobody reads on: whatever it logs from here is not to fill the pipe.
        let mut stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::stderr()));
        Self { child, lines, ready: serde_json::from_str(&line).unwrap() }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its next event.
    ///
    /// # Panics
    /// Where it tells no more.
    pub fn next_event(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// Sends SIGTERM and waits for its end.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        until("the service has ended", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary with these arguments, and nothing of the configuration around the test.
pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = bare(&binary());
    command.args(arguments);
    command
}

/// This program without input, and without the configuration around it.
pub(crate) fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    let is_configuration =
        |name: &OsStr| [b"FRAMELINE".as_slice(), b"AWS_"].iter().any(|of| name.as_encoded_bytes().starts_with(of));
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_configuration(name)) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Looks again and again until there is something.
///
/// # Panics
/// Where that takes too long.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `$FRAMELINE_BIN`, else what lies beside this program or, for a test, beside its folder.
fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("FRAMELINE_BIN") {
        return named.into();
    }
    let program = std::env::current_exe().unwrap();
    let beside = program.ancestors().skip(1).take(2).map(|folder: &Path| folder.join("frameline"));
    let found = beside.into_iter().find(|file| file.is_file());
    found.expect("frameline is missing; build it: cargo build --release -p frameline")
}

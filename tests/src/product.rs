//! The product's binary at work, as its users start it.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::server::Process;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a process that is gone is listened to for more of its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A service at work; killed when it is dropped, and with this process.
pub struct Running {
    pid: Pid,
    /// `None` once it has ended.
    process: Option<Process>,
    events: Receiver<String>,
    /// What it has said on standard error.
    said: Receiver<String>,
    /// What it said of itself when it was ready.
    pub ready: Value,
}

impl Running {
    /// Starts a service that tells events, and waits for its first one.
    ///
    /// # Panics
    /// Where it ends before or takes too long, with what it says.
    pub fn start(mut command: Command) -> Self {
        let (err, its_err) = io::pipe().unwrap();
        command.stdout(Stdio::piped()).stderr(its_err);
        let (process, out) = Process::start(command).unwrap();
        let events = lines(out.unwrap(), io::sink());
        let said = lines(err, io::stderr());
        let mut running = Self { pid: process.pid(), process: Some(process), events, said, ready: Value::Null };
        running.ready = running.next_event();
        running
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        u32::try_from(self.pid.as_raw_nonzero().get()).unwrap()
    }

    /// Its next event.
    ///
    /// # Panics
    /// Where it tells no more or takes too long, with what it says.
    pub fn next_event(&mut self) -> Value {
        let event = self.events.recv_timeout(PATIENCE).unwrap_or_else(|why| {
            // What it said is to have an end.
            self.kill();
            let said: Vec<String> = std::iter::from_fn(|| self.said.recv_timeout(LAST_WORDS).ok()).collect();
            let why = match why {
                RecvTimeoutError::Timeout => format!("it told nothing for {PATIENCE:?}"),
                RecvTimeoutError::Disconnected => "it ended before it told an event".to_owned(),
            };
            panic!("{why}: {}", said.concat());
        });
        serde_json::from_str(&event).unwrap_or_else(|error| panic!("no event, {error}: {event}"))
    }

    /// Sends SIGTERM and waits for its end.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) -> Option<i32> {
        // It may have ended by itself.
        let _ = kill_process(self.pid, Signal::TERM);
        let ended = || self.process.take_if(|process| process.has_ended());
        until("the service has ended", ended).wait()?.code()
    }

    fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines of a process's output as they come, shown at once too. They are read whether anybody wants them or not: no
/// pipe is to be full.
fn lines(output: impl Read + Send + 'static, mut shown: impl Write + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let _ = shown.write_all(&line);
            // Nobody listens any longer, perhaps.
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
    });
    receiver
}

/// The binary with these arguments, and nothing of the configuration around the test.
pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = bare(&binary());
    command.args(arguments);
    command
}

/// This program without input, and without the configuration around it.
pub fn bare(program: &Path) -> Command {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_service_is_followed_from_its_first_event_to_its_end() {
        let tells = "trap 'exit 7' TERM; echo '\"ready\"'; echo '\"found\"'; while :; do sleep 0.1; done";
        let mut service = Running::start(shell(tells));
        assert_eq!(service.ready, "ready");
        assert_eq!(service.next_event(), "found");
        assert_eq!(service.stop(), Some(7));
    }

    #[test]
    #[should_panic(expected = "it ended before it told an event: no pen to draw with")]
    fn one_that_ends_fails_the_test_with_its_last_words() {
        Running::start(shell("echo 'no pen to draw with' >&2; exit 3"));
    }
}

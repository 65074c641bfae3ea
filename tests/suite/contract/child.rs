//! This test program once more, as another process: it runs one test of it alone, which reads from its environment
//! what to do.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use super::follower::PATIENCE;

/// The process; killed when it is dropped.
pub(crate) struct Child {
    process: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Runs the test `child_process` of `module`, which is ignored otherwise, in this environment.
    pub(crate) fn start<'a>(module: &str, environment: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let (_crate, module) = module.split_once("::").unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::child_process"), "--ignored", "--nocapture"])
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// Waits until it prints a line that has this in it, and returns the line.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        let wait = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(text) {
                    return line;
                }
            }
            panic!("the other process ended without a word of {text}");
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {text}"))
    }

    /// Writes to its standard input.
    pub(crate) async fn hears(&mut self, text: &str) {
        self.process.stdin.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
    }

    /// Waits for its end, which has to be good.
    pub(crate) async fn finish(mut self) {
        let status = tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("an end in time").unwrap();
        assert!(status.success(), "{status}");
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.process.id().unwrap().cast_signed()).unwrap();
        kill_process(id, signal).unwrap();
    }
}

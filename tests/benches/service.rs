//! The binary as its users have it, on a data directory.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use anyhow::{Context, ensure};
use frameline_tests::product::bare;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// All stages at work; killed when it is dropped.
pub(crate) struct Service {
    process: Child,
    address: String,
}

impl Service {
    /// Starts them, and waits for the line that says they are ready.
    pub(crate) fn start(mut up: Command) -> anyhow::Result<Self> {
        let process = up.args(["--json", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?;
        let mut service = Self { process, address: String::new() };
        let output = service.process.stdout.take().context("the service has no output")?;
        let mut ready = String::new();
        BufReader::new(output).read_line(&mut ready)?;
        ensure!(!ready.is_empty(), "the service ended before it was ready");
        let ready: Value = serde_json::from_str(&ready)?;
        service.address = ready["address"].as_str().context("the service does not say where it answers")?.to_owned();
        Ok(service)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where it answers: host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Stops it as an operator would.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("a process has a positive id")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "`frameline up` after SIGTERM: {status}");
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command of the product, with nothing of the configuration around it.
pub(crate) fn command(data: &Path, name: &str) -> anyhow::Result<Command> {
    let mut command = bare(Path::new(&binary()?));
    command.arg(name).arg("--data").arg(data).env("FRAMELINE_LOG", "warn");
    Ok(command)
}

/// `$FRAMELINE_BIN`, else what lies beside this program.
pub(crate) fn binary() -> anyhow::Result<OsString> {
    if let Some(named) = env::var_os("FRAMELINE_BIN") {
        return Ok(named);
    }
    let beside = env::current_exe()?.with_file_name("frameline");
    ensure!(fs::exists(&beside)?, "{} is missing: cargo build --release -p frameline", beside.display());
    Ok(beside.into())
}

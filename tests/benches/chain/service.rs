//! The binary on a fresh data directory.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context, ensure};
use frameline_stores::vectors::{SqliteVectors, Vectors};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Pass;

/// Brings `folder` in; the time is that of `add --wait`.
pub(super) fn pass(folder: &Path) -> anyhow::Result<Pass> {
    let data = TempDir::new()?;
    let service = Service::start(data.path())?;
    let mut add = command(data.path(), "add")?;
    add.arg(folder).arg("--wait");
    let started = Instant::now();
    let added = add.output()?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(added.status.success(), "`frameline add --wait`: {}", String::from_utf8_lossy(&added.stderr));
    service.stop()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counts =
        runtime.block_on(async { SqliteVectors::open(&data.path().join("vectors.db")).await?.counts().await })?;
    Ok(Pass { seconds, counts })
}

/// All stages at work; killed when it is dropped.
struct Service(Child);

impl Service {
    /// Starts them, and waits for the line that says they are ready.
    fn start(data: &Path) -> anyhow::Result<Self> {
        let mut up = command(data, "up")?;
        let mut service = Self(up.args(["--json", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?);
        let output = service.0.stdout.take().context("the service has no output")?;
        let mut ready = String::new();
        BufReader::new(output).read_line(&mut ready)?;
        ensure!(!ready.is_empty(), "the service ended before it was ready");
        Ok(service)
    }

    fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).context("a process has a positive id")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "`frameline up` after SIGTERM: {status}");
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command of the product, with nothing of the configuration around it.
fn command(data: &Path, name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(binary()?);
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"FRAMELINE")) {
        command.env_remove(name);
    }
    command.arg(name).arg("--data").arg(data).env("FRAMELINE_LOG", "warn").stdin(Stdio::null());
    Ok(command)
}

/// `$FRAMELINE_BIN`, else what lies beside this program.
pub(super) fn binary() -> anyhow::Result<OsString> {
    if let Some(named) = env::var_os("FRAMELINE_BIN") {
        return Ok(named);
    }
    let beside = env::current_exe()?.with_file_name("frameline");
    ensure!(fs::exists(&beside)?, "{} is missing: cargo build --release -p frameline", beside.display());
    Ok(beside.into())
}

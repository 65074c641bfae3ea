//! The stack of `compose/` without containers: `cargo xtask stack up|down|status|scale`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use frameline_tests::stack::compose::Compose;
use frameline_tests::stack::state::Folder;
use frameline_tests::stack::status::{Report, Sightings};
use frameline_tests::stack::supervisor;
use rustix::process::{Pid, Signal, kill_process, setsid};

const USAGE: &str = "\
usage: stack COMMAND [--folder DIR]

  up                starts the services of compose/ as processes of this machine, and leaves them running
  status [--json]   asks each of them; exit status 1 when one is not well
  scale STAGE=N …   from now on so many processes of these stages
  down              stops them: the stages drain, then the servers go, with all that they have stored

  --folder          where the stack tells of itself [default: ~/.local/state/frameline/stack]";

/// How long everything may take to be ready.
const UP_TIMEOUT: Duration = Duration::from_secs(300);
/// How long everything may take to be gone; servers that start get ready first.
const DOWN_TIMEOUT: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = match take_folder(&mut arguments) {
        Ok(folder) => folder,
        Err(error) => return usage(&format!("{error:#}\n\n{USAGE}")),
    };
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["up"] => up(&folder),
        ["status"] => status(&folder, false),
        ["status", "--json"] => status(&folder, true),
        ["scale", wanted @ ..] if !wanted.is_empty() => scale(&folder, wanted),
        ["down"] => down(&folder),
        ["supervise"] => program().and_then(|program| supervisor::run(&folder, program)).map(|()| true),
        _ => return usage(USAGE),
    };
    match done {
        Ok(is_well) => ExitCode::from(u8::from(!is_well)),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(2)
}

fn take_folder(arguments: &mut Vec<String>) -> Result<Folder> {
    let Some(place) = arguments.iter().position(|argument| argument == "--folder") else { return Folder::find(None) };
    ensure!(place + 1 < arguments.len(), "--folder wants a value");
    let named: Vec<String> = arguments.drain(place..place + 2).collect();
    Folder::find(Some(Path::new(&named[1])))
}

fn up(folder: &Folder) -> Result<bool> {
    // Before anything is made.
    let program = program()?;
    if !folder.is_held() {
        folder.make()?;
        let mut supervisor = start_supervisor(folder, &program)?;
        wait_until_ready(folder, &mut supervisor)?;
    }
    let is_well = status(folder, false)?;
    let environment = folder.environment();
    println!("\nto bring files in, and to find them:");
    println!("  . {}", environment.display());
    println!("  {} add ~/designs --wait", program.display());
    println!("  {} search 'what you look for'", program.display());
    println!("to stop everything: cargo xtask stack down");
    Ok(is_well)
}

/// Starts it as a process that stays when this one and its terminal are gone.
fn start_supervisor(folder: &Folder, program: &Path) -> Result<Child> {
    let said = File::create(folder.log("supervisor"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["supervise", "--folder"]).arg(folder.path()).current_dir("/");
    command.env("FRAMELINE_BIN", program).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    // SAFETY: one system call, which allocates nothing and takes no lock.
    unsafe { command.pre_exec(|| Ok(setsid().map(drop)?)) };
    command.spawn().context("the supervisor cannot be started")
}

fn wait_until_ready(folder: &Folder, supervisor: &mut Child) -> Result<()> {
    let deadline = Instant::now() + UP_TIMEOUT;
    let mut sightings = Sightings::default();
    loop {
        let report = folder.state().map(|state| Report::of(&state));
        if report.as_ref().is_some_and(|report| report.ok) {
            return Ok(());
        }
        if let Some(status) = supervisor.try_wait()? {
            bail!("the stack did not come up ({status}): {}", fs::read_to_string(folder.log("supervisor"))?);
        }
        if let Some(part) = report.as_ref().and_then(|report| sightings.falling(report)) {
            bail!(
                "{} has ended {} times and was never ready; the rest is left as it is, and `cargo xtask stack down` \
                 stops it; the end of {}:\n{}",
                part.name,
                part.ends(),
                folder.log(&part.name).display(),
                folder.last_lines(&part.name)
            );
        }
        if Instant::now() > deadline {
            let so_far = report.map_or_else(|| "nothing was started".to_owned(), |report| report.to_string());
            bail!(
                "the stack does not get ready, and is left as it is; log lines are in {}:\n{so_far}",
                folder.path().display()
            );
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn status(folder: &Folder, json: bool) -> Result<bool> {
    let state = folder.state().filter(|_| folder.is_held());
    let Some(state) = state else { bail!("the stack is down; `cargo xtask stack up` starts it") };
    let report = Report::of(&state);
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
        println!("log lines are in {}", folder.path().display());
    }
    Ok(report.ok)
}

/// Says how many processes are wanted; the supervisor sees to it.
fn scale(folder: &Folder, words: &[&str]) -> Result<bool> {
    ensure!(folder.is_held(), "the stack is down; `cargo xtask stack up` starts it");
    let compose = Compose::read()?;
    let stages: Vec<&str> = compose.stages().map(|service| service.name.as_str()).collect();
    let mut wanted: BTreeMap<String, usize> = folder.wanted();
    for word in words {
        let parsed = word.split_once('=').and_then(|(stage, number)| Some((stage, number.parse().ok()?)));
        let (stage, number) = parsed.with_context(|| format!("`{word}` is not STAGE=N"))?;
        ensure!(stages.contains(&stage), "there is no stage {stage}; there are {}", stages.join(", "));
        wanted.insert(stage.to_owned(), number);
    }
    folder.want(&wanted)?;
    Ok(true)
}

fn down(folder: &Folder) -> Result<bool> {
    let supervisor = folder.state().map(|state| state.supervisor).filter(|_| folder.is_held());
    let Some(supervisor) = supervisor else {
        println!("the stack is down");
        return Ok(true);
    };
    let pid = i32::try_from(supervisor).ok().and_then(Pid::from_raw).context("a process has a positive id")?;
    kill_process(pid, Signal::TERM).context("the supervisor cannot be told to stop")?;
    let deadline = Instant::now() + DOWN_TIMEOUT;
    while folder.is_held() {
        ensure!(Instant::now() < deadline, "the supervisor, process {supervisor}, does not end");
        std::thread::sleep(LOOK_AGAIN);
    }
    println!("the stack is down; its log lines are in {}", folder.path().display());
    Ok(true)
}

/// The product: `$FRAMELINE_BIN`, else what lies beside this program.
fn program() -> Result<PathBuf> {
    let program = match std::env::var_os("FRAMELINE_BIN") {
        Some(named) => std::path::absolute(named)?,
        None => std::env::current_exe()?.with_file_name("frameline"),
    };
    ensure!(program.is_file(), "{} is missing; build it: cargo build --release -p frameline", program.display());
    Ok(program)
}

//! Errors as a person reads them: what is wrong, what caused it, and what to do next.

use std::fmt;
use std::io;
use std::process::ExitCode;

use serde::Serialize;

use crate::output;

/// Exit status of what was not done.
const FAILED: u8 = 1;
/// Exit status after Ctrl-C, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Something that cannot be done, with the advice that goes with it.
#[derive(Debug)]
pub(crate) struct Refusal {
    message: String,
    help: String,
    source: Option<anyhow::Error>,
}

impl Refusal {
    /// `message` says what is wrong, `help` what to do next.
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into(), source: None }
    }

    /// What to do next.
    #[cfg(test)]
    pub(crate) fn help(&self) -> &str {
        &self.help
    }

    /// The same, caused by `source`.
    pub(crate) fn because(self, source: impl Into<anyhow::Error>) -> Self {
        Self { source: Some(source.into()), ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The command was stopped by Ctrl-C; what it says is not an error.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) String);

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// The command did what it could and has said what failed: exit status 1, and no more words.
#[derive(Debug)]
pub(crate) struct Told;

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("some of it failed")
    }
}

impl std::error::Error for Told {}

/// The exit status of a command line that makes no sense, as `clap` has it.
const USAGE: u8 = 2;

/// An error as programs read it.
#[derive(Debug, Serialize)]
struct Report {
    error: Words,
    status: u8,
}

#[derive(Debug, Serialize)]
struct Words {
    message: String,
    causes: Vec<String>,
    help: Option<String>,
}

impl Report {
    fn of(error: &anyhow::Error, status: u8) -> Self {
        Self { error: Words { message: error.to_string(), causes: causes(error), help: help(error) }, status }
    }

    /// Of what `clap` says: a first line, and what may help below it.
    fn of_usage(told: &str) -> Self {
        let (message, rest) = told.split_once('\n').unwrap_or((told, ""));
        let lines = rest.lines().map(str::trim).filter(|line| !line.is_empty());
        let help = lines.collect::<Vec<_>>().join("; ");
        let message = message.trim_start_matches("error: ").to_owned();
        Self { error: Words { message, causes: Vec::new(), help: (!help.is_empty()).then_some(help) }, status: USAGE }
    }

    fn tell(&self) {
        output::note(serde_json::to_string(self).unwrap_or_default());
    }
}

/// Tells what is wrong with a command line, or the help that was asked for.
pub(crate) fn exit_usage(error: &clap::Error) -> ExitCode {
    let is_json = std::env::args_os().any(|argument| argument == "--json");
    if error.exit_code() == i32::from(USAGE) && is_json {
        Report::of_usage(&error.render().to_string()).tell();
    } else {
        // Whoever does not read it has read enough.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
}

/// Tells how a command ended, to a person or as JSON to a program, and turns that into the exit status.
pub(crate) fn exit(result: anyhow::Result<()>, is_json: bool) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if is_closed_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    let interrupted = error.downcast_ref::<Interrupted>();
    let status = if interrupted.is_some() { INTERRUPTED } else { FAILED };
    match interrupted {
        _ if error.is::<Told>() => {}
        _ if is_json => Report::of(&error, status).tell(),
        Some(Interrupted(words)) => output::note(words),
        None => output::note(text(&error)),
    }
    ExitCode::from(status)
}

/// Whoever read our output has read enough, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

fn text(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    for cause in causes(error) {
        text.push_str("\n  caused by: ");
        text.push_str(&cause);
    }
    if let Some(help) = help(error) {
        text.push_str("\n  help: ");
        text.push_str(&help);
    }
    text
}

/// What it came from, each told once.
fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut told = error.to_string();
    let mut causes = Vec::new();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Libraries often repeat their cause in their own text.
        if !told.contains(&cause) {
            causes.push(cause.clone());
        }
        told = cause;
    }
    causes
}

fn help(error: &anyhow::Error) -> Option<String> {
    let given = error.chain().find_map(|cause| cause.downcast_ref::<Refusal>());
    given.map(|refusal| refusal.help.clone()).or_else(|| known(&format!("{error:#}")).map(str::to_owned))
}

/// Advice for troubles that come from below in words of their own.
fn known(text: &str) -> Option<&'static str> {
    const KNOWN: [(&[&str], &str); 4] = [
        (
            &["No space left on device", "database or disk is full", "disk is full"],
            "free some space on that disk and run the same again; what was committed is safe",
        ),
        (
            &["file is not a database", "disk image is malformed"],
            "the data directory is damaged: put its backup back, or move it away and add the files again",
        ),
        (&["Permission denied", "readonly database"], "check who owns the data directory, or name another with --data"),
        (&["Too many open files"], "raise the limit of open files: ulimit -n 4096"),
    ];
    KNOWN.iter().find(|(words, _)| words.iter().any(|word| text.contains(word))).map(|(_, help)| *help)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_tells_its_causes_once_and_ends_with_the_help() {
        let cause = io::Error::new(io::ErrorKind::AddrInUse, "address in use");
        let refusal = Refusal::new("port 8470 is taken", "choose another").because(cause);
        let error = Err::<(), _>(refusal).context("starting").unwrap_err();
        let expected = "error: starting\n  caused by: port 8470 is taken\n  caused by: address in use\n  \
                        help: choose another";
        assert_eq!(text(&error), expected);
    }

    #[test]
    fn a_full_disk_is_told_with_advice_however_deep_it_lies() {
        let error = anyhow::anyhow!("error returned from database: (code: 13) database or disk is full")
            .context("cannot write the job")
            .context("add");
        assert!(text(&error).contains("help: free some space"), "{}", text(&error));
    }

    #[test]
    fn the_shape_of_an_error_is_kept() {
        let cause = io::Error::new(io::ErrorKind::AddrInUse, "address in use");
        let refusal = Refusal::new("port 8470 is taken", "choose another with --listen").because(cause);
        let usage = "error: unexpected argument '--wiat' found\n\n  tip: a similar argument exists: '--wait'\n";
        let reports = [Report::of(&refusal.into(), FAILED), Report::of_usage(usage)];
        let reports = reports.map(|report| serde_json::to_value(report).unwrap());
        assert_eq!(reports.as_slice(), output::documented("Errors"));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing");
        assert!(is_closed_pipe(&closed));
        assert!(!is_closed_pipe(&anyhow::anyhow!("broken pipe")));
    }
}

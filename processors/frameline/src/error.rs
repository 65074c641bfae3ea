//! Errors as a person reads them: what is wrong, what caused it, and what to do next.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::output;

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

/// Tells how a command ended, and turns that into the exit status.
pub(crate) fn exit(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if is_closed_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        output::note(&interrupted.0);
        return ExitCode::from(INTERRUPTED);
    }
    if !error.is::<Told>() {
        output::note(text(&error));
    }
    ExitCode::FAILURE
}

/// Whoever read our output has read enough, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

fn text(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    let mut told = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Libraries often repeat their cause in their own text.
        if !told.contains(&cause) {
            text.push_str("\n  caused by: ");
            text.push_str(&cause);
        }
        told = cause;
    }
    if let Some(help) = help(error) {
        text.push_str("\n  help: ");
        text.push_str(&help);
    }
    text
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
    fn a_closed_pipe_is_no_failure() {
        let closed = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing");
        assert!(is_closed_pipe(&closed));
        assert!(!is_closed_pipe(&anyhow::anyhow!("broken pipe")));
    }
}

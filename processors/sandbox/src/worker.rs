//! The worker's side: one file after the other, until the pipe closes.

use std::io::{self, BufWriter};
use std::process::ExitCode;
use std::thread;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::Limits;
use crate::{lockdown, wire};

/// What `panic!` makes of a process.
const PANICKED: i32 = 101;

/// What a worker says once it is locked down: from then on, what goes wrong is the file's fault.
const READY: &str = "ready";

/// Serves a pool on standard input and output, for ever: the whole of a worker's `main`.
///
/// `load` prepares the handler while files can still be opened (fonts, models). The handler turns a question
/// and the file's bytes into an answer and bytes.
pub fn serve<Q, A, H>(load: impl FnOnce() -> anyhow::Result<H> + Send + 'static) -> ExitCode
where
    Q: DeserializeOwned,
    A: Serialize,
    H: FnMut(Q, &[u8]) -> (A, Vec<u8>) + 'static,
{
    match start(load) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start<Q, A, H>(load: impl FnOnce() -> anyhow::Result<H> + Send + 'static) -> anyhow::Result<()>
where
    Q: DeserializeOwned,
    A: Serialize,
    H: FnMut(Q, &[u8]) -> (A, Vec<u8>) + 'static,
{
    lockdown::die_with_parent().context("the worker cannot be tied to its parent")?;
    let Some((limits, _)) = wire::read::<Limits>(&mut io::stdin().lock())? else {
        return Ok(());
    };
    let stack_bytes = limits.stack_bytes;
    let files = thread::Builder::new().name("worker".to_owned()).stack_size(stack_bytes).spawn(move || {
        let handler = load().context("the worker cannot load what it needs")?;
        lockdown::lock_down(&limits).context("the worker cannot lock itself down")?;
        answer_all(&limits, handler)
    })?;
    // The hook has told the panic already; the pool reads it from standard error.
    files.join().unwrap_or_else(|_| std::process::exit(PANICKED))
}

fn answer_all<Q, A, H>(limits: &Limits, mut handler: H) -> anyhow::Result<()>
where
    Q: DeserializeOwned,
    A: Serialize,
    H: FnMut(Q, &[u8]) -> (A, Vec<u8>),
{
    let mut input = io::stdin().lock();
    let mut output = BufWriter::new(io::stdout().lock());
    wire::write(&mut output, &READY, &[])?;
    while let Some((question, body)) = wire::read::<Q>(&mut input)? {
        lockdown::allow_cpu(limits.cpu)?;
        let (answer, bytes) = handler(question, &body);
        wire::write(&mut output, &answer, &bytes)?;
    }
    Ok(())
}

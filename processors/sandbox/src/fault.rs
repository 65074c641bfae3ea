//! Why a call brought no answer.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use frameline_runtime::Failure;
use rustix::process::Signal;
use thiserror::Error;

/// Why a call brought no answer.
#[derive(Debug, Error)]
pub enum Fault {
    /// The file took longer than its limit of time, by the clock or of the processor.
    #[error("it took longer than the limit of {} s", .limit.as_secs_f32())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The file needed more memory than a worker has.
    #[error("it needs more memory than the limit of {} MiB", .limit_bytes >> 20)]
    OutOfMemory {
        /// The limit.
        limit_bytes: u64,
    },
    /// A signal ended the worker.
    #[error("it crashed its worker with signal {signal}{}", told(.said))]
    Killed {
        /// The signal's number.
        signal: i32,
        /// The end of what the worker wrote to its standard error.
        said: String,
    },
    /// The worker ended by itself, as after a panic.
    #[error("it ended its worker with exit code {code}{}", told(.said))]
    Exited {
        /// The exit code.
        code: i32,
        /// The end of what the worker wrote to its standard error.
        said: String,
    },
    /// The worker answered something that is no answer, or a longer one than is taken.
    #[error("the worker's answer is refused: {0}")]
    Answer(String),
    /// No worker can be started: the machine's fault, not the file's.
    #[error("no worker can be started: {0}")]
    Spawn(#[source] io::Error),
}

impl Fault {
    /// One of few values, for counting.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Timeout { .. } => "timeout",
            Fault::OutOfMemory { .. } => "out_of_memory",
            Fault::Killed { .. } | Fault::Exited { .. } => "crashed",
            Fault::Answer(_) => "bad_answer",
            Fault::Spawn(_) => "no_worker",
        }
    }

    /// Whether a worker died of it, other than by using up its time.
    pub(crate) fn is_death(&self) -> bool {
        matches!(self, Fault::OutOfMemory { .. } | Fault::Killed { .. } | Fault::Exited { .. })
    }
}

/// A file that ends its worker does so every time.
impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Spawn(_) => Failure::unavailable(fault.code(), fault),
            _ => Failure::permanent(fault.code(), fault),
        }
    }
}

fn told(said: &str) -> String {
    let said = said.trim();
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// What Rust's allocator says before it aborts.
const ALLOCATION_FAILED: &str = "memory allocation of";

/// What a dead worker's status and last words say about the file.
pub(crate) fn of_death(status: ExitStatus, said: String, limits: &crate::Limits) -> Fault {
    if status.signal() == Some(Signal::XCPU.as_raw()) {
        return Fault::Timeout { limit: limits.cpu };
    }
    if said.contains(ALLOCATION_FAILED) {
        return Fault::OutOfMemory { limit_bytes: limits.address_space_bytes };
    }
    match status.signal() {
        Some(signal) => Fault::Killed { signal, said },
        None => Fault::Exited { code: status.code().unwrap_or(-1), said },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_dead_worker_names_what_the_file_did() {
        let limits = crate::Limits::default();
        let fault = |raw, said: &str| of_death(ExitStatus::from_raw(raw), said.to_owned(), &limits);
        assert!(matches!(fault(24, ""), Fault::Timeout { .. }));
        assert!(matches!(fault(6, "memory allocation of 99 bytes failed"), Fault::OutOfMemory { .. }));
        assert!(matches!(fault(11, ""), Fault::Killed { signal: 11, .. }));
        assert_eq!(fault(101 << 8, "panicked").to_string(), "it ended its worker with exit code 101: panicked");
    }
}

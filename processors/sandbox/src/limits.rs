//! What a worker may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one worker, and one file in it, may use. The pool tells a worker its limits before the first file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Virtual memory of the process, in bytes.
    pub address_space_bytes: u64,
    /// The stack that parsers run on, in bytes; part of the address space. Nested input recurses deeply.
    pub stack_bytes: usize,
    /// Processor time for one file.
    pub cpu: Duration,
    /// Time by the clock for one file, both tries together.
    pub wall: Duration,
    /// Open files, pipes among them.
    pub descriptors: u64,
    /// The longest answer that is taken from a worker, in bytes.
    pub answer_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            address_space_bytes: 1_536 << 20,
            stack_bytes: 256 << 20,
            cpu: Duration::from_secs(30),
            wall: Duration::from_secs(45),
            descriptors: 64,
            answer_bytes: 512 << 20,
        }
    }
}

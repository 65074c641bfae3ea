//! What a parser says of a file that it does not take.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a file is not taken, as a worker answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum Refusal {
    /// Nothing is in it.
    #[error("the file is empty")]
    Empty,
    /// A format that is known and not read.
    #[error("{0} files are not read yet")]
    Unsupported(String),
    /// Neither a known format nor text.
    #[error("it is neither of a known format nor text")]
    NotText,
    /// Not what its first bytes promise: cut off, or malformed.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// It exceeds a limit, or would when unpacked.
    #[error("the file is too large: {0}")]
    TooLarge(String),
    /// It refers to something outside itself, or to itself without end.
    #[error("the file is refused: {0}")]
    Unsafe(String),
}

impl Refusal {
    /// One of few values, for counting.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Empty => "empty",
            Refusal::Unsupported(_) => "unsupported",
            Refusal::NotText => "not_text",
            Refusal::Damaged(_) => "damaged",
            Refusal::TooLarge(_) => "too_large",
            Refusal::Unsafe(_) => "unsafe",
        }
    }
}

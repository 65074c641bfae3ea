//! Why a registry did not do what was asked.

use frameline_runtime::wire::WireError;
use thiserror::Error;

/// Why a registry did not do what was asked. None of the texts has a password in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// It cannot be reached, or not just now.
    #[error("the schema registry {url} is unavailable: {reason}")]
    Unavailable {
        /// Where it is.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It wants another name or password.
    #[error("the schema registry {url} refuses the login ({reason}): check schemas.username and the password")]
    Denied {
        /// Where it is.
        url: String,
        /// What it said.
        reason: String,
    },
    /// It will not do what was asked.
    #[error("the schema registry {url} refuses: {reason}")]
    Refused {
        /// Where it is.
        url: String,
        /// What it said.
        reason: String,
    },
    /// The settings make no sense.
    #[error("the schema registry cannot be used: {0}")]
    Settings(String),
}

/// For a stage all of them are the same: it cannot go on, and can once somebody has put it right.
impl From<RegistryError> for WireError {
    fn from(error: RegistryError) -> Self {
        WireError::Unavailable(error.to_string())
    }
}

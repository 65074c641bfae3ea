//! Why a vector index did not do what was asked, and what a stage makes of it.

use frameline_runtime::Failure;
use thiserror::Error;

/// Why the index did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VectorsError {
    /// It cannot be reached or written just now; try again.
    #[error("the vector index is unavailable: {0}")]
    Unavailable(String),
    /// It has more to do than it can; try again, with less at the same time.
    #[error("the vector index has too much to do: {0}")]
    Busy(String),
    /// It wants another key. Whoever has it may ask the same again.
    #[error("the vector index refuses us: {0}; check vectors.api_key_file, or vectors.api_key")]
    Denied(String),
    /// It is damaged, and goes on being so until somebody acts.
    #[error(
        "the vector index {path} is damaged ({reason}); put a backup of its whole folder back, or stop frameline, move \
         this one file away, and let `frameline vectors rebuild --execute` make it anew"
    )]
    Damaged {
        /// Where it lies.
        path: String,
        /// What was found.
        reason: String,
    },
    /// The vectors are by other models than those of the index: they cannot be compared.
    #[error("{0}; `frameline vectors rebuild` makes an index by the models of this program")]
    OtherModel(String),
    /// It will never be done as asked.
    #[error("{0}")]
    Refused(String),
}

impl From<VectorsError> for Failure {
    fn from(error: VectorsError) -> Self {
        match error {
            VectorsError::Refused(_) => Failure::permanent("refused", error),
            VectorsError::OtherModel(_) => Failure::permanent("other_model", error),
            VectorsError::Busy(_) => Failure::busy("vectors", error),
            VectorsError::Unavailable(_) | VectorsError::Denied(_) | VectorsError::Damaged { .. } => {
                Failure::unavailable("vectors", error)
            }
        }
    }
}

//! The stage `embed`: units in, their vectors out.
//!
//! [`TextModel`] and [`ImageModel`] are the bundled models on tract, which search uses as well: a query must be
//! embedded by what embedded the units. Both are loaded on first use, or all at once by `warm`. Running them
//! is plain work for a processor; the stage gives it to blocking threads, a bounded number at a time.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod arrange;
mod image_model;
mod plan;
mod stage;
mod text_model;

use frameline_models::ModelsError;
use thiserror::Error;

pub use image_model::ImageModel;
pub use stage::{Embed, EmbedSettings, READS};
pub use text_model::TextModel;

/// Why something has no vector.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EmbedError {
    /// A model is not what it should be.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// A model does not load or run.
    #[error("{model} does not run: {reason}")]
    Inference {
        /// The model.
        model: &'static str,
        /// What was found.
        reason: String,
    },
    /// The bytes are no picture that can be read.
    #[error("the picture cannot be read: {0}")]
    Picture(String),
}

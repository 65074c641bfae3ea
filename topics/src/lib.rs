#![cfg_attr(test, allow(clippy::unwrap_used))]
//! Every topic of the chain, as `topics.yaml` describes it.

mod catalogue;
mod diff;

pub use catalogue::{Catalogue, CatalogueError, Cleanup, Topic};
pub use diff::{Change, diff};

/// Files found, changed or deleted.
pub const FILES: &str = "files";
/// Frames with their scenes.
pub const FRAMES: &str = "frames";
/// Frames with their thumbnails.
pub const THUMBNAILS: &str = "thumbnails";
/// Frames that passed validation, and passages.
pub const UNITS: &str = "units";
/// Units with their vectors.
pub const EMBEDDINGS: &str = "embeddings";
/// What every stage did with every record.
pub const PROGRESS: &str = "progress";

/// What operators did.
pub const AUDIT: &str = "audit";

/// The dead-letter topic of a stage.
pub fn dead_letters(stage: &str) -> String {
    format!("{stage}.dlq")
}

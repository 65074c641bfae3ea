//! The stage `validate`: refuses thumbnails that would only be noise in a search, and measures the others.
//!
//! A frame is refused when it is tiny, blank without words, or nearly the same as an earlier frame of its file.
//! The rules and measures are pure functions; what a frame is compared with is kept by `kept`, which gives the
//! same answer after a crash.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod kept;
mod measures;
mod rules;
mod settings;
mod stage;

pub use settings::ValidateSettings;
pub use stage::{READS, Validate};

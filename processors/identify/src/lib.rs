//! The stage `identify`: opens a file in a sandboxed worker and names what is in it.
//!
//! ```text
//!   bytes ─► sniff ─┬─► svg ─────────────────────► frames, a scene each
//!                   ├─► raster ──────────────────► one frame; the file is its scene
//!                   └─► markdown ─► html ─┐
//!                             plain text ─┴──────► sections ─► passages
//! ```
//!
//! The kind of a file follows from its bytes alone; its name only tells apart texts of different markup. No
//! later stage opens the file again: a frame's scene is a blob of its own. The manifest comes last.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod contents;
mod document;
mod encoding;
mod names;
mod picture;
mod settings;
mod sniff;
mod stage;
mod svg;
mod worker;

pub use settings::IdentifySettings;
pub use stage::{Identify, READS};
pub use worker::worker;

//! The stage `render`: one thumbnail for every frame, drawn in a sandboxed worker from the frame's scene alone.
//!
//! A thumbnail is named after its scene, the renderer and the size, and written once: what was drawn before is
//! not drawn again. It is an opaque PNG, on a white ground, or on a dark one where white would hide it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ground;
mod picture;
mod scene;
mod settings;
mod stage;
mod worker;

pub use settings::RenderSettings;
pub use stage::{READS, Render};
pub use worker::worker;

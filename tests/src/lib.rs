//! What the whole-system tests and the benchmarks share.

#![allow(clippy::unwrap_used)]

pub mod kafka;

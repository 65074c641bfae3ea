//! The runtime of all stages: one driver over the log port, so that a stage is a function and nothing else.
//!
//! ```text
//!              events                    records                      batches
//!   log ────────────────► driver ─► window (per partition) ─► lanes (per key) ─► stage
//!    ▲                      ▲                                                     │
//!    └── one commit: outputs, dead letters, progress, positions ◄── outbox ◄──────┘ outcomes
//! ```
//!
//! The rules that are hard to get right are plain values without I/O, clock or thread: [`window`], [`lanes`],
//! [`batch`], [`retry`], [`limiter`], [`breaker`]. [`driver`] holds them and turns events into actions;
//! [`log`] has the port and its two adapters. The runtime knows no stage.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod batch;
pub mod breach;
pub mod breaker;
pub mod dead_letter;
pub mod driver;
pub mod gate;
pub mod headers;
pub mod lanes;
pub mod limiter;
pub mod log;
pub mod metric;
pub mod moment;
pub mod rate;
pub mod record;
pub mod replay;
pub mod retry;
pub mod rewind;
pub mod secret;
pub mod seldom;
pub mod settings;
pub mod stage;
mod subject;
pub mod trace;
pub mod window;
pub mod wire;

pub use record::{Headers, Output, Position, Record, TopicPartition};
pub use settings::StageSettings;
pub use stage::{Class, Decoded, Failure, Input, Outcome, Raw, Reason, Stage, Subject};

//! File parsers run in child processes of the same program, so that a hostile file can only end its worker.
//!
//! ```text
//!   stage ─► Pool ─► Slot::call(question, body) ──stdin──► worker: serve(load) ─► handler
//!                         ▲                                       │
//!                         └────────── answer, body ◄──stdout──────┘
//! ```
//!
//! A worker gives up everything before the first file: new privileges, more than its share of memory and CPU
//! time, and by seccomp every system call that reaches outside (files, sockets, processes). It is killed when
//! a file takes too long, and dies with its parent. [`Pool`] replaces dead workers, and those that have grown
//! large or old; what killed two workers is given up as a [`Fault`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod fault;
mod limits;
mod lockdown;
mod pool;
pub mod raster;
mod refusal;
mod wire;
mod worker;

pub use fault::Fault;
pub use limits::Limits;
pub use pool::{Pool, PoolSettings, Slot};
pub use refusal::Refusal;
pub use worker::serve;

//! What the stages keep outside the log: blobs, jobs and vectors, each a port with its adapters.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod blobs;
pub mod jobs;
pub mod vectors;

#[cfg(test)]
mod small_disk;

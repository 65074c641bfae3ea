//! The whole-system tests, one binary: the contract of the log's adapters, the driver's promises on both logs,
//! the chain from a file to a hit, and the command line as its users have it.

#![allow(clippy::unwrap_used)]

mod blobs;
mod chain;
mod chaos;
mod cli;
mod contract;
mod disk;
mod driver;
mod helm;
mod jobs;
mod kubernetes;
mod operate;
mod process;
mod registry;
mod security;
mod stack;
mod telemetry;
mod vectors;
mod watch;

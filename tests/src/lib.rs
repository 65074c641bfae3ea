//! What the whole-system tests and the benchmarks share.

#![allow(clippy::unwrap_used)]

pub mod apicurio;
pub mod buildah;
pub mod commands;
pub mod content;
pub mod control_plane;
pub mod debian;
pub mod disk;
pub mod expected;
pub mod golang;
pub mod helm;
pub mod http;
pub mod kafka;
pub mod keda;
pub mod kubernetes;
pub mod node;
pub mod pods;
pub mod points;
pub mod postgres;
pub mod processes;
pub mod product;
pub mod prometheus;
pub mod promql;
pub mod proxy;
pub mod python;
pub mod qdrant;
pub mod release;
pub mod s3;
pub mod secured;
pub mod server;
pub mod stack;
pub mod tls;
pub mod tls_front;

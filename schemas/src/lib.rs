#![cfg_attr(test, allow(clippy::unwrap_used))]
//! The records that travel between the stages, and the one codec that writes and reads them.
//!
//! The truth is the `.avsc` file of a record, in the folder above; the Rust types here match it, and a test
//! holds them to it. Every released version of a schema stays in `released/`, under the id that its
//! records carry on the wire (Confluent's format: a zero byte, the id as four bytes big-endian, the Avro
//! body). Where a schema registry is configured, it gets these files, and the ids are the ones that it gave.

mod codec;
mod ids;
mod records;
mod releases;
mod standing;
mod wire;

pub use codec::{DecodeError, EncodeError, Message, Record, Unaddressed, UnitOrEnd, decode, encode, schema_id};
pub use ids::{file_id, job_id, unit_id};
pub use records::*;
pub use releases::{RELEASES, Release, current, incompatibility};
pub use standing::{Found, Other, Registered, Standing, State};
pub use wire::SchemaIds;

#[cfg(test)]
mod tests;

//! Single records come in, runs of records of one partition go out.
//!
//! Keys and values are copied once, into a shared arena that many records slice into, so a record costs no
//! allocation of its own. An arena lives as long as one of its records; it is small, so that a record which is
//! kept for long does not keep much else.

use bytes::{Bytes, BytesMut};

use super::events::Message;
use crate::record::{Record, TopicPartition};

/// A run is handed on at this many records.
const RUN_RECORDS: usize = 512;
/// A run is handed on at this many bytes.
const RUN_BYTES: usize = 512 << 10;
/// What records are copied into.
const ARENA_BYTES: usize = 64 << 10;
/// A larger key or value is copied into a place of its own.
const LARGE_BYTES: usize = ARENA_BYTES / 4;

/// Collects a run.
#[derive(Default)]
pub(super) struct Collector {
    arena: BytesMut,
    run: Option<Run>,
}

/// Records of one partition, in their order.
pub(super) struct Run {
    topic_handle: usize,
    pub(super) partition: TopicPartition,
    pub(super) records: Vec<Record>,
    size_bytes: usize,
}

impl Collector {
    /// Whether the message goes on with the run: same partition, and room for it.
    pub(super) fn goes_on_with(&self, message: &Message<'_>) -> bool {
        self.run.as_ref().is_some_and(|run| {
            run.topic_handle == message.topic_handle()
                && run.partition.partition == message.partition()
                && run.records.len() < RUN_RECORDS
                && run.size_bytes < RUN_BYTES
        })
    }

    /// Begins a run with the message, of this partition. Any earlier run was taken.
    pub(super) fn begin(&mut self, partition: TopicPartition, message: &Message<'_>) {
        debug_assert!(self.run.is_none());
        let topic_handle = message.topic_handle();
        self.run = Some(Run { topic_handle, partition, records: Vec::new(), size_bytes: 0 });
        self.push(message);
    }

    /// Adds the message to the run.
    pub(super) fn push(&mut self, message: &Message<'_>) {
        let Some(run) = &mut self.run else { return };
        let record = copied(&mut self.arena, message);
        run.size_bytes += record.size_bytes();
        run.records.push(record);
    }

    /// The run, if there is one.
    pub(super) fn take(&mut self) -> Option<Run> {
        self.run.take()
    }
}

/// A record of its own, with key and value in the arena.
pub(super) fn copied(arena: &mut BytesMut, message: &Message<'_>) -> Record {
    Record {
        offset: message.offset(),
        timestamp_ms: message.timestamp_ms(),
        key: message.key().map(|key| kept(arena, key)),
        value: message.value().map(|value| kept(arena, value)),
        headers: message.headers(),
    }
}

fn kept(arena: &mut BytesMut, bytes: &[u8]) -> Bytes {
    if bytes.len() > LARGE_BYTES {
        return Bytes::copy_from_slice(bytes);
    }
    if arena.capacity() - arena.len() < bytes.len() {
        *arena = BytesMut::with_capacity(ARENA_BYTES);
    }
    arena.extend_from_slice(bytes);
    arena.split().freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_share_an_arena_and_large_ones_have_their_own_place() {
        let mut arena = BytesMut::new();
        let first = kept(&mut arena, b"first");
        let second = kept(&mut arena, b"second");
        let large = kept(&mut arena, &vec![7; LARGE_BYTES + 1]);
        let third = kept(&mut arena, b"third");
        assert_eq!(first.as_ptr().addr() + 5, second.as_ptr().addr());
        assert_eq!(second.as_ptr().addr() + 6, third.as_ptr().addr());
        assert_eq!((&first[..], &second[..], &third[..]), (&b"first"[..], &b"second"[..], &b"third"[..]));
        assert!(large.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn what_was_kept_stays_when_the_arena_is_full() {
        let mut arena = BytesMut::new();
        let all: Vec<(u8, Bytes)> =
            (0..100_u8).map(|n| (n, kept(&mut arena, &vec![n; 1_000 + usize::from(n)]))).collect();
        for (n, bytes) in all {
            assert_eq!(bytes.len(), 1_000 + usize::from(n));
            assert!(bytes.iter().all(|byte| *byte == n));
        }
    }
}

//! What an operator asks of the brokers, and does to a group that nobody is in. All of it blocks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::util::get_rdkafka_version;
use rdkafka::{Offset, TopicPartitionList};

use super::admin::{Admin, READER, TIMEOUT};
use super::context::Consumer;
use super::events::{Content, Queue};
use super::faults::{Meaning, log_error, meaning_of};
use super::groups;
use super::positions::{committed, edges, first_since};
use super::token::Connect;
use crate::log::LogError;
use crate::log::operate::{GroupMember, Held, Move, ResetError, moved};
use crate::record::TopicPartition;

/// Enough for the first record of each partition; the broker gives a whole batch where that is larger.
const FIRST_RECORD_BYTES: &str = "4096";
/// What a reader sees: what is committed, or all that is written.
const COMMITTED: &str = "read_committed";
const UNCOMMITTED: &str = "read_uncommitted";

impl Admin {
    /// Who is in the group.
    pub(super) fn members(&self, group: &str) -> Result<Vec<GroupMember>, LogError> {
        groups::members(self.watcher()?, group, TIMEOUT)
    }

    /// The first offset in each partition of that time or later.
    pub(super) fn offsets_at(&self, partitions: &[TopicPartition], time_ms: i64) -> Result<Vec<i64>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let watcher = self.watcher()?;
        let found = first_since(watcher, partitions, time_ms, TIMEOUT).map_err(|error| log_error(&error))?;
        let ends = edges(watcher, partitions, Offset::End, TIMEOUT).map_err(|error| log_error(&error))?;
        Ok(found.into_iter().zip(ends).map(|(found, end)| found.unwrap_or(end)).collect())
    }

    /// When the first record at or above each place was written.
    pub(super) fn written_at(&self, places: &[(TopicPartition, i64)]) -> Result<Vec<Option<i64>>, LogError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        self.first_times(places, COMMITTED).map_err(|error| log_error(&error))
    }

    /// The partitions whose last stable offset stays behind their high watermark.
    pub(super) fn held(&self, topics: &[String]) -> Result<Vec<Held>, LogError> {
        let partitions = self.partitions_of(topics)?;
        let end = |of| edges(of, &partitions, Offset::End, TIMEOUT).map_err(|error| log_error(&error));
        // The last stable offset is asked for first: it never passes the other.
        let (stable, high) = (end(self.reader()?.as_ref())?, end(self.watcher()?.as_ref())?);
        let ends = partitions.into_iter().zip(stable.into_iter().zip(high));
        let held: Vec<_> = ends.filter(|(_, (stable, high))| stable < high).collect();
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<(TopicPartition, i64)> =
            held.iter().map(|(partition, (stable, _))| (partition.clone(), *stable)).collect();
        let since = self.first_times(&places, UNCOMMITTED).map_err(|error| log_error(&error))?;
        let of = |((partition, (stable, high)), since_ms)| Held { partition, stable, high, since_ms };
        Ok(held.into_iter().zip(since).map(of).collect())
    }

    /// When the first record at or above each place was written, of those that a reader of this isolation sees.
    fn first_times(&self, places: &[(TopicPartition, i64)], isolation: &str) -> Result<Vec<Option<i64>>, KafkaError> {
        let mut config = self.settings.consumer(READER, "reader");
        config.set("fetch.message.max.bytes", FIRST_RECORD_BYTES).set("isolation.level", isolation);
        let consumer: Arc<Consumer> = Arc::new(config.connect()?);
        let Some(queue) = Queue::of_group(&consumer) else { return Err(KafkaError::Canceled) };
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (partition, offset) in places {
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))?;
        }
        consumer.assign(&list)?;
        let mut times = BTreeMap::new();
        let deadline = Instant::now() + TIMEOUT;
        while times.len() < places.len() {
            let Some(mut event) = queue.poll(deadline.saturating_duration_since(Instant::now())) else {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            };
            match event.content() {
                Content::Message(message) => {
                    let partition = TopicPartition::new(message.topic().as_ref(), message.partition());
                    times.entry(partition).or_insert(Some(message.timestamp_ms()));
                }
                Content::EndOfPartition { partition, .. } => {
                    times.entry(partition).or_insert(None);
                }
                Content::Error { code, fatal: true, .. } => return Err(KafkaError::MessageConsumption(code)),
                _ => {}
            }
        }
        Ok(places.iter().map(|(partition, _)| times.get(partition).copied().flatten()).collect())
    }

    /// Moves the positions of a group without members. The broker takes a commit without a generation from
    /// nobody while the group has members, so looking at them first only serves to name them.
    pub(super) fn reset(&self, group: &str, moves: &[Move]) -> Result<(), ResetError> {
        self.refuse_members(group)?;
        if moves.is_empty() {
            return Ok(());
        }
        // A consumer that never subscribes is no member, and has no generation. It is a new one each time: what it
        // committed last it would not commit again (librdkafka#1372).
        let consumer: Consumer =
            self.settings.consumer(group, "operator").connect().map_err(|error| log_error(&error))?;
        let partitions: Vec<TopicPartition> = moves.iter().map(|step| step.partition.clone()).collect();
        let read = || committed(&consumer, &partitions, TIMEOUT).map_err(|error| log_error(&error));
        let found: Vec<Option<i64>> = read()?.into_iter().map(|place| place.map(|(offset, _)| offset)).collect();
        if let Some(stale) = moved(moves, &found) {
            return Err(stale);
        }
        if let Err(error) = put(&consumer, moves) {
            if error.rdkafka_error_code().map(meaning_of) == Some(Meaning::Revoked) {
                return Err(ResetError::HasMembers { group: group.to_owned(), members: self.members(group)? });
            }
            // The broker may have taken it all the same: what it reads now tells.
            tracing::warn!(%error, group, "moving the group");
        }
        let places = read().map_err(ResetError::Unread)?;
        for (step, place) in moves.iter().zip(places) {
            if place != Some((step.to, String::new())) {
                let found = place.map(|(offset, _)| offset);
                return Err(ResetError::Unconfirmed { partition: step.partition.clone(), put: step.to, found });
            }
        }
        Ok(())
    }

    fn refuse_members(&self, group: &str) -> Result<(), ResetError> {
        let members = self.members(group)?;
        if members.is_empty() { Ok(()) } else { Err(ResetError::HasMembers { group: group.to_owned(), members }) }
    }

    /// What the brokers are.
    pub(super) fn about(&self) -> Result<String, LogError> {
        let client = self.client.inner();
        let metadata = client.fetch_metadata(None, TIMEOUT).map_err(|error| log_error(&error))?;
        let brokers: Vec<String> =
            metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect();
        let (_, library) = get_rdkafka_version();
        // A broker does not say its version; which cluster it is of came with the metadata.
        let cluster = client.fetch_cluster_id(TIMEOUT).map_or_else(String::new, |id| format!(" of the cluster {id}"));
        let (number, noun) = (brokers.len(), if brokers.len() == 1 { "broker" } else { "brokers" });
        Ok(format!("Apache Kafka at {}: {number} {noun}{cluster}, librdkafka {library}", brokers.join(", ")))
    }
}

fn put(consumer: &Consumer, moves: &[Move]) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(moves.len());
    for Move { partition, to, .. } in moves {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*to))?;
    }
    consumer.commit(&list, CommitMode::Sync)
}

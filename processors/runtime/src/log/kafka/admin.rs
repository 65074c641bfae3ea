//! What needs no membership: topics, lag, and reading without a group. All of it blocks, but for the creation.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rdkafka::admin::{AdminClient, AdminOptions, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::chunks::copied;
use super::context::{Consumer, Context};
use super::events::{Content, Queue};
use super::faults::log_error;
use super::groups;
use super::positions::{ask, edges};
use super::settings::KafkaSettings;
use super::token::{self, Connect};
use crate::log::scan::Span;
use crate::log::{LogError, NewTopic, PartitionLag, TopicState};
use crate::record::{Record, TopicPartition};

/// How long a question to the brokers may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// How long what was just committed may take to be seen.
const SETTLED_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a new topic may take to be seen.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks for one of these.
const VISIBLE_INTERVAL: Duration = Duration::from_millis(20);
/// The group of a reader, which is never joined and never committed to.
pub(super) const READER: &str = "frameline-reader";

/// The client for topics and watermarks.
pub(super) struct Admin {
    pub(super) client: AdminClient<Context>,
    pub(super) settings: KafkaSettings,
    /// Sees the partitions' ends as others measure them, the uncommitted included; made when it is first needed.
    watcher: OnceLock<Arc<Consumer>>,
    /// Sees them as readers of committed records do: the last stable offset. Made when it is first needed.
    reader: OnceLock<Arc<Consumer>>,
}

impl Admin {
    pub(super) fn new(settings: KafkaSettings) -> Result<Self, LogError> {
        let client = settings.admin().create_with_context(Context::default()).map_err(|error| log_error(&error))?;
        Ok(Self { client, settings, watcher: OnceLock::new(), reader: OnceLock::new() })
    }

    /// A consumer that never subscribes and is no member, to ask questions with.
    pub(super) fn watcher(&self) -> Result<&Arc<Consumer>, LogError> {
        self.once(&self.watcher, "watcher", "read_uncommitted")
    }

    /// The same, to whom the end is the last stable offset.
    pub(super) fn reader(&self) -> Result<&Arc<Consumer>, LogError> {
        self.once(&self.reader, "reader", "read_committed")
    }

    fn once<'a>(
        &self,
        place: &'a OnceLock<Arc<Consumer>>,
        name: &str,
        isolation: &str,
    ) -> Result<&'a Arc<Consumer>, LogError> {
        if let Some(consumer) = place.get() {
            return Ok(consumer);
        }
        let mut config = self.settings.consumer(READER, name);
        config.set("isolation.level", isolation);
        let consumer: Consumer = config.connect().map_err(|error| log_error(&error))?;
        Ok(place.get_or_init(|| Arc::new(consumer)))
    }

    /// Gives those clients that live long the token that is in its file now: nobody polls their queues, where they
    /// would ask.
    pub(super) fn log_in(&self) {
        if let Some(file) = self.settings.security.token_file() {
            token::give(self.client.inner().native_ptr(), Some(&file.to_string_lossy()));
            for consumer in [&self.watcher, &self.reader].into_iter().filter_map(OnceLock::get) {
                token::give(consumer.client().native_ptr(), Some(&file.to_string_lossy()));
            }
        }
    }

    /// The topics that exist, but for Kafka's own.
    pub(super) fn topics(&self) -> Result<Vec<TopicState>, LogError> {
        let metadata = self.client.inner().fetch_metadata(None, TIMEOUT).map_err(|error| log_error(&error))?;
        let of_users = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        let state = |topic: &rdkafka::metadata::MetadataTopic| TopicState {
            name: topic.name().to_owned(),
            partitions: count(topic),
        };
        Ok(of_users.map(state).collect())
    }

    /// How many partitions the topic has.
    pub(super) fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        let metadata = self.client.inner().fetch_metadata(Some(topic), TIMEOUT).map_err(|error| log_error(&error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic).map_or(0, count);
        if found == 0 {
            return Err(LogError::UnknownTopic(topic.to_owned()));
        }
        Ok(found)
    }

    /// Creates the topic, unless it is there already with as many partitions.
    pub(super) async fn create(&self, topic: &NewTopic) -> Result<(), LogError> {
        self.log_in();
        let retention_ms = topic.retention.map_or_else(|| "-1".to_owned(), |kept| kept.as_millis().to_string());
        let largest = topic.largest_message_bytes.to_string();
        let cleanup = if topic.compacted { "compact" } else { "delete" };
        let new =
            rdkafka::admin::NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(topic.replication))
                .set("retention.ms", &retention_ms)
                .set("max.message.bytes", &largest)
                .set("cleanup.policy", cleanup);
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let results = self.client.create_topics([&new], &options).await.map_err(|error| log_error(&error))?;
        match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((name, code))) => Err(LogError::Refused(format!("topic {name} is not created: {code}"))),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Waits until the topic can be seen, and looks whether it is as it should be.
    pub(super) fn wait_for(&self, topic: &NewTopic) -> Result<(), LogError> {
        let deadline = Instant::now() + VISIBLE_TIMEOUT;
        loop {
            match self.partitions(&topic.name) {
                Ok(partitions) if partitions == topic.partitions => return Ok(()),
                Ok(partitions) => {
                    return Err(LogError::Refused(format!(
                        "topic {} has {partitions} partitions and not {}; with another number its keys would move to \
                         other partitions",
                        topic.name, topic.partitions
                    )));
                }
                Err(LogError::UnknownTopic(_)) if Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
            std::thread::sleep(VISIBLE_INTERVAL);
        }
    }

    fn watermarks(&self, partition: &TopicPartition) -> Result<(i64, i64), LogError> {
        let client = self.client.inner();
        let found = ask(TIMEOUT, |left| client.fetch_watermarks(&partition.topic, partition.partition, left));
        found.map_err(|error| match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition,
            ) => LogError::UnknownTopic(partition.topic.to_string()),
            _ => log_error(&error),
        })
    }

    /// All partitions of the topics.
    pub(super) fn partitions_of(&self, topics: &[String]) -> Result<Vec<TopicPartition>, LogError> {
        let mut partitions = Vec::new();
        for topic in topics {
            let name: Arc<str> = topic.as_str().into();
            let count = self.partitions(topic)?;
            partitions.extend((0..count).map(|partition| TopicPartition { topic: Arc::clone(&name), partition }));
        }
        Ok(partitions)
    }

    /// How far the group has come.
    pub(super) fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>, LogError> {
        let partitions = self.partitions_of(topics)?;
        let watcher = self.watcher()?;
        let committed = groups::committed(watcher, group, &partitions, TIMEOUT)?;
        let edges = |edge| edges(watcher, &partitions, edge, TIMEOUT).map_err(|error| log_error(&error));
        let (low, high) = (edges(Offset::Beginning)?, edges(Offset::End)?);
        let mut lags = Vec::with_capacity(partitions.len());
        for ((partition, committed), (low, high)) in
            partitions.into_iter().zip(committed).zip(low.into_iter().zip(high))
        {
            let has_map = committed.as_ref().is_some_and(|(_, metadata)| !metadata.is_empty());
            lags.push(PartitionLag { partition, committed: committed.map(|(offset, _)| offset), low, high, has_map });
        }
        Ok(lags)
    }

    /// What readers of committed records can see now. Behind the last stable offset lies what is still to be decided. A
    /// commit returns a moment before its records can be seen, so what was written by now is waited for, but not long: a
    /// transaction may stay open for longer.
    pub(super) fn readable(&self, topics: &[String]) -> Result<Vec<Span>, LogError> {
        let partitions = self.partitions_of(topics)?;
        let (reader, watcher) = (self.reader()?, self.watcher()?);
        let edges = |of, edge| edges(of, &partitions, edge, TIMEOUT).map_err(|error| log_error(&error));
        let (low, high) = (edges(reader, Offset::Beginning)?, edges(watcher, Offset::End)?);
        let give_up = Instant::now() + SETTLED_TIMEOUT;
        let stable = loop {
            let stable = edges(reader, Offset::End)?;
            if stable.iter().zip(&high).all(|(stable, high)| stable >= high) || Instant::now() >= give_up {
                break stable;
            }
            std::thread::sleep(VISIBLE_INTERVAL);
        };
        let span = |(partition, (from, to)): (TopicPartition, (i64, i64))| Span { partition, from, to: to.max(from) };
        Ok(partitions.into_iter().zip(low.into_iter().zip(stable)).map(span).collect())
    }

    /// Committed records from the offset on.
    pub(super) fn read(&self, from: &TopicPartition, offset: i64, limit: usize) -> Result<Vec<Record>, LogError> {
        if from.partition >= self.partitions(&from.topic)? {
            return Err(LogError::Refused(format!("there is no partition {from}")));
        }
        let (low, high) = self.watermarks(from)?;
        if offset < low || offset > high {
            return Err(LogError::OffsetOutOfRange { partition: from.clone(), offset, low, high });
        }
        self.read_present(from, offset, limit).map_err(|error| log_error(&error))
    }

    fn read_present(&self, from: &TopicPartition, offset: i64, limit: usize) -> Result<Vec<Record>, KafkaError> {
        let consumer: Consumer = self.settings.consumer(READER, "reader").connect()?;
        let consumer = Arc::new(consumer);
        let Some(queue) = Queue::of_group(&consumer) else { return Err(KafkaError::Canceled) };
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&from.topic, from.partition, Offset::Offset(offset))?;
        consumer.assign(&list)?;
        let (mut records, mut arena) = (Vec::new(), BytesMut::new());
        let deadline = Instant::now() + TIMEOUT;
        while records.len() < limit {
            let Some(mut event) = queue.poll(deadline.saturating_duration_since(Instant::now())) else {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            };
            match event.content() {
                Content::Message(message) => records.push(copied(&mut arena, &message)),
                Content::EndOfPartition { .. } => break,
                Content::Error { code, fatal: true, .. } => return Err(KafkaError::MessageConsumption(code)),
                _ => {}
            }
        }
        Ok(records)
    }
}

fn count(topic: &rdkafka::metadata::MetadataTopic) -> i32 {
    i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)
}

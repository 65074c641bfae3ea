//! The broker, as the benchmark prepares and watches it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use super::{INPUT, KEYS, PARTITIONS, RECORDS, VALUE_BYTES};

const PATIENCE: Duration = Duration::from_secs(30);
const SEED: u64 = 42;

/// The settings that all clients begin with.
pub(super) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

pub(super) struct Cluster {
    bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
    runtime: Runtime,
}

impl Cluster {
    pub(super) fn new(bootstrap: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { bootstrap: bootstrap.to_owned(), admin: client(bootstrap).create()?, runtime })
    }

    pub(super) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(super) fn create(&self, topic: &str) -> anyhow::Result<()> {
        let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
        let created = self.runtime.block_on(self.admin.create_topics([&new], &options()))?;
        refused(created).with_context(|| format!("cannot create the topic {topic}"))
    }

    pub(super) fn delete(&self, topic: &str) -> anyhow::Result<()> {
        let deleted = self.runtime.block_on(self.admin.delete_topics(&[topic], &options()))?;
        refused(deleted).with_context(|| format!("cannot delete the topic {topic}"))
    }

    /// Fills the input with records of random bytes, the same ones every time.
    pub(super) fn load(&self) -> anyhow::Result<()> {
        let producer: BaseProducer =
            client(&self.bootstrap).set("linger.ms", "50").set("batch.size", "1000000").create()?;
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut value = vec![0; VALUE_BYTES];
        for _ in 0..RECORDS {
            random.fill(&mut value);
            let key = format!("key-{:08}", random.u64(..KEYS));
            let mut record = BaseRecord::to(INPUT).key(key.as_bytes()).payload(value.as_slice());
            while let Err((error, again)) = producer.send(record) {
                let is_full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
                ensure!(is_full, "cannot load the input: {error}");
                record = again;
                producer.poll(Duration::from_millis(1));
            }
        }
        producer.flush(PATIENCE)?;
        Ok(())
    }

    /// Counts the records of `topic` that a committed reader sees: markers take offsets too.
    pub(super) fn count(&self, topic: &str) -> anyhow::Result<u64> {
        let consumer: BaseConsumer = client(&self.bootstrap)
            .set("group.id", "passthrough-count")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.queue.backoff.ms", "10")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        let (mut records, mut ended) = (0, 0);
        while ended < PARTITIONS {
            match consumer.poll(PATIENCE) {
                Some(Ok(_)) => records += 1,
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => return Err(error).context("cannot count the outputs"),
                None => bail!("the outputs cannot be read to their end"),
            }
        }
        Ok(records)
    }

    /// Watches how far `group` comes in the input.
    pub(super) fn watcher(&self, group: &str) -> anyhow::Result<Watcher> {
        let consumer: BaseConsumer =
            client(&self.bootstrap).set("group.id", group).set("isolation.level", "read_committed").create()?;
        let mut ends = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let (_, end) = consumer.fetch_watermarks(INPUT, partition, PATIENCE)?;
            ends.insert(partition, end);
        }
        Ok(Watcher { consumer, ends })
    }
}

/// Looks at a group from outside; never becomes its member.
pub(super) struct Watcher {
    consumer: BaseConsumer,
    ends: BTreeMap<i32, i64>,
}

impl Watcher {
    pub(super) fn is_at_end(&self) -> anyhow::Result<bool> {
        let mut partitions = TopicPartitionList::new();
        for partition in self.ends.keys() {
            partitions.add_partition(INPUT, *partition);
        }
        let committed = self.consumer.committed_offsets(partitions, PATIENCE)?;
        let is_at_end = committed.elements().iter().all(|element| {
            let end = self.ends.get(&element.partition()).copied().unwrap_or_default();
            matches!(element.offset(), Offset::Offset(offset) if offset >= end)
        });
        Ok(is_at_end)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE))
}

/// The first refusal among an admin request's results.
fn refused(results: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> anyhow::Result<()> {
    for result in results {
        result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    Ok(())
}

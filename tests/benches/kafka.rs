//! An Apache Kafka broker, as the benchmarks prepare and watch it.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at how far a group is.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The settings that all clients begin with.
pub(crate) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

/// A topic with so many partitions.
#[derive(Clone, Copy)]
pub(crate) struct Topic<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: i32,
}

pub(crate) struct Cluster {
    bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
    runtime: Runtime,
}

impl Cluster {
    pub(crate) fn new(bootstrap: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { bootstrap: bootstrap.to_owned(), admin: client(bootstrap).create()?, runtime })
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(crate) fn create(&self, topic: Topic<'_>) -> anyhow::Result<()> {
        let new = NewTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(1));
        let created = self.runtime.block_on(self.admin.create_topics([&new], &options()))?;
        refused(created).with_context(|| format!("cannot create the topic {}", topic.name))?;
        self.wait_until_visible(topic)
    }

    /// A broker may answer for a moment as if a new topic were not there.
    fn wait_until_visible(&self, topic: Topic<'_>) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metadata = self.admin.inner().fetch_metadata(Some(topic.name), PATIENCE)?;
            if metadata.topics().iter().any(|seen| seen.partitions().len() == topic.partitions as usize) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the topic {} was created and is not seen", topic.name);
            thread::sleep(LOOK_INTERVAL);
        }
    }

    pub(crate) fn delete(&self, topic: Topic<'_>) -> anyhow::Result<()> {
        let deleted = self.runtime.block_on(self.admin.delete_topics(&[topic.name], &options()))?;
        refused(deleted).with_context(|| format!("cannot delete the topic {}", topic.name))
    }

    /// Fills a topic with records of random bytes, the same ones for the same seed.
    pub(crate) fn load(
        &self,
        topic: Topic<'_>,
        keys: impl Iterator<Item = String>,
        value_bytes: usize,
        seed: u64,
    ) -> anyhow::Result<()> {
        let producer: BaseProducer = client(&self.bootstrap)
            .set("linger.ms", "50")
            .set("batch.size", "1000000")
            .set("partitioner", "murmur2_random")
            .create()?;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut value = vec![0; value_bytes];
        for key in keys {
            random.fill(&mut value);
            let mut record = BaseRecord::to(topic.name).key(key.as_bytes()).payload(value.as_slice());
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

    /// Counts the records that a committed reader sees: markers take offsets too.
    pub(crate) fn count(&self, topic: Topic<'_>) -> anyhow::Result<u64> {
        let consumer: BaseConsumer = client(&self.bootstrap)
            .set("group.id", "benchmark-count")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.queue.backoff.ms", "10")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        for partition in 0..topic.partitions {
            partitions.add_partition_offset(topic.name, partition, Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        let (mut records, mut ended) = (0, 0);
        while ended < topic.partitions {
            match consumer.poll(PATIENCE) {
                Some(Ok(_)) => records += 1,
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => return Err(error).context("cannot count the outputs"),
                None => bail!("the outputs cannot be read to their end"),
            }
        }
        Ok(records)
    }

    /// Waits until `group` has committed the end of the topic, and says when that was. `has_ended` says whether
    /// the group's member is gone.
    pub(crate) fn wait_for_end(
        &self,
        group: &str,
        topic: Topic<'_>,
        patience: Duration,
        has_ended: impl Fn() -> bool,
    ) -> anyhow::Result<Instant> {
        let watcher = Watcher::new(&self.bootstrap, group, topic)?;
        let deadline = Instant::now() + patience;
        while !watcher.is_at_end()? {
            ensure!(Instant::now() < deadline, "it did not finish in {patience:?}");
            ensure!(!has_ended(), "it ended before everything was committed");
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(Instant::now())
    }
}

/// Looks at a group from outside; never becomes its member.
struct Watcher {
    consumer: BaseConsumer,
    topic: String,
    ends: BTreeMap<i32, i64>,
}

impl Watcher {
    fn new(bootstrap: &str, group: &str, topic: Topic<'_>) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = client(bootstrap)
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            // While a transaction ends the broker does not tell; by default it is asked again after 100 ms.
            .set("retry.backoff.ms", "5")
            .create()?;
        let mut ends = BTreeMap::new();
        for partition in 0..topic.partitions {
            let (_, end) = consumer.fetch_watermarks(topic.name, partition, PATIENCE)?;
            ends.insert(partition, end);
        }
        Ok(Self { consumer, topic: topic.name.to_owned(), ends })
    }

    fn is_at_end(&self) -> anyhow::Result<bool> {
        let mut partitions = TopicPartitionList::new();
        for partition in self.ends.keys() {
            partitions.add_partition(&self.topic, *partition);
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

//! One record every 50 ms through idle stages, from produced to read by a committed reader: through one hop, and through
//! a chain of six. The stages only pass on; batches do not linger, and are committed every 5 ms.

mod stages;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use frameline_tests::kafka::Broker;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::contest::{Better, Contest, Scores};
use crate::kafka::{self, Cluster, Topic};
use stages::Stages;

const RECORDS: usize = 400;
/// At first groups are joined and connections opened, and the broker touches the index of every partition of a new topic
/// for the first time, which it does once in 4,096 bytes: some 25 records a partition are behind all of that.
const WARM_UP_RECORDS: usize = 300;
const WARM_UP_INTERVAL: Duration = Duration::from_millis(10);
const INTERVAL: Duration = Duration::from_millis(50);
const HOPS: usize = 6;
const PARTITIONS: i32 = 12;
const VALUE_BYTES: usize = 400;
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(rounds: usize) -> anyhow::Result<Vec<(Contest, Scores)>> {
    let broker = Broker::start();
    let cluster = Cluster::new(&broker.bootstrap_servers())?;
    let contest = |name, unit, goal_ms: f64| {
        (Contest { name, against: "the limit", unit, better: Better::Less, goal: 1.0 }, goal_ms, Scores::default())
    };
    let mut hop_median = contest("hop-p50", "ms", 12.0);
    let mut hop_tail = contest("hop-p99", "ms", 30.0);
    let mut chain_median = contest("hop-chain-p50", "ms", 100.0);
    for round in 1..=rounds {
        let hop = latencies(&cluster, &format!("hop-{round}"), 1)?;
        let chain = latencies(&cluster, &format!("chain-{round}"), HOPS)?;
        let scores = [percentile_ms(&hop, 50), percentile_ms(&hop, 99), percentile_ms(&chain, 50)];
        let [median, tail, through] = scores;
        eprintln!("round {round} of {rounds}: a hop {median:.1} ms, p99 {tail:.1} ms; six hops {through:.1} ms");
        for ((_, limit, played), score) in [&mut hop_median, &mut hop_tail, &mut chain_median].into_iter().zip(scores) {
            played.add(score, *limit);
        }
    }
    Ok([hop_median, hop_tail, chain_median].map(|(contest, _, scores)| (contest, scores)).into())
}

/// How long each record takes through so many stages, in order of length.
fn latencies(cluster: &Cluster, name: &str, hops: usize) -> anyhow::Result<Vec<Duration>> {
    let topics: Vec<String> = (0..=hops).map(|number| format!("{name}-{number}")).collect();
    let topic = |number: usize| Topic { name: &topics[number], partitions: PARTITIONS };
    (0..=hops).try_for_each(|number| cluster.create(topic(number)))?;
    let stages = Stages::start(cluster.bootstrap(), &topics)?;
    let reader = reader(cluster.bootstrap(), name, topic(hops))?;
    let producer: ThreadedProducer<DefaultProducerContext> =
        kafka::client(cluster.bootstrap()).set("linger.ms", "0").create()?;
    let latencies = thread::scope(|scope| {
        let sending = scope.spawn(|| send(&producer, &topics[0]));
        let arrivals = read(&reader);
        let sent = sending.join().unwrap_or_else(|_| bail!("the producer panicked"))?;
        let latencies = arrivals?.into_iter().zip(sent).map(|(arrived, sent)| arrived.duration_since(sent));
        anyhow::Ok(latencies.skip(WARM_UP_RECORDS).collect::<Vec<_>>())
    });
    // Where a stage has ended, that is why records are missing.
    let mut latencies = stages.stop().and(latencies)?;
    (0..=hops).try_for_each(|number| cluster.delete(topic(number)))?;
    latencies.sort();
    Ok(latencies)
}

/// A committed reader of all partitions, from their ends on.
fn reader(bootstrap: &str, name: &str, topic: Topic<'_>) -> anyhow::Result<BaseConsumer> {
    let reader: BaseConsumer = kafka::client(bootstrap)
        .set("group.id", format!("{name}-reader"))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut partitions = rdkafka::TopicPartitionList::new();
    for partition in 0..topic.partitions {
        partitions.add_partition_offset(topic.name, partition, rdkafka::Offset::Beginning)?;
    }
    reader.assign(&partitions)?;
    Ok(reader)
}

/// Sends the records, and says when each was.
fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str) -> anyhow::Result<Vec<Instant>> {
    let value = vec![7; VALUE_BYTES];
    let mut sent = Vec::new();
    for number in 0..WARM_UP_RECORDS + RECORDS {
        let key = number.to_string();
        sent.push(Instant::now());
        let record = BaseRecord::to(topic).key(key.as_bytes()).payload(value.as_slice());
        producer.send(record).map_err(|(error, _)| error).context("cannot send")?;
        thread::sleep(if number < WARM_UP_RECORDS { WARM_UP_INTERVAL } else { INTERVAL });
    }
    producer.flush(PATIENCE)?;
    Ok(sent)
}

/// When each record arrived; its key is its number.
fn read(reader: &BaseConsumer) -> anyhow::Result<Vec<Instant>> {
    let mut arrivals = vec![None; WARM_UP_RECORDS + RECORDS];
    for _ in 0..arrivals.len() {
        let message = reader.poll(PATIENCE).context("a record did not arrive")??;
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
        let number: usize = key.context("a record has no key")?.parse()?;
        let place = arrivals.get_mut(number).context("a record that was not sent arrived")?;
        ensure!(place.replace(Instant::now()).is_none(), "record {number} arrived twice");
    }
    arrivals.into_iter().collect::<Option<Vec<_>>>().context("a record is missing")
}

fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let place = sorted.len() * percent / 100;
    sorted.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
}

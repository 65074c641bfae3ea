//! The best bare loop that is known: one consumer, and one producer whose delivery reports have a thread of
//! their own, so that a commit waits for the broker alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::bindings::rd_kafka_flush;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::copies::{COMMIT_INTERVAL, INPUT, Run};
use crate::kafka;

const POLL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn pass(run: &Run) -> anyhow::Result<()> {
    let consumer: BaseConsumer = kafka::client(&run.bootstrap)
        .set("group.id", &run.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        // Its default of a second starves a fast consumer after each full queue.
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let producer: ThreadedProducer<DefaultProducerContext> = kafka::client(&run.bootstrap)
        .set("transactional.id", &run.group)
        .set("linger.ms", "5")
        // A transaction that follows another closely waits this long.
        .set("retry.backoff.ms", "10")
        .create()?;
    producer.init_transactions(PATIENCE)?;
    consumer.subscribe(&[INPUT.name])?;
    while !run.stop.is_cancelled() {
        if let Some(message) = consumer.poll(POLL) {
            run.first.get_or_init(Instant::now);
            transaction(run, &consumer, &producer, message?)?;
        }
    }
    Ok(())
}

/// Copies for the commit interval, and commits.
fn transaction(
    run: &Run,
    consumer: &BaseConsumer,
    producer: &ThreadedProducer<DefaultProducerContext>,
    first: BorrowedMessage<'_>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + COMMIT_INTERVAL;
    let mut positions = BTreeMap::new();
    producer.begin_transaction()?;
    let mut next = Some(first);
    loop {
        if let Some(message) = next {
            positions.insert(message.partition(), message.offset() + 1);
            send(producer, &run.output, &message)?;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        next = consumer.poll(left).transpose()?;
    }
    flush(producer)?;
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in positions {
        offsets.add_partition_offset(INPUT.name, partition, Offset::Offset(offset))?;
    }
    let group = consumer.group_metadata().context("the consumer has no group")?;
    producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
    Ok(producer.commit_transaction(PATIENCE)?)
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    message: &BorrowedMessage<'_>,
) -> anyhow::Result<()> {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic);
    record.key = message.key();
    record.payload = message.payload();
    while let Err((error, refused)) = producer.send(record) {
        let is_full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
        ensure!(is_full, "cannot send: {error}");
        record = refused;
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

/// The crate's own flush polls for the reports in slices of 100 ms, against the thread that already does.
fn flush(producer: &ThreadedProducer<DefaultProducerContext>) -> anyhow::Result<()> {
    // SAFETY: the pointer is the producer's own and lives as long as it is borrowed here.
    let code = unsafe { rd_kafka_flush(producer.client().native_ptr(), PATIENCE.as_millis() as i32) };
    let code = RDKafkaErrorCode::from(code);
    ensure!(code == RDKafkaErrorCode::NoError, "cannot flush: {code}");
    Ok(())
}

//! Reading spans to their ends: a consumer that assigns itself what it reads and joins no group, on a thread of
//! its own. It may block where nobody takes what it read: it has no membership to lose.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Sender;

use super::chunks::Collector;
use super::context::Consumer;
use super::events::{Content, Message, Queue};
use super::faults::log_error;
use super::positions::list_of;
use super::settings::KafkaSettings;
use super::token::Connect;
use crate::log::LogError;
use crate::log::scan::{Run, Scan, Span};
use crate::record::TopicPartition;

/// How long the brokers may be silent.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The group of a reader, which is never joined and never committed to.
const READER: &str = "frameline-reader";

/// Starts a thread that reads.
pub(super) fn start(settings: &KafkaSettings, spans: Vec<Span>) -> Result<Scan, LogError> {
    let (sender, scan) = Scan::channel();
    let open: HashMap<TopicPartition, i64> =
        spans.iter().filter(|span| span.from < span.to).map(|span| (span.partition.clone(), span.to)).collect();
    if open.is_empty() {
        return Ok(scan);
    }
    let closed = || LogError::Unavailable("the client has closed".to_owned());
    let consumer: Consumer = settings.consumer(READER, "scan").connect().map_err(|error| log_error(&error))?;
    let consumer = Arc::new(consumer);
    let queue = Queue::of_group(&consumer).ok_or_else(closed)?;
    let mut list = TopicPartitionList::with_capacity(open.len());
    for span in spans.iter().filter(|span| span.from < span.to) {
        list.add_partition_offset(&span.partition.topic, span.partition.partition, Offset::Offset(span.from))
            .map_err(|error| log_error(&error))?;
    }
    consumer.assign(&list).map_err(|error| log_error(&error))?;
    let reading = Reading { consumer, open, run_to: 0, collector: Collector::default(), sender };
    std::thread::Builder::new()
        .name("scan".to_owned())
        .spawn(move || run(&queue, reading))
        .map_err(|error| LogError::Unavailable(format!("no thread to read with: {error}")))?;
    Ok(scan)
}

/// Nobody takes any more.
struct Gone;

struct Reading {
    consumer: Arc<Consumer>,
    /// Where each partition ends that is not read to its end yet.
    open: HashMap<TopicPartition, i64>,
    /// Where the partition of the collector's run ends.
    run_to: i64,
    collector: Collector,
    sender: Sender<Result<Run, LogError>>,
}

fn run(queue: &Queue, mut reading: Reading) {
    while !reading.open.is_empty() {
        let silence = || LogError::Unavailable(format!("the brokers gave nothing for {} s", TIMEOUT.as_secs()));
        let step = match queue.poll(TIMEOUT) {
            None => reading.fail(silence()),
            Some(mut event) => match event.content() {
                Content::Message(message) => reading.take(&message),
                Content::EndOfPartition { partition, .. } => reading.end(&partition),
                Content::Error { fatal: true, reason, .. } => reading.fail(LogError::Unavailable(reason)),
                _ => Ok(()),
            },
        };
        if step.is_err() {
            return;
        }
    }
}

impl Reading {
    fn take(&mut self, message: &Message<'_>) -> Result<(), Gone> {
        if self.collector.goes_on_with(message) && message.offset() + 1 < self.run_to {
            self.collector.push(message);
            return Ok(());
        }
        let partition = TopicPartition::new(message.topic().as_ref(), message.partition());
        // What was fetched ahead of a partition's end comes behind it.
        let Some(to) = self.open.get(&partition).copied() else { return Ok(()) };
        if message.offset() < to && self.collector.goes_on_with(message) {
            self.collector.push(message);
        } else {
            self.flush()?;
            self.run_to = to;
            if message.offset() < to {
                self.collector.begin(partition.clone(), message);
            }
        }
        if message.offset() + 1 >= to { self.end(&partition) } else { Ok(()) }
    }

    /// Everything committed of the partition's span was read.
    fn end(&mut self, partition: &TopicPartition) -> Result<(), Gone> {
        if self.open.remove(partition).is_some() {
            // It only saves fetching what nobody wants.
            let _ = self.consumer.pause(&list_of([partition]));
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Gone> {
        let Some(kafka_run) = self.collector.take() else { return Ok(()) };
        let run = Run { partition: kafka_run.partition, records: kafka_run.records };
        self.sender.blocking_send(Ok(run)).map_err(|_| Gone)
    }

    fn fail(&mut self, error: LogError) -> Result<(), Gone> {
        // Whether it is heard or not, this is the end.
        let _ = self.sender.blocking_send(Err(error));
        Err(Gone)
    }
}

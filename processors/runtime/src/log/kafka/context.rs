//! What librdkafka says on its own account goes to the log of the process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::seldom::Seldom;

/// The context of consumers and of the client for topics.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// The client is closing, and has let go of what it had.
    has_let_go: AtomicBool,
}

/// The consumer of a member, or of a reader.
pub(super) type Consumer = BaseConsumer<Context>;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report(&error, reason);
    }
}

impl ConsumerContext for Context {
    /// Answers what the group asks of a client that is closing; before, whoever polls it does. Whatever the answer, a
    /// closing client takes it for letting go of everything. With that it is done, and a second answer, to a question
    /// that was in the queue already, might find nobody and wait for ever.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, _: RDKafkaRespErr, _: &mut TopicPartitionList) {
        if !self.has_let_go.swap(true, Ordering::Relaxed)
            && let Err(error) = consumer.unassign()
        {
            tracing::debug!(%error, "the group was left before everything was let go");
        }
    }
}

/// Drops the consumer here, where it may block. Others hold it for the length of a call at most.
pub(super) fn close(mut consumer: Arc<Consumer>) {
    loop {
        match Arc::try_unwrap(consumer) {
            Ok(last) => return drop(last),
            Err(shared) => consumer = shared,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Trouble is told again for as long as it lasts, by every client.
static SAID: Mutex<BTreeMap<String, Seldom>> = Mutex::new(BTreeMap::new());

fn say(facility: &str) -> Option<u64> {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.entry(facility.to_owned()).or_default().say(Instant::now())
}

/// A log line of librdkafka.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // Every client gets the same properties, so each has some that are another kind's.
        _ if facility == "CONFWARN" => tracing::debug!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            if let Some(left_out) = say(facility) {
                tracing::warn!(target: "librdkafka", facility, left_out, "{message}");
            }
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// An error of a client, which goes on trying by itself. Whoever waits for the client learns of it by its calls.
pub(super) fn report(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", %error, reason);
}

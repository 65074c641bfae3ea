//! What librdkafka says on its own account goes to the log of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::seldom::Seldom;

/// The context of consumers and of the client for topics.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context;

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

impl ConsumerContext for Context {}

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

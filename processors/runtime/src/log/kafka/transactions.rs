//! Transactions: outputs and positions become visible together, or not at all.
//!
//! Each is a short burst on one producer: begin, send, flush, offsets, commit. Whatever fails before the commit
//! ends in an abort; where even that fails, the producer is thrown away, and its successor of the same name makes
//! the broker abort. Once the commit was asked for, its outcome is the broker's: it is asked again until it says.
//!
//! The name is the owner's for as long as the broker waits for what is open under it. Whoever was cut off for longer
//! may have been replaced, and goes on under a name of its own: the same one would fence who replaced it. Whether it
//! still has a say is then told by the generation of its positions.
//!
//! Reports of failed records are served by the producer's own thread, and `rd_kafka_flush` waits for them; the
//! flush of rdkafka waits in slices of 100 ms.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings::rd_kafka_flush;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer,
};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use uuid::Uuid;

use super::context::{log_line, report};
use super::faults::{Meaning, log_error, meaning_of, refusal_of};
use super::settings::KafkaSettings;
use super::token;
use crate::log::{CommitError, LogError};
use crate::record::{Output, Position};

/// How long one call waits before it is looked whether to go on waiting.
const SLICE: Duration = Duration::from_millis(500);
/// The same for a flush, which does not return by itself when a record has failed.
const FLUSH_SLICE: Duration = Duration::from_millis(50);
/// How long a new producer may take to get its name.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an abort may take before the producer is thrown away.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait while the producer's queue is full.
const FULL_WAIT: Duration = Duration::from_millis(1);

type Producer = ThreadedProducer<Reports>;

/// Writes transactions under one name. A later one of the same name fences it.
pub(super) struct Transactions {
    settings: KafkaSettings,
    /// What the name begins with, and is at first.
    owner: String,
    name: String,
    /// When the broker gives up what may be open under the name.
    given_up_at: Instant,
    producer: Option<Producer>,
    /// Set when the owner leaves: nothing is waited for any more.
    closing: Arc<AtomicBool>,
    /// Topics that take less than a batch: their records are sent one by one.
    narrow: Topics,
    /// Why nothing can be written ever again.
    fenced: Option<String>,
}

type Topics = BTreeSet<Arc<str>>;

/// Positions of a member of a group.
pub(super) struct Offsets<'a> {
    /// Never empty.
    pub(super) positions: &'a [Position],
    /// The member's generation, by which the broker tells a stale one.
    pub(super) group: ConsumerGroupMetadata,
}

/// Why a transaction stopped.
enum Stop {
    /// As the caller learns of it.
    For(CommitError),
    /// Batches to these topics were refused, and with them maybe records that are not to blame.
    Refused(Topics),
}

impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Self {
        Self::For(error)
    }
}

impl Transactions {
    /// Takes the name, which fences whoever had it.
    pub(super) fn open(settings: KafkaSettings, owner: String, closing: Arc<AtomicBool>) -> Result<Self, LogError> {
        let producer = Some(opened(&settings, &owner, &closing, Instant::now() + OPEN_TIMEOUT)?);
        let (name, given_up_at) = (owner.clone(), Instant::now());
        Ok(Self { settings, owner, name, given_up_at, producer, closing, narrow: Topics::new(), fenced: None })
    }

    /// Writes all of it or nothing.
    pub(super) fn commit(&mut self, outputs: &[Output], offsets: Option<&Offsets<'_>>) -> Result<(), CommitError> {
        let mut narrow = self.narrow.clone();
        loop {
            match self.attempt(|transaction| transaction.run(outputs, offsets, &narrow)) {
                Ok(()) => break,
                Err(Stop::For(error)) => return Err(error),
                // Others than those that are narrow already, so this ends.
                Err(Stop::Refused(topics)) => narrow.extend(topics),
            }
        }
        // No single record was refused, so it was the batches.
        self.narrow = narrow;
        Ok(())
    }

    /// Asks the broker whether the name is still ours, by a transaction that is aborted.
    pub(super) fn probe(&mut self, offsets: &Offsets<'_>) -> Result<(), CommitError> {
        match self.attempt(|transaction| transaction.begin().and_then(|()| transaction.write_offsets(offsets))) {
            Err(Stop::For(error)) => Err(error),
            Ok(()) | Err(Stop::Refused(_)) => Ok(()),
        }
    }

    fn attempt(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
        if let Some(reason) = &self.fenced {
            return Err(CommitError::Fenced(reason.clone()).into());
        }
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.reopened().map_err(|error| CommitError::Unavailable(error.to_string()))?,
        };
        self.given_up_at = Instant::now() + self.settings.transaction_timeout();
        let transaction = Transaction {
            producer: &producer,
            closing: &self.closing,
            deadline: self.given_up_at,
            is_open: Cell::new(false),
        };
        let result = work(&transaction);
        if let Err(Stop::For(CommitError::Fenced(reason))) = &result {
            self.fenced = Some(reason.clone());
        }
        if transaction.end() {
            self.producer = Some(producer);
        }
        result
    }

    /// In the place of a producer that was thrown away.
    fn reopened(&mut self) -> Result<Producer, LogError> {
        let mut deadline = Instant::now() + OPEN_TIMEOUT;
        if Instant::now() < self.given_up_at {
            deadline = deadline.min(self.given_up_at);
        } else {
            self.name = format!("{}/{}", self.owner, Uuid::new_v4());
        }
        opened(&self.settings, &self.name, &self.closing, deadline)
    }
}

fn opened(settings: &KafkaSettings, name: &str, closing: &AtomicBool, deadline: Instant) -> Result<Producer, LogError> {
    let producer: Producer =
        settings.producer(name).create_with_context(Reports::default()).map_err(|error| log_error(&error))?;
    patiently(closing, deadline, || producer.init_transactions(SLICE)).map_err(|error| log_error(&error))?;
    Ok(producer)
}

/// Calls again while the call says that it may be called again.
fn patiently(
    closing: &AtomicBool,
    deadline: Instant,
    mut call: impl FnMut() -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    loop {
        match call() {
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && Instant::now() < deadline && !closing.load(Ordering::Relaxed) => {}
            other => return other,
        }
    }
}

/// One transaction.
struct Transaction<'a> {
    producer: &'a Producer,
    closing: &'a AtomicBool,
    /// When the broker gives it up.
    deadline: Instant,
    /// Begun, and neither committed nor aborted.
    is_open: Cell<bool>,
}

impl Transaction<'_> {
    fn run(&self, outputs: &[Output], offsets: Option<&Offsets<'_>>, narrow: &Topics) -> Result<(), Stop> {
        self.begin()?;
        self.write(outputs, narrow)?;
        if let Some(offsets) = offsets {
            self.write_offsets(offsets)?;
        }
        self.conclude()
    }

    fn begin(&self) -> Result<(), Stop> {
        self.producer.context().next_transaction();
        self.producer.begin_transaction().map_err(|error| self.stop(&error))?;
        self.is_open.set(true);
        Ok(())
    }

    fn write(&self, outputs: &[Output], narrow: &Topics) -> Result<(), Stop> {
        for (index, output) in outputs.iter().enumerate() {
            self.send(index, output)?;
            if narrow.contains(&output.topic) {
                self.flush(outputs, narrow)?;
            }
        }
        self.flush(outputs, narrow)
    }

    fn send(&self, index: usize, output: &Output) -> Result<(), Stop> {
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&output.topic, self.producer.context().tag(index));
        record.key = output.key.as_deref();
        record.payload = output.value.as_deref();
        record.headers = headers_of(output);
        loop {
            let Err((error, returned)) = self.producer.send(record) else { return Ok(()) };
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) if self.may_wait() => {
                    std::thread::sleep(FULL_WAIT);
                    record = returned;
                }
                KafkaError::MessageProduction(code) if meaning_of(code) == Meaning::Refused => {
                    return Err(refusal(index, output, code).into());
                }
                other => return Err(self.stop(&other)),
            }
        }
    }

    /// Waits until the broker has all that was sent. After a failure it will not have all: the client throws away
    /// what it has not sent yet, and reports that first.
    fn flush(&self, outputs: &[Output], narrow: &Topics) -> Result<(), Stop> {
        let slice_ms = i32::try_from(FLUSH_SLICE.as_millis()).unwrap_or(i32::MAX);
        loop {
            // SAFETY: the producer lives; its reports are served by its own thread.
            let code = unsafe { rd_kafka_flush(self.producer.client().native_ptr(), slice_ms) };
            let is_flushed = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
            let failures = self.producer.context().failures();
            let causes: Vec<&Failure> = failures.iter().filter(|failure| !failure.is_consequence()).collect();
            if let Some(first) = causes.first().copied().or_else(|| failures.first().filter(|_| is_flushed)) {
                return Err(self.failed(first, &causes, outputs, narrow));
            }
            if is_flushed {
                return Ok(());
            }
            if !self.may_wait() {
                return Err(CommitError::Unavailable("the brokers did not take the records in time".to_owned()).into());
            }
        }
    }

    /// What failed records mean. A batch is refused as a whole, so a record is to blame when it was sent alone.
    fn failed(&self, first: &Failure, causes: &[&Failure], outputs: &[Output], narrow: &Topics) -> Stop {
        let mut refused = Topics::new();
        for failure in causes.iter().filter(|failure| meaning_of(failure.code) == Meaning::Refused) {
            match outputs.get(failure.output) {
                Some(output) if narrow.contains(&output.topic) => {
                    return refusal(failure.output, output, failure.code).into();
                }
                output => refused.extend(output.map(|output| Arc::clone(&output.topic))),
            }
        }
        if !refused.is_empty() {
            return Stop::Refused(refused);
        }
        match outputs.get(first.output) {
            Some(output) if self.producer.client().fatal_error().is_none() => {
                CommitError::Unavailable(format!("a record to {} failed: {}", output.topic, first.code)).into()
            }
            _ => self.stop(&KafkaError::MessageProduction(first.code)),
        }
    }

    fn write_offsets(&self, offsets: &Offsets<'_>) -> Result<(), Stop> {
        let mut list = TopicPartitionList::with_capacity(offsets.positions.len());
        for position in offsets.positions {
            let mut entry = list.add_partition(&position.partition.topic, position.partition.partition);
            entry.set_offset(Offset::Offset(position.offset)).map_err(|error| self.stop(&error))?;
            if !position.metadata.is_empty() {
                entry.set_metadata(&position.metadata);
            }
        }
        let left = || self.deadline.saturating_duration_since(Instant::now());
        patiently(self.closing, self.deadline, || {
            self.producer.send_offsets_to_transaction(&list, &offsets.group, left())
        })
        .map_err(|error| self.stop(&error))
    }

    /// Commits. A call that says "again" has not said what became of it, so there is no deadline.
    fn conclude(&self) -> Result<(), Stop> {
        loop {
            match self.producer.commit_transaction(SLICE) {
                Ok(()) => {
                    self.is_open.set(false);
                    return Ok(());
                }
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !error.txn_requires_abort() => {
                    if self.closing.load(Ordering::Relaxed) {
                        let reason = "left while the broker had not said whether it committed";
                        return Err(CommitError::Unavailable(reason.to_owned()).into());
                    }
                }
                Err(error) => return Err(self.stop(&error)),
            }
        }
    }

    /// Aborts what is open. Whether the producer can be used again.
    fn end(&self) -> bool {
        if self.producer.client().fatal_error().is_some() {
            return false;
        }
        let deadline = Instant::now() + ABORT_TIMEOUT;
        let is_over =
            !self.is_open.get() || patiently(self.closing, deadline, || self.producer.abort_transaction(SLICE)).is_ok();
        // A failed record leaves a gap in the sequence numbers, for which the broker would refuse the next ones.
        is_over && self.producer.context().failures().is_empty()
    }

    fn may_wait(&self) -> bool {
        Instant::now() < self.deadline && !self.closing.load(Ordering::Relaxed)
    }

    /// What an error means. A fatal one of the producer is behind all that follow it.
    fn stop(&self, error: &KafkaError) -> Stop {
        let fatal = self.producer.client().fatal_error();
        let code = fatal.as_ref().map(|(code, _)| *code).or_else(|| error.rdkafka_error_code());
        let reason = fatal.map_or_else(|| error.to_string(), |(_, reason)| reason);
        Stop::For(match code.map(meaning_of) {
            Some(Meaning::Revoked) => CommitError::Revoked(reason),
            // The broker fences also whose transaction it gave up, after an outage; that is no successor.
            Some(Meaning::Fenced) if Instant::now() > self.deadline => CommitError::Unavailable(reason),
            Some(Meaning::Fenced) => CommitError::Fenced(reason),
            Some(Meaning::Refused | Meaning::Unavailable) | None => CommitError::Unavailable(reason),
        })
    }
}

fn refusal(index: usize, output: &Output, code: RDKafkaErrorCode) -> CommitError {
    let reason = refusal_of(code, output.size_bytes());
    CommitError::Refused { output: index, topic: Arc::clone(&output.topic), reason }
}

fn headers_of(output: &Output) -> Option<OwnedHeaders> {
    if output.headers.is_empty() {
        return None;
    }
    let empty = OwnedHeaders::new_with_capacity(output.headers.len());
    let all = output
        .headers
        .iter()
        .fold(empty, |headers, (name, value)| headers.insert(Header { key: name, value: Some(value.as_ref()) }));
    Some(all)
}

/// A record that was not taken.
#[derive(Debug, Clone, Copy)]
struct Failure {
    /// The index of its output.
    output: usize,
    code: RDKafkaErrorCode,
}

impl Failure {
    /// Thrown away because something else had failed.
    fn is_consequence(self) -> bool {
        matches!(self.code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
    }
}

/// Collects the failures of a transaction. Reports of an aborted one may still come when the next has begun, so
/// each record is tagged with the number of its transaction.
#[derive(Default)]
struct Reports {
    transaction: AtomicU32,
    failures: Mutex<Vec<Failure>>,
}

impl Reports {
    fn next_transaction(&self) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        self.transaction.fetch_add(1, Ordering::Relaxed);
        failures.clear();
    }

    fn tag(&self, output: usize) -> usize {
        ((self.transaction.load(Ordering::Relaxed) as usize) << u32::BITS) | output
    }

    fn add(&self, tag: usize, code: RDKafkaErrorCode) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let output = tag & u32::MAX as usize;
        if tag == self.tag(output) {
            failures.push(Failure { output, code });
        }
    }

    fn failures(&self) -> Vec<Failure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, file: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        Ok(token::read(file.ok_or("no file is named")?)?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report(&error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        if let Err((error, _)) = result {
            self.add(tag, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
        }
    }
}

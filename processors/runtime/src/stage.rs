//! What a stage is: what it reads, and how one batch of records becomes one outcome each.

use async_trait::async_trait;
use frameline_schemas::{DecodeError, Message, SchemaIds, schema_id};

use crate::record::{Output, Record};
pub use crate::subject::Subject;

/// The code of a failure that is about bytes which are no record of ours.
pub const UNDECODABLE: &str = "undecodable";

/// A stage. It never sees an offset, a retry, a transaction, a dead letter, a metric or a rebalance.
#[async_trait]
pub trait Stage: Send + Sync + 'static {
    /// What its topics carry.
    type In: Input;

    /// Its name: of its consumer group, its metrics, and its dead-letter topic `NAME.dlq`.
    fn name(&self) -> &'static str;

    /// The topics that it reads.
    fn reads(&self) -> &'static [&'static str];

    /// Loads what must be there before the first record, such as models. The stage is ready when this returns.
    async fn warm(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// What every batch calls outside the process, such as `vectors`: how many batches do so at the same time then
    /// follows how well it answers ([`crate::limiter`]), up to the stage's concurrency.
    fn dependency(&self) -> Option<&'static str> {
        None
    }

    /// Whether the end of a file, committed by this stage, means that all of the file can be found. How long that took
    /// since its discovery is then told ([`crate::metric::FILE_SEARCHABLE`]).
    fn makes_searchable(&self) -> bool {
        false
    }

    /// The codes of the reasons for which it skips records: each is counted from the start
    /// ([`crate::metric::SKIPS`]).
    fn skips(&self) -> &'static [&'static str] {
        &[]
    }

    /// Turns a batch into one outcome for each record, in the order of the batch.
    ///
    /// Records of one key are in their order, and only one batch at a time has records of that key. After a
    /// crash or a failed neighbour a record may come again: doing it again must be harmless.
    async fn process(&self, batch: Vec<Self::In>) -> Vec<Outcome>;
}

/// How one record ended.
#[derive(Debug)]
pub enum Outcome {
    /// Done; these follow from it (none is fine).
    Emit(Vec<Output>),
    /// Done, on purpose without result.
    Skip(Reason),
    /// Not done.
    Fail(Failure),
}

/// Why a record was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// One of few values, for counting: `blank`.
    pub code: &'static str,
    /// For a person.
    pub text: String,
}

impl Reason {
    /// The reason `code`, told as `text`.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// What is to be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// This record may go through when tried again: its key waits.
    Transient,
    /// What every record needs has too much to do just now: the key waits, as often as it takes, and fewer batches
    /// ask at the same time.
    Busy,
    /// Something that every record needs is down: the stage pauses.
    Unavailable,
    /// This record will never go through: dead letter now.
    Permanent,
}

impl Class {
    /// Its name in headers, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Transient => "transient",
            Class::Busy => "busy",
            Class::Unavailable => "unavailable",
            Class::Permanent => "permanent",
        }
    }

    /// The class of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Class::Transient, Class::Busy, Class::Unavailable, Class::Permanent]
            .into_iter()
            .find(|class| class.as_str() == name)
    }
}

/// Why a record was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What is to be done about it.
    pub class: Class,
    /// One of few values, for counting: `truncated`.
    pub code: &'static str,
    /// For a person: what, where, and what to do.
    pub error: String,
}

impl Failure {
    /// Try this record again.
    pub fn transient(code: &'static str, error: impl ToString) -> Self {
        Self { class: Class::Transient, code, error: error.to_string() }
    }

    /// Try this record again, and ask less at the same time.
    pub fn busy(code: &'static str, error: impl ToString) -> Self {
        Self { class: Class::Busy, code, error: error.to_string() }
    }

    /// Pause the stage until the dependency is back.
    pub fn unavailable(code: &'static str, error: impl ToString) -> Self {
        Self { class: Class::Unavailable, code, error: error.to_string() }
    }

    /// Dead letter now.
    pub fn permanent(code: &'static str, error: impl ToString) -> Self {
        Self { class: Class::Permanent, code, error: error.to_string() }
    }
}

/// Bytes that are no record of ours never will be.
impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Failure::permanent(UNDECODABLE, error)
    }
}

/// A stage made an output that its schema does not take: a fault of ours, kept with the record.
impl From<frameline_schemas::EncodeError> for Failure {
    fn from(error: frameline_schemas::EncodeError) -> Self {
        Failure::permanent("unencodable", error)
    }
}

/// A decoded record.
#[derive(Debug)]
pub struct Decoded<T> {
    /// What the stage gets.
    pub value: T,
    /// Whom it is about; without one, no progress is told.
    pub subject: Option<Subject>,
}

/// What a stage's topics carry, and how it is read from a record.
pub trait Input: Sized + Send + 'static {
    /// The schema that has to be known before it is read, where there is one.
    fn schema_id(record: &Record) -> Option<u32>;

    /// Reads it, by what is known of ids; a failure goes to the dead letters, with the bytes.
    fn decode(record: &Record, ids: &SchemaIds) -> Result<Decoded<Self>, Failure>;
}

impl<T> Input for T
where
    T: TryFrom<Message, Error = DecodeError> + Send + 'static,
{
    fn schema_id(record: &Record) -> Option<u32> {
        record.value.as_deref().and_then(schema_id)
    }

    fn decode(record: &Record, ids: &SchemaIds) -> Result<Decoded<Self>, Failure> {
        let message = Message::decode_by(ids, record.value.as_deref().unwrap_or_default())?;
        let subject = Subject::of_message(&message);
        Ok(Decoded { value: T::try_from(message)?, subject })
    }
}

/// The record as it is, for stages that look at bytes alone.
#[derive(Debug, Clone)]
pub struct Raw(pub Record);

impl Input for Raw {
    fn schema_id(_: &Record) -> Option<u32> {
        None
    }

    fn decode(record: &Record, _: &SchemaIds) -> Result<Decoded<Self>, Failure> {
        Ok(Decoded { value: Raw(record.clone()), subject: None })
    }
}

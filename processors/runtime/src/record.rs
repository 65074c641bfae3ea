//! What travels: records as they are read, outputs as they are written, positions as they are committed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use frameline_schemas::{EncodeError, encode};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.partition)
    }
}

/// The headers of a record, in their order. A name may stand more than once; the last one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, Bytes)>);

impl Headers {
    /// No headers; allocates nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one behind the others.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// Replaces all of that name by this one.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) {
        let name = name.into();
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value.into()));
    }

    /// The last value of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.as_ref())
    }

    /// The last value of that name, where it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of names and values.
    pub fn size_bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// A record as it was read; its partition is named beside it, once for many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// What orders it: records of a key leave a stage in the order they came in.
    pub key: Option<Bytes>,
    /// The bytes of the message.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
}

impl Record {
    /// The same key, value and headers, to be written to `topic`.
    pub fn onto(self, topic: impl Into<Arc<str>>) -> Output {
        Output { topic: topic.into(), key: self.key, value: self.value, headers: self.headers }
    }

    /// Bytes that it holds in memory, about.
    pub fn size_bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        length(&self.key) + length(&self.value) + self.headers.size_bytes() + size_of::<Self>()
    }
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The topic that it goes to.
    pub topic: Arc<str>,
    /// Its key, which chooses the partition: the same key, the same partition.
    pub key: Option<Bytes>,
    /// The bytes of the message.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
}

impl Output {
    /// A record of the chain, in the wire format, keyed by its file.
    pub fn of<T: frameline_schemas::Record>(topic: &str, file_id: uuid::Uuid, record: &T) -> Result<Self, EncodeError> {
        let value = encode(record)?;
        Ok(Self {
            topic: topic.into(),
            key: Some(Bytes::copy_from_slice(file_id.to_string().as_bytes())),
            value: Some(value.into()),
            headers: Headers::new(),
        })
    }

    /// Bytes that it holds in memory, about.
    pub fn size_bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        length(&self.key) + length(&self.value) + self.headers.size_bytes() + size_of::<Self>()
    }
}

/// How far a group has come in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read: everything below is finished.
    pub offset: i64,
    /// What is finished above it, as [`crate::window`] writes it; at most 4,096 bytes. Empty for nothing.
    pub metadata: String,
}

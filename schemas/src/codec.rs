//! The wire format: a zero byte, the schema's id as four bytes big-endian, the Avro body.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use uuid::Uuid;

use crate::releases::{RELEASES, Release, current};
use crate::*;

const MAGIC: u8 = 0;
const HEADER_BYTES: usize = 5;

/// A record type that has a schema file.
pub trait Record: Serialize + DeserializeOwned {
    /// The schema file's name without its ending.
    const NAME: &'static str;
}

/// Why bytes are not a record. None of these gets better by trying again.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Shorter than the five bytes in front of every record.
    #[error("{0} bytes are too few for a record: the wire format has 5 in front")]
    TooShort(usize),
    /// The first byte is not zero.
    #[error("the first byte is {0}, not the 0 of the wire format")]
    Magic(u8),
    /// No schema has this id.
    #[error("schema id {0} is unknown here")]
    UnknownSchema(u32),
    /// Another record than the reader takes.
    #[error("a {found} record, where {expected} is read")]
    Unexpected {
        /// What the bytes are.
        found: &'static str,
        /// What was asked for.
        expected: &'static str,
    },
    /// The body does not match its schema.
    #[error("the body of {record} (schema id {id}) cannot be read: {reason}")]
    Body {
        /// The record that it claims to be.
        record: &'static str,
        /// The schema id that it carries.
        id: u32,
        /// What Avro says.
        reason: String,
    },
}

/// A record cannot be written: its type does not match its schema file.
#[derive(Debug, Error)]
#[error("{record} cannot be written with its schema: {reason}")]
pub struct EncodeError {
    record: &'static str,
    reason: String,
}

/// Writes a record with the newest release of its schema.
pub fn encode<T: Record>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let fail = |reason: String| EncodeError { record: T::NAME, reason };
    let release = current(T::NAME).ok_or_else(|| fail("it has no release".to_owned()))?;
    let schema = release.schema().map_err(|reason| fail(reason.to_owned()))?;
    let mut bytes = Vec::with_capacity(256);
    bytes.push(MAGIC);
    bytes.extend_from_slice(&release.id.to_be_bytes());
    let writer =
        GenericDatumWriter::builder(schema).human_readable(true).build().map_err(|error| fail(error.to_string()))?;
    writer.write_ser(&mut bytes, value).map_err(|error| fail(error.to_string()))?;
    Ok(bytes)
}

/// Reads one record of a known type.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (release, body) = open(bytes)?;
    if release.record != T::NAME {
        return Err(DecodeError::Unexpected { found: release.record, expected: T::NAME });
    }
    body_of(release, body)
}

fn open(bytes: &[u8]) -> Result<(&'static Release, &[u8]), DecodeError> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(DecodeError::TooShort(bytes.len()));
    };
    let [magic, id @ ..] = *header;
    if magic != MAGIC {
        return Err(DecodeError::Magic(magic));
    }
    let id = u32::from_be_bytes(id);
    let release = RELEASES.iter().find(|release| release.id == id).ok_or(DecodeError::UnknownSchema(id))?;
    Ok((release, body))
}

fn body_of<T: Record>(release: &'static Release, mut body: &[u8]) -> Result<T, DecodeError> {
    let fail = |reason: String| DecodeError::Body { record: release.record, id: release.id, reason };
    let writer = release.schema().map_err(|reason| fail(reason.to_owned()))?;
    let newest = current(T::NAME).ok_or_else(|| fail("it has no release".to_owned()))?;
    let reader = if newest.id == release.id {
        GenericDatumReader::builder(writer).human_readable(true).build()
    } else {
        let schema = newest.schema().map_err(|reason| fail(reason.to_owned()))?;
        GenericDatumReader::builder(writer).reader_schema(schema).human_readable(true).build()
    };
    let record = reader
        .map_err(|error| fail(error.to_string()))?
        .read_deser(&mut body)
        .map_err(|error| fail(error.to_string()))?;
    if !body.is_empty() {
        return Err(fail(format!("{} bytes are left behind it", body.len())));
    }
    Ok(record)
}

macro_rules! messages {
    ($($record:ident $name:literal),* $(,)?) => {
        $(impl Record for $record {
            const NAME: &'static str = $name;
        })*

        /// Any record, told apart by its schema's id.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)]
        pub enum Message {
            $($record($record)),*
        }

        impl Message {
            /// Reads whatever record the bytes hold.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let (release, body) = open(bytes)?;
                match release.record {
                    $($name => body_of::<$record>(release, body).map(Message::$record),)*
                    _ => Err(DecodeError::UnknownSchema(release.id)),
                }
            }

            /// Whose it is.
            pub fn head(&self) -> &Head {
                match self {
                    $(Message::$record(record) => &record.head),*
                }
            }

            /// The record's name, as its schema file is called.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Message::$record(_) => $name),*
                }
            }
        }

        $(impl TryFrom<Message> for $record {
            type Error = DecodeError;
            fn try_from(message: Message) -> Result<Self, DecodeError> {
                match message {
                    Message::$record(record) => Ok(record),
                    other => Err(DecodeError::Unexpected { found: other.name(), expected: $name }),
                }
            }
        })*
    };
}

messages! {
    File "file",
    Frame "frame",
    Thumbnail "thumbnail",
    Unit "unit",
    Embedding "embedding",
    Manifest "manifest",
    Progress "progress",
}

impl Message {
    /// The unit that it is about, where it is about one.
    pub fn unit_id(&self) -> Option<Uuid> {
        match self {
            Message::Frame(record) => Some(record.unit_id),
            Message::Thumbnail(record) => Some(record.unit_id),
            Message::Unit(record) => Some(record.unit_id),
            Message::Embedding(record) => Some(record.unit_id),
            Message::Progress(record) => record.unit_id,
            Message::File(_) | Message::Manifest(_) => None,
        }
    }
}

/// What a topic carries that has a file's units and, behind them, its manifest.
#[derive(Debug, Clone, PartialEq)]
pub enum UnitOrEnd<T> {
    /// One of the file's units.
    Unit(T),
    /// The end of the file.
    End(Manifest),
}

impl<T: Record + TryFrom<Message, Error = DecodeError>> TryFrom<Message> for UnitOrEnd<T> {
    type Error = DecodeError;
    fn try_from(message: Message) -> Result<Self, DecodeError> {
        match message {
            Message::Manifest(manifest) => Ok(UnitOrEnd::End(manifest)),
            other => T::try_from(other).map(UnitOrEnd::Unit),
        }
    }
}

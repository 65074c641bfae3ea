//! The wire format: a zero byte, the schema's id as four bytes big-endian, the Avro body.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use uuid::Uuid;

use crate::releases::current;
use crate::wire::Writer;
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
    #[error("schema id {0} is unknown")]
    UnknownSchema(u32),
    /// The id's schema is none that ours can read.
    #[error("schema id {id} cannot be read: {reason}")]
    Unreadable {
        /// The schema id.
        id: u32,
        /// What the schema is, and what stands in the way.
        reason: String,
    },
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

/// The registry is not known to have the release that a record was made with: `frame v1`.
#[derive(Debug, Error)]
#[error("no id is known for the schema {0}")]
pub struct Unaddressed(pub String);

/// Writes a record with the newest release of its schema, under the id that the release has in the files.
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

/// Reads one record of a known type, by the ids of the files.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T, DecodeError> {
    SchemaIds::files().decode(bytes)
}

/// The id of the schema that bytes say they were written with.
pub fn schema_id(bytes: &[u8]) -> Option<u32> {
    header_of(bytes).ok().map(|(id, _)| id)
}

/// The id in front of the bytes, and the body behind it.
pub(crate) fn header_of(bytes: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(DecodeError::TooShort(bytes.len()));
    };
    let [magic, id @ ..] = *header;
    if magic != MAGIC {
        return Err(DecodeError::Magic(magic));
    }
    Ok((u32::from_be_bytes(id), body))
}

/// The same body under another id; in place, where nobody else holds the bytes.
pub(crate) fn with_id(value: Bytes, id: u32) -> Bytes {
    let mut bytes = BytesMut::from(value);
    if let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() {
        let [_, place @ ..] = header;
        *place = id.to_be_bytes();
    }
    bytes.freeze()
}

/// Reads a body by its writer's schema; by way of resolution, where that is not our newest.
pub(crate) fn read<T: Record>(writer: &Writer<'_>, mut body: &[u8]) -> Result<T, DecodeError> {
    let fail = |reason: String| DecodeError::Body { record: writer.record, id: writer.id, reason };
    let record = if writer.is_newest {
        let reader = GenericDatumReader::builder(writer.schema).human_readable(true).build();
        reader.and_then(|reader| reader.read_deser(&mut body)).map_err(|error| fail(error.to_string()))?
    } else {
        resolve(writer, &mut body).map_err(fail)?
    };
    if !body.is_empty() {
        return Err(fail(format!("{} bytes are left behind it", body.len())));
    }
    Ok(record)
}

/// The reader that deserializes does not resolve: what it was written with becomes a value first.
fn resolve<T: Record>(writer: &Writer<'_>, body: &mut &[u8]) -> Result<T, String> {
    let newest = current(T::NAME).ok_or("it has no release")?;
    let reader = GenericDatumReader::builder(writer.schema).reader_schema(newest.schema()?).build();
    let value = reader.and_then(|reader| reader.read_value(body)).map_err(|error| error.to_string())?;
    apache_avro::from_value(&value).map_err(|error| error.to_string())
}

macro_rules! messages {
    ($($record:ident $name:literal),* $(,)?) => {
        $(impl Record for $record {
            const NAME: &'static str = $name;
        })*

        /// Any record, told apart by its schema's id.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        #[allow(missing_docs)]
        pub enum Message {
            $($record($record)),*
        }

        impl Message {
            /// Reads whatever record the bytes hold, by the ids of the files.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                Self::decode_by(SchemaIds::files(), bytes)
            }

            /// Reads whatever record the bytes hold, by these ids.
            pub fn decode_by(ids: &SchemaIds, bytes: &[u8]) -> Result<Self, DecodeError> {
                let (writer, body) = ids.open(bytes)?;
                match writer.record {
                    $($name => read::<$record>(&writer, body).map(Message::$record),)*
                    _ => Err(DecodeError::UnknownSchema(writer.id)),
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

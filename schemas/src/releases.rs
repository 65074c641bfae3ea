//! Every version of every schema that was ever released, and the ids they have on the wire.
//!
//! To change a record: edit its `.avsc`, copy it to `released/NAME.vN.avsc`, add a line below with the next
//! free id. The tests refuse a change that some released version cannot be read with.

use std::fmt;
use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

/// One released version of a record's schema.
#[derive(Debug)]
pub struct Release {
    /// Its id on the wire; never given to another.
    pub id: u32,
    /// The record, as its file is called: `frame`.
    pub record: &'static str,
    /// Counts the versions of this record, from 1.
    pub version: u32,
    /// The schema file's text.
    pub text: &'static str,
    parsed: LazyLock<Result<Schema, String>>,
}

macro_rules! releases {
    ($($id:literal $record:literal $version:literal),* $(,)?) => {
        /// Every release, in the order of ids.
        pub static RELEASES: [Release; [$($id),*].len()] = [$(Release {
            id: $id,
            record: $record,
            version: $version,
            text: include_str!(concat!("../released/", $record, ".v", $version, ".avsc")),
            parsed: LazyLock::new(|| parse(include_str!(concat!("../released/", $record, ".v", $version, ".avsc")))),
        }),*];
    };
}

releases! {
    1 "file" 1,
    2 "frame" 1,
    3 "thumbnail" 1,
    4 "unit" 1,
    5 "embedding" 1,
    6 "manifest" 1,
    7 "progress" 1,
    8 "progress" 2,
}

pub(crate) fn parse(text: &str) -> Result<Schema, String> {
    Schema::parse_str(text).map_err(|error| error.to_string())
}

impl Release {
    /// The parsed schema, or what is wrong with the file.
    pub fn schema(&self) -> Result<&Schema, &str> {
        self.parsed.as_ref().map_err(String::as_str)
    }

    /// The name under which a registry keeps its record's versions: the full name of the record, as a topic
    /// carries more than one.
    pub fn subject(&self) -> String {
        subject_of(self.record)
    }

    /// Whether its record has no later release.
    pub(crate) fn is_newest(&self) -> bool {
        !RELEASES.iter().any(|other| other.record == self.record && other.version > self.version)
    }

    /// Whether the schema is this release, however its text is laid out.
    pub(crate) fn is(&self, schema: &Schema) -> bool {
        let written = |schema: &Schema| serde_json::to_value(schema).ok();
        self.schema().is_ok_and(|ours| written(ours).is_some() && written(ours) == written(schema))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} v{}", self.record, self.version)
    }
}

/// The subject of a record: `frame` is `frameline.Frame`.
fn subject_of(record: &str) -> String {
    let named = current(record).and_then(|release| release.schema().ok()).and_then(Schema::name);
    named.map_or_else(|| record.to_owned(), ToString::to_string)
}

/// The record of ours that a schema is a version of, by its name.
pub(crate) fn record_of(schema: &Schema) -> Option<&'static str> {
    let name = schema.name()?.to_string();
    RELEASES.iter().map(|release| release.record).find(|record| subject_of(record) == name)
}

/// The newest release of `record`: what is written.
pub fn current(record: &str) -> Option<&'static Release> {
    RELEASES.iter().filter(|release| release.record == record).max_by_key(|release| release.version)
}

/// Why no record written with `writer` can be read with `reader`; nothing when some, or all, can.
pub(crate) fn unreadable(writer: &Schema, reader: &Schema) -> Option<String> {
    SchemaCompatibility::can_read(writer, reader).err().map(|error| error.to_string())
}

/// Why records written with `writer` cannot all be read with `reader`, naming the field and the reason;
/// nothing when they can.
pub fn incompatibility(writer: &Schema, reader: &Schema) -> Option<String> {
    match SchemaCompatibility::can_read(writer, reader) {
        Ok(Compatibility::Full) => None,
        Ok(Compatibility::Partial) => {
            Some("some values that the writer may write have no place in the reader".to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}

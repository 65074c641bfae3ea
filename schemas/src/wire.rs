//! Which schema an id on the wire stands for, and which id a record is written under.
//!
//! Without a registry the ids are those of [`RELEASES`]. With one they are the registry's: records are still made
//! under the files' ids, and get the registry's on their way out ([`SchemaIds::address`]). What the registry said
//! is told to this table, which asks nobody. It only grows, and is read without a lock: a list whose end is set
//! once. A process meets a handful of ids, so walking it costs less than hashing.

use std::sync::OnceLock;

use apache_avro::Schema;
use bytes::Bytes;

use crate::codec::{DecodeError, Message, Record, Unaddressed, header_of, read, with_id};
use crate::releases::{RELEASES, Release, current, parse, record_of, unreadable};

/// What ids on the wire stand for.
#[derive(Debug)]
pub struct SchemaIds {
    are_of_files: bool,
    learned: OnceLock<Box<Learned>>,
}

/// An id that the registry gave, and those that were learned after it.
#[derive(Debug)]
struct Learned {
    id: u32,
    meaning: Meaning,
    next: OnceLock<Box<Learned>>,
}

#[derive(Debug)]
enum Meaning {
    /// One of our releases.
    Ours(&'static Release),
    /// A schema of a record of ours that is no release: it is read by Avro's schema resolution.
    Other { record: &'static str, schema: Schema },
    /// A schema that ours cannot read, and why not.
    Unreadable(String),
}

/// A schema that a record was written with.
pub(crate) struct Writer<'a> {
    pub(crate) id: u32,
    pub(crate) record: &'static str,
    pub(crate) schema: &'a Schema,
    /// What is read without resolution: the newest of our releases.
    pub(crate) is_newest: bool,
}

static OF_FILES: SchemaIds = SchemaIds::of_files();

impl SchemaIds {
    /// The ids of [`RELEASES`], and no others.
    pub const fn of_files() -> Self {
        Self { are_of_files: true, learned: OnceLock::new() }
    }

    /// The ids of a registry; none is known yet.
    pub const fn of_registry() -> Self {
        Self { are_of_files: false, learned: OnceLock::new() }
    }

    /// [`Self::of_files`], shared by all.
    pub(crate) fn files() -> &'static Self {
        &OF_FILES
    }

    /// Whether it is known what the id stands for.
    pub fn knows(&self, id: u32) -> bool {
        if self.are_of_files { release_of(id).is_some() } else { self.find(id).is_some() }
    }

    /// The newest releases that no id is known for: records cannot be written with them.
    pub fn missing(&self) -> impl Iterator<Item = &'static Release> {
        RELEASES.iter().filter(|release| release.is_newest() && self.id_of(release).is_none())
    }

    /// The registry has this release of ours under this id.
    pub fn learn_release(&self, id: u32, release: &'static Release) {
        self.add(id, Meaning::Ours(release));
    }

    /// The registry has this schema under this id.
    pub fn learn(&self, id: u32, text: &str) {
        self.add(id, meaning_of(text));
    }

    /// Gives bytes that [`crate::encode`] made the id that they have on the wire. Bytes that begin with the id of
    /// no release are nobody's record, and stay as they are.
    pub fn address(&self, value: Bytes) -> Result<Bytes, Unaddressed> {
        if self.are_of_files {
            return Ok(value);
        }
        let Some(release) = header_of(&value).ok().and_then(|(id, _)| release_of(id)) else { return Ok(value) };
        match self.id_of(release) {
            Some(id) => Ok(with_id(value, id)),
            None => Err(Unaddressed(release.to_string())),
        }
    }

    /// The schema that the bytes were written with, and their body.
    pub(crate) fn open<'a, 'b>(&'a self, bytes: &'b [u8]) -> Result<(Writer<'a>, &'b [u8]), DecodeError> {
        let (id, body) = header_of(bytes)?;
        let of_release = |release: &'static Release| {
            let schema =
                release.schema().map_err(|reason| DecodeError::Unreadable { id, reason: reason.to_owned() })?;
            Ok(Writer { id, record: release.record, schema, is_newest: release.is_newest() })
        };
        let writer = if self.are_of_files {
            of_release(release_of(id).ok_or(DecodeError::UnknownSchema(id))?)?
        } else {
            match &self.find(id).ok_or(DecodeError::UnknownSchema(id))?.meaning {
                Meaning::Ours(release) => of_release(release)?,
                Meaning::Other { record, schema } => Writer { id, record, schema, is_newest: false },
                Meaning::Unreadable(reason) => return Err(DecodeError::Unreadable { id, reason: reason.clone() }),
            }
        };
        Ok((writer, body))
    }

    /// Reads one record of a known type.
    pub fn decode<T: Record>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let (writer, body) = self.open(bytes)?;
        if writer.record != T::NAME {
            return Err(DecodeError::Unexpected { found: writer.record, expected: T::NAME });
        }
        read(&writer, body)
    }

    /// Whether bytes are one of these records.
    pub fn reads(&self, bytes: &[u8], records: &[String]) -> bool {
        Message::decode_by(self, bytes).is_ok_and(|found| records.iter().any(|record| record == found.name()))
    }

    /// The id of bytes that are one of these records, and are not so by this table: whoever wrote them had other ids.
    pub fn foreign(&self, bytes: &[u8], records: &[String]) -> Option<u32> {
        let (id, _) = header_of(bytes).ok()?;
        let under = |release: &Release| with_id(Bytes::copy_from_slice(bytes), release.id);
        let mut releases = RELEASES.iter().filter(|release| records.iter().any(|record| record == release.record));
        let is_one = !self.reads(bytes, records) && releases.any(|release| OF_FILES.reads(&under(release), records));
        is_one.then_some(id)
    }

    fn id_of(&self, release: &Release) -> Option<u32> {
        if self.are_of_files {
            return Some(release.id);
        }
        let of_release = |learned: &&Learned| matches!(&learned.meaning, Meaning::Ours(ours) if ours.id == release.id);
        self.all().find(of_release).map(|learned| learned.id)
    }

    fn find(&self, id: u32) -> Option<&Learned> {
        self.all().find(|learned| learned.id == id)
    }

    fn all(&self) -> impl Iterator<Item = &Learned> {
        std::iter::successors(self.learned.get(), |learned| learned.next.get()).map(|learned| &**learned)
    }

    /// Adds what is not known yet. Ids never change what they stand for, so the first word holds.
    fn add(&self, id: u32, meaning: Meaning) {
        let mut fresh = Box::new(Learned { id, meaning, next: OnceLock::new() });
        let mut end = &self.learned;
        loop {
            match end.get() {
                Some(known) if known.id == id => return,
                Some(known) => end = &known.next,
                // Somebody else may have been quicker: then it goes behind theirs.
                None => match end.set(fresh) {
                    Ok(()) => return,
                    Err(returned) => fresh = returned,
                },
            }
        }
    }
}

fn release_of(id: u32) -> Option<&'static Release> {
    RELEASES.iter().find(|release| release.id == id)
}

fn meaning_of(text: &str) -> Meaning {
    let schema = match parse(text) {
        Ok(schema) => schema,
        Err(reason) => return Meaning::Unreadable(format!("it is no Avro schema: {reason}")),
    };
    let Some(record) = record_of(&schema) else {
        let name = schema.name().map_or_else(|| "no record".to_owned(), |name| name.to_string());
        return Meaning::Unreadable(format!("it is {name}, which is no record of the chain"));
    };
    if let Some(ours) = RELEASES.iter().find(|release| release.record == record && release.is(&schema)) {
        return Meaning::Ours(ours);
    }
    let newest = match current(record).map(Release::schema) {
        Some(Ok(newest)) => newest,
        Some(Err(reason)) => return Meaning::Unreadable(reason.to_owned()),
        None => return Meaning::Unreadable(format!("{record} has no release")),
    };
    match unreadable(&schema, newest) {
        None => Meaning::Other { record, schema },
        Some(reason) => Meaning::Unreadable(format!("it is another {record} than this version can read: {reason}")),
    }
}

#[cfg(test)]
mod tests;

//! What a registry has of a record, held against the record's releases. Pure: the caller asks the registry.
//!
//! The rule is the one that a registry calls `FULL_TRANSITIVE`: every version can be read with every other. It is
//! checked here, too: not every registry takes it, and here a refusal names the field.

use apache_avro::Schema;

use crate::releases::{RELEASES, Release, current, incompatibility, parse, unreadable};

/// A version that a registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The registry's number of the version, within its subject.
    pub version: u32,
    /// Its id on the wire.
    pub id: u32,
    /// The schema.
    pub text: String,
}

/// How far a record's releases are in a registry.
#[derive(Debug)]
pub struct Standing {
    /// The record, as its file is called.
    pub record: &'static str,
    /// The registry's name for it.
    pub subject: String,
    /// Each release, from the first.
    pub releases: Vec<Found>,
    /// What the registry has beside them.
    pub others: Vec<Other>,
}

/// A release in the registry, or not.
#[derive(Debug)]
pub struct Found {
    /// The release.
    pub release: &'static Release,
    /// What the registry has of it.
    pub state: State,
}

/// What a registry has of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The same schema.
    Registered {
        /// The registry's number of the version.
        version: u32,
        /// Its id on the wire.
        id: u32,
    },
    /// It is not there, and may be registered.
    Missing,
    /// It is not there, and not needed: a later release is.
    Past,
    /// It is not there, and some version that is cannot go with it.
    Refused {
        /// Which one, and why.
        reason: String,
    },
}

/// A version that is no release of ours: of a later Frameline, or of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// The registry's number of the version.
    pub version: u32,
    /// Its id on the wire.
    pub id: u32,
    /// Why its records cannot be read here; nothing when they can.
    pub unreadable: Option<String>,
}

/// A registered version, parsed.
struct Theirs<'a> {
    registered: &'a Registered,
    schema: Result<Schema, String>,
}

impl Standing {
    /// The records that have releases, each once.
    pub fn records() -> impl Iterator<Item = &'static str> {
        RELEASES.iter().filter(|release| release.version == 1).map(|release| release.record)
    }

    /// The subject of a record.
    pub fn subject(record: &str) -> String {
        current(record).map_or_else(|| record.to_owned(), Release::subject)
    }

    /// Holds what a registry has under the record's subject against its releases.
    pub fn of(record: &'static str, registered: &[Registered]) -> Self {
        let theirs: Vec<Theirs<'_>> =
            registered.iter().map(|registered| Theirs { registered, schema: parse(&registered.text) }).collect();
        let ours: Vec<&'static Release> = RELEASES.iter().filter(|release| release.record == record).collect();
        let newest_there = ours.iter().filter(|release| find(release, &theirs).is_some()).map(|r| r.version).max();
        let releases = ours.iter().map(|release| {
            let state = match find(release, &theirs) {
                Some(same) => State::Registered { version: same.version, id: same.id },
                None if newest_there.is_some_and(|newest| newest > release.version) => State::Past,
                None => match conflict(release, &theirs) {
                    Some(reason) => State::Refused { reason },
                    None => State::Missing,
                },
            };
            Found { release, state }
        });
        let releases = releases.collect();
        let is_ours = |theirs: &&Theirs<'_>| {
            theirs.schema.as_ref().is_ok_and(|schema| ours.iter().any(|release| release.is(schema)))
        };
        let others = theirs.iter().filter(|theirs| !is_ours(theirs)).map(|theirs| theirs.as_other(record)).collect();
        Self { record, subject: Self::subject(record), releases, others }
    }
}

impl Theirs<'_> {
    fn as_other(&self, record: &str) -> Other {
        let newest = current(record).map(Release::schema);
        let unreadable = match (&self.schema, newest) {
            (Ok(schema), Some(Ok(newest))) => unreadable(schema, newest),
            (Err(reason), _) => Some(reason.clone()),
            (Ok(_), Some(Err(reason))) => Some(reason.to_owned()),
            (Ok(_), None) => Some(format!("{record} has no release")),
        };
        Other { version: self.registered.version, id: self.registered.id, unreadable }
    }
}

fn find<'a>(release: &Release, theirs: &[Theirs<'a>]) -> Option<&'a Registered> {
    let same = theirs.iter().find(|theirs| theirs.schema.as_ref().is_ok_and(|schema| release.is(schema)));
    same.map(|same| same.registered)
}

/// The first version that does not go with the release, and why not.
fn conflict(release: &Release, theirs: &[Theirs<'_>]) -> Option<String> {
    let ours = match release.schema() {
        Ok(ours) => ours,
        Err(reason) => return Some(reason.to_owned()),
    };
    theirs.iter().find_map(|Theirs { registered, schema }| {
        let version = registered.version;
        match schema {
            Err(reason) => Some(format!("version {version} there is no Avro schema: {reason}")),
            Ok(theirs) => incompatibility(theirs, ours)
                .map(|reason| format!("it cannot read what version {version} there wrote: {reason}"))
                .or_else(|| {
                    incompatibility(ours, theirs)
                        .map(|reason| format!("version {version} there cannot read what it writes: {reason}"))
                }),
        }
    })
}

#[cfg(test)]
mod tests;

//! Which dead letters are meant, what becomes of each, and how they are told of together. No I/O, no clock.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use uuid::Uuid;

use super::letter::{Letter, Place};
use crate::stage::Class;

/// Which letters are meant: those that all of it fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this file.
    pub file: Option<Uuid>,
    /// Of this job.
    pub job: Option<Uuid>,
    /// With a failure of this class.
    pub class: Option<Class>,
    /// With this in code or error, in upper or lower case.
    pub error: Option<String>,
    /// Given up from then on, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Given up before then, in milliseconds since 1970.
    pub until_ms: Option<i64>,
}

impl Filter {
    /// Whether the letter is meant.
    pub fn fits(&self, letter: &Letter) -> bool {
        let head = letter.subject.as_ref().map(|subject| &subject.head);
        let told = format!("{}: {}", letter.code, letter.error).to_lowercase();
        self.file.is_none_or(|file| head.is_some_and(|head| head.file_id == file))
            && self.job.is_none_or(|job| head.is_some_and(|head| head.job_id == job))
            && self.class.is_none_or(|class| letter.class == class)
            && self.error.as_ref().is_none_or(|text| told.contains(&text.to_lowercase()))
            && self.since_ms.is_none_or(|since| letter.at_ms >= since)
            && self.until_ms.is_none_or(|until| letter.at_ms < until)
    }
}

/// What becomes of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is put back.
    Redrive,
    /// It was put back before.
    Redriven,
    /// A newer revision of its file has taken its place.
    Superseded {
        /// The newest.
        by: i64,
    },
    /// It has failed after as many redrives as are allowed.
    Exhausted {
        /// How many those were.
        redrives: u32,
    },
    /// The stage does not read its topic any more.
    Unread {
        /// The topic.
        topic: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Redrive => formatter.write_str("to be redriven"),
            Verdict::Redriven => formatter.write_str("was redriven before"),
            Verdict::Superseded { by } => write!(formatter, "revision {by} of its file has taken its place"),
            Verdict::Exhausted { redrives } => write!(formatter, "failed again, redrives: {redrives}"),
            Verdict::Unread { topic } => write!(formatter, "the stage does not read {topic}"),
        }
    }
}

/// What decides on letters.
#[derive(Debug)]
pub struct Rules<'a> {
    /// The topics that the stage reads.
    pub reads: &'a [&'a str],
    /// The letters that were put back before.
    pub redriven: &'a HashSet<Place>,
    /// So often a letter may be put back.
    pub most_redrives: u32,
}

impl Rules<'_> {
    /// What becomes of the letter, where its file is known in this newest revision.
    pub fn judge(&self, letter: &Letter, newest_revision: Option<i64>) -> Verdict {
        if self.redriven.contains(&letter.place) {
            return Verdict::Redriven;
        }
        if !self.reads.contains(&letter.topic.as_str()) {
            return Verdict::Unread { topic: letter.topic.clone() };
        }
        match newest_revision {
            Some(by) if letter.is_superseded_by(by) => Verdict::Superseded { by },
            _ if letter.redrives >= self.most_redrives => Verdict::Exhausted { redrives: letter.redrives },
            _ => Verdict::Redrive,
        }
    }
}

/// Letters of one class and about the same error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub letters: u64,
    /// When the first was given up, in milliseconds since 1970.
    pub first_at_ms: i64,
    /// When the last was, in milliseconds since 1970.
    pub last_at_ms: i64,
    /// The most that one of them had been put back.
    pub most_redrives: u32,
    /// The last one.
    pub last: Place,
    /// What the last one says.
    pub example: String,
}

/// Dead letters, grouped by class, code and error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(BTreeMap<(&'static str, String, String), Group>);

impl Groups {
    /// Counts a letter in.
    pub fn add(&mut self, letter: &Letter) {
        let key = (letter.class.as_str(), letter.code.clone(), kind_of(&letter.error));
        let group = self.0.entry(key).or_insert_with(|| Group {
            letters: 0,
            first_at_ms: letter.at_ms,
            last_at_ms: letter.at_ms,
            most_redrives: 0,
            last: letter.place,
            example: letter.error.clone(),
        });
        group.letters += 1;
        group.first_at_ms = group.first_at_ms.min(letter.at_ms);
        group.most_redrives = group.most_redrives.max(letter.redrives);
        if (letter.at_ms, letter.place) >= (group.last_at_ms, group.last) {
            (group.last_at_ms, group.last) = (letter.at_ms, letter.place);
            group.example.clone_from(&letter.error);
        }
    }

    /// The groups with their class, code and error, the largest first.
    pub fn largest_first(&self) -> Vec<(&'static str, &str, &str, &Group)> {
        let mut groups: Vec<_> =
            self.0.iter().map(|((class, code, error), group)| (*class, code.as_str(), error.as_str(), group)).collect();
        groups.sort_by_key(|(.., group)| std::cmp::Reverse(group.letters));
        groups
    }
}

/// The error without what differs from file to file: words with a digit or a slash in them.
fn kind_of(error: &str) -> String {
    let is_own = |word: &str| word.contains(|letter: char| letter.is_ascii_digit() || matches!(letter, '/' | '\\'));
    let mut words: Vec<&str> = Vec::new();
    for word in error.split_whitespace() {
        let word = if is_own(word) { "…" } else { word };
        if word != "…" || words.last() != Some(&word) {
            words.push(word);
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests;

//! Reading `topics.yaml`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

/// All topics, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// The topics, in the order of their names.
    pub topics: BTreeMap<String, Topic>,
}

/// One topic as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// What orders its records; `None` where nothing does.
    pub key: Option<String>,
    /// The records that it carries.
    pub schemas: Vec<String>,
    /// How many partitions.
    pub partitions: i32,
    /// How long records are kept; `None` for ever.
    pub retention: Option<Duration>,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// The largest record, in bytes.
    pub largest_message_bytes: usize,
}

/// What happens to old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cleanup {
    /// They go when they are older than the retention.
    Delete,
    /// The newest of each key stays.
    Compact,
}

/// What is wrong with a catalogue.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// It is no YAML of the expected shape.
    #[error("topics.yaml: {0}")]
    Syntax(#[from] serde_yaml_ng::Error),
    /// A value of a topic makes no sense.
    #[error("topics.yaml: {topic}: {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    defaults: Defaults,
    topics: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    partitions: i32,
    retention: String,
    cleanup: Cleanup,
    largest: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    schemas: Vec<String>,
    partitions: Option<i32>,
    retention: Option<String>,
    cleanup: Option<Cleanup>,
    largest: Option<usize>,
}

impl Catalogue {
    /// The catalogue that ships with the product.
    pub fn shipped() -> Result<Self, CatalogueError> {
        Self::parse(include_str!("../topics.yaml"))
    }

    /// Reads a catalogue, and refuses what contradicts itself.
    pub fn parse(yaml: &str) -> Result<Self, CatalogueError> {
        let document: Document = serde_yaml_ng::from_str(yaml)?;
        let mut topics = BTreeMap::new();
        for (name, entry) in document.topics {
            let topic = topic_of(entry, &document.defaults)
                .map_err(|reason| CatalogueError::Topic { topic: name.clone(), reason })?;
            topics.insert(name, topic);
        }
        Ok(Self { topics })
    }
}

fn topic_of(entry: Entry, defaults: &Defaults) -> Result<Topic, String> {
    let topic = Topic {
        key: (entry.key != "none").then_some(entry.key),
        schemas: entry.schemas,
        partitions: entry.partitions.unwrap_or(defaults.partitions),
        retention: retention_of(entry.retention.as_ref().unwrap_or(&defaults.retention))?,
        cleanup: entry.cleanup.unwrap_or(defaults.cleanup),
        largest_message_bytes: entry.largest.unwrap_or(defaults.largest),
    };
    if topic.partitions < 1 {
        return Err(format!("partitions is {}, and must be 1 or more", topic.partitions));
    }
    if topic.schemas.is_empty() {
        return Err("schemas is empty: name the records, or `raw`".to_owned());
    }
    if topic.cleanup == Cleanup::Compact && topic.key.is_none() {
        return Err("cleanup is compact and key is none: compaction needs a key".to_owned());
    }
    Ok(topic)
}

fn retention_of(text: &str) -> Result<Option<Duration>, String> {
    if text == "forever" {
        return Ok(None);
    }
    let wrong = || format!("retention `{text}` is neither `forever` nor a number of hours or days: 12h, 7d");
    let hours = match (text.strip_suffix('h'), text.strip_suffix('d')) {
        (Some(hours), _) => hours.parse::<u64>().map_err(|_| wrong())?,
        (_, Some(days)) => days.parse::<u64>().map_err(|_| wrong())?.saturating_mul(24),
        _ => return Err(wrong()),
    };
    Ok(Some(Duration::from_secs(hours.saturating_mul(3_600))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_catalogue_names_every_topic_of_the_chain() {
        let catalogue = Catalogue::shipped().unwrap();
        for name in [crate::FILES, crate::FRAMES, crate::THUMBNAILS, crate::UNITS, crate::EMBEDDINGS, crate::PROGRESS] {
            assert_eq!(catalogue.topics[name].key.as_deref(), Some("file_id"), "{name}");
        }
        assert_eq!(catalogue.topics["index.dlq"].retention, Some(Duration::from_secs(30 * 86_400)));
    }

    fn refusal(topic: &str) -> String {
        let yaml =
            format!("defaults: {{partitions: 1, retention: 7d, cleanup: delete, largest: 1}}\ntopics:\n  t: {topic}\n");
        Catalogue::parse(&yaml).unwrap_err().to_string()
    }

    #[test]
    fn contradictions_are_refused_with_the_topic_and_the_reason() {
        assert!(
            refusal("{key: none, schemas: [file], cleanup: compact}").contains("t: cleanup is compact and key is none")
        );
        assert!(refusal("{key: k, schemas: [file], partitions: 0}").contains("t: partitions is 0"));
        assert!(refusal("{key: k, schemas: [file], retention: soon}").contains("retention `soon`"));
        assert!(refusal("{key: k, schemas: [file], retain: 7d}").contains("unknown field `retain`"));
    }
}

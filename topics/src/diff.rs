//! What stands between the catalogue and a log.

use std::collections::BTreeMap;

use crate::catalogue::Catalogue;

/// One difference between the catalogue and a log, and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The topic is missing: it can be created.
    Create {
        /// The topic.
        topic: String,
        /// With how many partitions.
        partitions: i32,
    },
    /// The log has another number of partitions, and it stays so.
    Refuse {
        /// The topic.
        topic: String,
        /// How many partitions it has.
        has: i32,
        /// How many the catalogue wants.
        wants: i32,
        /// Why it is not done, and what to do instead.
        reason: String,
    },
}

/// Compares the catalogue with the topics that exist, given as name and number of partitions.
pub fn diff(catalogue: &Catalogue, existing: &BTreeMap<String, i32>) -> Vec<Change> {
    let change = |(name, topic): (&String, &crate::Topic)| match existing.get(name) {
        None => Some(Change::Create { topic: name.clone(), partitions: topic.partitions }),
        Some(&has) if has == topic.partitions => None,
        Some(&has) => {
            let reason = refusal(topic.key.as_deref(), has, topic.partitions);
            Some(Change::Refuse { topic: name.clone(), has, wants: topic.partitions, reason })
        }
    };
    catalogue.topics.iter().filter_map(change).collect()
}

fn refusal(key: Option<&str>, has: i32, wants: i32) -> String {
    if wants < has {
        return "partitions cannot be taken away without losing their records; \
                create a topic of another name and move the readers once the old one is empty"
            .to_owned();
    }
    match key {
        Some(key) => format!(
            "it is keyed by {key}: with more partitions the same key would go to another one and overtake its own \
             records; drain the topic, then create it anew with {wants} partitions"
        ),
        None => format!("add them with Kafka's own tool: kafka-topics.sh --alter --partitions {wants}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let yaml = "defaults: {partitions: 4, retention: 7d, cleanup: delete, largest: 1}\n\
                    topics:\n  keyed: {key: file_id, schemas: [file]}\n  loose: {key: none, schemas: [raw]}\n";
        Catalogue::parse(yaml).unwrap()
    }

    fn existing(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
        topics.iter().map(|(name, partitions)| ((*name).to_owned(), *partitions)).collect()
    }

    #[test]
    fn what_is_missing_is_created_and_what_is_equal_is_left() {
        let changes = diff(&catalogue(), &existing(&[("loose", 4)]));
        assert_eq!(changes, [Change::Create { topic: "keyed".to_owned(), partitions: 4 }]);
    }

    #[test]
    fn a_keyed_topic_is_never_shrunk_or_repartitioned() {
        for (has, word) in [(8, "losing their records"), (2, "overtake its own records")] {
            let changes = diff(&catalogue(), &existing(&[("keyed", has), ("loose", 4)]));
            let [Change::Refuse { reason, .. }] = changes.as_slice() else { panic!("{changes:?}") };
            assert!(reason.contains(word), "{reason}");
        }
    }
}

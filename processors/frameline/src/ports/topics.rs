//! The topics of the log in use, held against the ones that are needed.

use anyhow::{Context, Result};
use frameline_runtime::log::{Log, NewTopic};
use frameline_topics::{Catalogue, Change, Cleanup, Topic, diff};

/// What stands between the shipped catalogue and this log.
pub(crate) async fn changes(log: &dyn Log) -> Result<Vec<Change>> {
    let existing = log.topics().await.context("the topics cannot be listed")?;
    let existing = existing.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    Ok(diff(&Catalogue::shipped()?, &existing))
}

/// What has to be done to the topic that keeps on record what operators do, and all the rest.
pub(crate) fn audit_first(changes: Vec<Change>) -> (Vec<Change>, Vec<Change>) {
    changes.into_iter().partition(|change| match change {
        Change::Create { topic, .. } | Change::Refuse { topic, .. } => topic == frameline_topics::AUDIT,
    })
}

/// Creates what is missing; what is refused stays as it is.
pub(crate) async fn create(log: &dyn Log, changes: &[Change], replication: i32) -> Result<()> {
    let catalogue = Catalogue::shipped()?;
    for change in changes {
        let Change::Create { topic: name, .. } = change else { continue };
        let Some(topic) = catalogue.topics.get(name) else { continue };
        log.create_topic(&new_topic(name, topic, replication))
            .await
            .with_context(|| format!("the topic {name} cannot be created"))?;
    }
    Ok(())
}

fn new_topic(name: &str, topic: &Topic, replication: i32) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: topic.partitions,
        replication,
        retention: topic.retention,
        compacted: topic.cleanup == Cleanup::Compact,
        largest_message_bytes: topic.largest_message_bytes,
    }
}

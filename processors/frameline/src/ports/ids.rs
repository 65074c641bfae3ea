//! Whether the log is under the ids of this configuration.
//!
//! An id is one schema in the files and another in a registry. So a registry that is switched on over a log with
//! records in it, or off again, would have them read as what they are not.
//!
//! A note of it in the data directory would say so of one machine, and the log is of many. But the log says it itself:
//! a record whose body is what its topic carries, and whose id says that it is not, was written under other ids. The
//! newest records are looked at, as many as cost nothing; older ones are like them, since whoever wrote the newest was
//! looked at in the same way. A single one may be anybody's, and is a dead letter in its time: what is refused is a
//! topic of which not one is under our ids.
//!
//! It is looked at before the ids are known to anybody, so a registry that is down at the start makes no difference:
//! once it answers, either the ids are those of the log, or no record is read or written.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use frameline_registry::Registry;
use frameline_runtime::log::{Log, LogError};
use frameline_runtime::wire::{SchemaSource, Wire, WireError};
use frameline_schemas::{Release, schema_id};
use frameline_topics::Catalogue;

use crate::error::Refusal;

/// What to do about a log that is under other ids.
pub(super) const HELP: &str = "a log keeps the ids that it began with: set schemas.registry to what it was then, or \
                               leave it empty where it was; or begin with a log that is empty";

/// So many of the last offsets of each partition are looked at: on Kafka some of them are markers.
const LAST_OFFSETS: i64 = 8;
/// What topics carry that are not of the chain.
const RAW: &str = "raw";

/// A registry that gives its ids for this log only.
pub(super) struct OfLog {
    pub(super) registry: Arc<Registry>,
    pub(super) url: String,
    pub(super) log: Arc<dyn Log>,
}

#[async_trait]
impl SchemaSource for OfLog {
    async fn releases(&self) -> Result<Vec<(u32, &'static Release)>, WireError> {
        let wire = Wire::of(Arc::clone(&self.registry) as Arc<dyn SchemaSource>);
        match foreign(self.log.as_ref(), &wire, &self.url).await? {
            None => self.registry.releases().await,
            Some(what) => Err(WireError::Foreign(what)),
        }
    }

    async fn schema(&self, id: u32) -> Result<Option<String>, WireError> {
        self.registry.schema(id).await
    }
}

/// Refuses a log that is not under the ids of the files.
pub(super) async fn refuse_others(log: &dyn Log, wire: &Wire) -> Result<()> {
    match foreign(log, wire, "this version's own files").await? {
        None => Ok(()),
        Some(what) => Err(Refusal::new(what, HELP).into()),
    }
}

/// What is under other ids, in words; `source` is what ours are from.
async fn foreign(log: &dyn Log, wire: &Wire, source: &str) -> Result<Option<String>, WireError> {
    let catalogue = Catalogue::shipped().map_err(|error| WireError::Unavailable(error.to_string()))?;
    let newest = newest(log, &catalogue).await.map_err(|error| WireError::Unavailable(error.to_string()))?;
    for (topic, values) in newest {
        let Some(records) = catalogue.topics.get(&topic).map(|topic| &topic.schemas) else { continue };
        wire.learn(values.iter().filter_map(|value| schema_id(value))).await?;
        if values.iter().any(|value| wire.ids().reads(value, records)) {
            continue;
        }
        if let Some(id) = values.iter().find_map(|value| wire.ids().foreign(value, records)) {
            return Ok(Some(format!(
                "the log is not under the schema ids of {source}: the topic {topic} has a {} under id {id}",
                records.join(" or ")
            )));
        }
    }
    Ok(None)
}

/// The newest values of each topic of the chain.
async fn newest(log: &dyn Log, catalogue: &Catalogue) -> Result<BTreeMap<String, Vec<Bytes>>, LogError> {
    let is_of_chain = |schemas: &[String]| schemas.iter().all(|schema| schema != RAW);
    let topics = catalogue.topics.iter().filter(|(_, topic)| is_of_chain(&topic.schemas));
    let topics: Vec<String> = topics.map(|(name, _)| name.clone()).collect();
    let mut spans = log.readable(&topics).await?;
    spans.iter_mut().for_each(|span| span.from = span.from.max(span.to - LAST_OFFSETS));
    spans.retain(|span| span.from < span.to);
    let mut values: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
    if spans.is_empty() {
        return Ok(values);
    }
    let mut scan = log.scan(spans).await?;
    while let Some(run) = scan.next().await? {
        let found = run.records.into_iter().filter_map(|record| record.value);
        values.entry(run.partition.topic.to_string()).or_default().extend(found);
    }
    Ok(values)
}

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

use std::collections::BTreeMap;

use anyhow::Result;
use bytes::Bytes;
use frameline_runtime::log::{Log, scan};
use frameline_runtime::wire::Wire;
use frameline_schemas::schema_id;
use frameline_topics::Catalogue;

use crate::error::Refusal;

/// So many of the last offsets of each partition are looked at: on Kafka some of them are markers.
const LAST_OFFSETS: i64 = 8;
/// What topics carry that are not of the chain.
const RAW: &str = "raw";

/// Refuses a log under other ids. `source` is what ours are from, for the message.
pub(super) async fn refuse_others(log: &dyn Log, wire: &Wire, source: &str) -> Result<()> {
    let catalogue = Catalogue::shipped()?;
    for (topic, values) in newest(log, &catalogue).await? {
        let Some(records) = catalogue.topics.get(&topic).map(|topic| &topic.schemas) else { continue };
        wire.learn(values.iter().filter_map(|value| schema_id(value))).await?;
        if values.iter().any(|value| wire.ids().reads(value, records)) {
            continue;
        }
        if let Some(id) = values.iter().find_map(|value| wire.ids().foreign(value, records)) {
            let message = format!(
                "the log is not under the schema ids of {source}: the topic {topic} has a {} under id {id}",
                records.join(" or ")
            );
            let help = "a log keeps the ids that it began with: set schemas.registry to what it was then, or leave it \
                        empty where it was; or begin with a log that is empty";
            return Err(Refusal::new(message, help).into());
        }
    }
    Ok(())
}

/// The newest values of each topic of the chain.
async fn newest(log: &dyn Log, catalogue: &Catalogue) -> Result<BTreeMap<String, Vec<Bytes>>> {
    let is_of_chain = |schemas: &[String]| schemas.iter().all(|schema| schema != RAW);
    let topics = catalogue.topics.iter().filter(|(_, topic)| is_of_chain(&topic.schemas));
    let topics: Vec<String> = topics.map(|(name, _)| name.clone()).collect();
    let mut spans = scan::whole(log, &topics).await?;
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

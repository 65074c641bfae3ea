//! What records are put back from, be it a stage's input or its dead letters: the log, the schemas that the ids of its
//! records stand for, and the catalogue, which knows the newest revision of every file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use frameline_runtime::log::Log;
use frameline_runtime::log::operate::Operate;
use frameline_runtime::log::scan::Span;
use frameline_runtime::replay::Files;
use frameline_runtime::wire::Wire;
use frameline_runtime::{Record, TopicPartition};
use frameline_schemas::{SchemaIds, schema_id};
use frameline_stores::jobs::Catalogue;
use uuid::Uuid;

use super::Context;

/// More than these are counted and not named; what is named goes on record too, in one message.
pub(super) const NAMED: usize = Files::NAMED;
/// More than these are not listed for people.
pub(super) const LISTED: usize = 20;

/// The source.
pub(super) struct Source {
    pub(super) log: Arc<dyn Log>,
    pub(super) wire: Arc<Wire>,
    /// None where there is no data directory: the doctor looks at a log on Kafka all the same.
    catalogue: Option<Arc<dyn Catalogue>>,
}

impl Source {
    /// That of the ports.
    pub(super) async fn open(context: &Context) -> Result<Self> {
        let has_data = context.ports.has_data()?;
        let catalogue = if has_data { Some(context.ports.jobs().await? as Arc<dyn Catalogue>) } else { None };
        Ok(Self { log: context.ports.log().await?, wire: context.ports.wire().await?, catalogue })
    }

    /// Learns what the ids of these records stand for.
    pub(super) async fn learn<'a>(&self, records: impl Iterator<Item = &'a Record> + Send) -> Result<&SchemaIds> {
        self.wire.learn(records.filter_map(|record| record.value.as_deref().and_then(schema_id))).await?;
        Ok(self.wire.ids())
    }

    /// The newest revisions of these files, as far as they are known.
    pub(super) async fn newest(&self, files: impl Iterator<Item = Uuid>) -> Result<BTreeMap<Uuid, i64>> {
        let Some(catalogue) = &self.catalogue else { return Ok(BTreeMap::new()) };
        let files: BTreeSet<Uuid> = files.collect();
        Ok(catalogue.newest_revisions(&files.into_iter().collect::<Vec<_>>()).await?)
    }
}

/// What of these spans was written then or later.
pub(super) async fn since(operate: &dyn Operate, mut spans: Vec<Span>, since_ms: i64) -> Result<Vec<Span>> {
    let partitions: Vec<TopicPartition> = spans.iter().map(|span| span.partition.clone()).collect();
    let starts = operate.offsets_at(&partitions, since_ms).await?;
    spans.iter_mut().zip(starts).for_each(|(span, start)| span.from = span.from.max(start));
    Ok(spans)
}

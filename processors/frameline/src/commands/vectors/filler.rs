//! Fills a collection from the topic `embeddings`, as the stage `index` does, but in no group: positions lie in the
//! collection itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use frameline_index::Index;
use frameline_runtime::log::Log;
use frameline_runtime::log::scan::{self, Run, Span};
use frameline_runtime::stage::Input;
use frameline_runtime::wire::Wire;
use frameline_runtime::{Class, Outcome, Stage};
use frameline_schemas::{Embedding, UnitOrEnd};
use frameline_stores::vectors::QdrantVectors;

/// Between two attempts while Qdrant is down or busy.
const AGAIN: Duration = Duration::from_secs(1);

/// The reader of `embeddings`.
pub(super) struct Filler {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    vectors: Arc<QdrantVectors>,
    index: Index,
    /// The next offset of each partition, by `TOPIC:PARTITION`.
    positions: BTreeMap<String, i64>,
}

impl Filler {
    /// A reader that goes on where an earlier one was.
    pub(super) async fn new(log: Arc<dyn Log>, wire: Arc<Wire>, vectors: Arc<QdrantVectors>) -> Result<Self> {
        let note = vectors.note().await?;
        // What cannot be read is of no use: everything is read again, which is harmless.
        let positions = note.and_then(|note| serde_json::from_str(&note).ok()).unwrap_or_default();
        let index = Index::new(Arc::clone(&vectors) as _);
        Ok(Self { log, wire, vectors, index, positions })
    }

    /// Reads on to the end that the topic has now.
    pub(super) async fn catch_up(&mut self) -> Result<()> {
        let topics: Vec<String> = frameline_index::READS.iter().map(|topic| (*topic).to_owned()).collect();
        let mut spans = scan::whole(self.log.as_ref(), &topics).await?;
        for span in &mut spans {
            let known = self.positions.get(&name(span)).copied().unwrap_or(0);
            span.from = span.from.max(known);
        }
        spans.retain(|span| span.from < span.to);
        if spans.is_empty() {
            return Ok(());
        }
        let mut scan = self.log.scan(spans.clone()).await?;
        while let Some(run) = scan.next().await? {
            self.write(&run).await?;
        }
        self.positions.extend(spans.iter().map(|span| (name(span), span.to)));
        self.vectors.set_note(&serde_json::to_string(&self.positions)?).await?;
        Ok(())
    }

    async fn write(&self, run: &Run) -> Result<()> {
        let ids = run.records.iter().filter_map(UnitOrEnd::<Embedding>::schema_id);
        self.wire.learn(ids).await?;
        loop {
            // What cannot be read is among the dead letters of `index` already.
            let decode = |record| UnitOrEnd::<Embedding>::decode(record, self.wire.ids()).ok();
            let batch: Vec<UnitOrEnd<Embedding>> =
                run.records.iter().filter_map(decode).map(|decoded| decoded.value).collect();
            let again = self.index.process(batch).await.into_iter().find_map(|outcome| match outcome {
                Outcome::Fail(failure) if failure.class != Class::Permanent => Some(failure.error),
                _ => None,
            });
            let Some(reason) = again else { return Ok(()) };
            tracing::warn!(reason, "again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn name(span: &Span) -> String {
    format!("{}:{}", span.partition.topic, span.partition.partition)
}

//! Fills a collection from the topic `embeddings`, as the stage `index` does, but in no group: positions lie in the
//! collection itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use frameline_index::Index;
use frameline_runtime::log::Log;
use frameline_runtime::log::scan::Run;
use frameline_runtime::stage::Input;
use frameline_runtime::wire::Wire;
use frameline_runtime::{Class, Outcome, Stage};
use frameline_schemas::{Embedding, UnitOrEnd};
use frameline_stores::vectors::QdrantVectors;

use super::note::Note;
use crate::stages::Name;

/// So many runs, of half a mebibyte each, and it is noted how far it is: no more is read twice after a stop.
const RUNS_A_NOTE: usize = 64;
/// Between two attempts while Qdrant is down or busy.
const AGAIN: Duration = Duration::from_secs(1);

/// The reader of `embeddings`.
pub(super) struct Filler {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    vectors: Arc<QdrantVectors>,
    index: Index,
    note: Note,
}

impl Filler {
    /// A reader that goes on where an earlier one was.
    pub(super) async fn new(log: Arc<dyn Log>, wire: Arc<Wire>, vectors: Arc<QdrantVectors>) -> Result<Self> {
        let note = Note::of(&vectors).await?;
        let index = Index::new(Arc::clone(&vectors) as _);
        Ok(Self { log, wire, vectors, index, note })
    }

    /// Reads on to the end that the topic has now.
    pub(super) async fn catch_up(&mut self) -> Result<()> {
        let spans = self.note.left(self.log.readable(&Name::Index.topics()).await?);
        if spans.is_empty() {
            return Ok(());
        }
        let mut scan = self.log.scan(spans.clone()).await?;
        let mut runs = 0_usize;
        while let Some(run) = scan.next().await? {
            self.write(&run).await?;
            self.note.has_read_run(&run);
            runs += 1;
            if runs.is_multiple_of(RUNS_A_NOTE) {
                self.keep_note().await?;
            }
        }
        self.note.has_read(&spans);
        self.keep_note().await
    }

    /// Notes whose place the collection is about to take, or that it has taken it.
    pub(super) async fn note_place(&mut self, of: Option<String>) -> Result<()> {
        self.note.takes_the_place_of = of;
        self.keep_note().await
    }

    async fn keep_note(&self) -> Result<()> {
        Ok(self.vectors.set_note(&serde_json::to_string(&self.note)?).await?)
    }

    async fn write(&mut self, run: &Run) -> Result<()> {
        let ids = run.records.iter().filter_map(UnitOrEnd::<Embedding>::schema_id);
        self.wire.learn(ids).await?;
        // What cannot be read is among the dead letters of `index` already.
        let decode = |record| UnitOrEnd::<Embedding>::decode(record, self.wire.ids()).ok();
        let mut batch: Vec<UnitOrEnd<Embedding>> =
            run.records.iter().filter_map(decode).map(|decoded| decoded.value).collect();
        batch.retain(|record| self.note.lets_in(record, |point| self.vectors.takes(point)));
        loop {
            let again = self.index.process(batch.clone()).await.into_iter().find_map(|outcome| match outcome {
                Outcome::Fail(failure) if failure.class != Class::Permanent => Some(failure.error),
                _ => None,
            });
            let Some(reason) = again else { return Ok(()) };
            tracing::warn!(reason, "again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

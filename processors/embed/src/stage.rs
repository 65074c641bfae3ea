//! The stage: units in, embeddings out, manifests passed on behind them.

use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use frameline_runtime::{Failure, Outcome, Output, Stage};
use frameline_schemas::{Content, Embedding, Unit, UnitOrEnd, Vector};
use frameline_stores::blobs::Blobs;
use futures::future::{join, join_all};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::{EmbedError, ImageModel, TextModel};

/// What the stage is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedSettings {
    /// How many threads run models at the same time; each of them needs a processor.
    pub threads: usize,
}

impl Default for EmbedSettings {
    fn default() -> Self {
        Self { threads: thread::available_parallelism().map_or(1, usize::from) }
    }
}

/// The topics that `embed` reads.
pub const READS: &[&str] = &[frameline_topics::UNITS];

/// The stage `embed`.
pub struct Embed {
    blobs: Blobs,
    text: Arc<TextModel>,
    image: Arc<ImageModel>,
    threads: Arc<Semaphore>,
}

impl Embed {
    /// The stage with models that others may use as well.
    pub fn new(blobs: Blobs, text: Arc<TextModel>, image: Arc<ImageModel>, settings: &EmbedSettings) -> Self {
        Self { blobs, text, image, threads: Arc::new(Semaphore::new(settings.threads.max(1))) }
    }

    /// Text vectors of a whole batch, in one go; `None` for a unit without name and words.
    async fn text_vectors(&self, units: &[&Unit]) -> Result<Vec<Option<Vector>>, Failure> {
        let texts: Vec<String> = units.iter().map(|unit| text_of(&unit.content)).collect();
        let has_text: Vec<bool> = texts.iter().map(|text| !text.is_empty()).collect();
        let present: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        let model = self.text.clone();
        let mut vectors = self.compute(move || model.embed(&present)).await?.into_iter();
        let next = |&present: &bool| present.then(|| vectors.next()).flatten();
        let vector = |values| Vector { model: TextModel::NAME.to_owned(), values };
        Ok(has_text.iter().map(next).map(|values| values.map(vector)).collect())
    }

    async fn image_vector(&self, unit: &Unit) -> Result<Option<Vector>, Failure> {
        let Some(thumbnail) = &unit.thumbnail else { return Ok(None) };
        let bytes = self.blobs.get(&thumbnail.uri).await?;
        let model = self.image.clone();
        let values = self.compute(move || model.embed_encoded(&bytes)).await?;
        Ok(Some(Vector { model: ImageModel::NAME.to_owned(), values }))
    }

    /// Runs `work` on a blocking thread, once one of the stage's threads is free.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, EmbedError> + Send + 'static,
    ) -> Result<T, Failure> {
        let permit = self.threads.clone().acquire_owned().await;
        let done = spawn_blocking(move || {
            // Held by the work and not by its waiter, who may give up before the thread is free again.
            let _permit = permit;
            work()
        });
        match done.await {
            Ok(result) => result.map_err(model_failure),
            Err(panic) => Err(Failure::transient("panicked", panic)),
        }
    }
}

#[async_trait]
impl Stage for Embed {
    type In = UnitOrEnd<Unit>;

    fn name(&self) -> &'static str {
        "embed"
    }

    fn reads(&self) -> &'static [&'static str] {
        READS
    }

    async fn warm(&self) -> anyhow::Result<()> {
        let (text, image) = (self.text.clone(), self.image.clone());
        let load = move || -> Result<(), EmbedError> {
            text.warm()?;
            image.warm()?;
            give_back_memory();
            Ok(())
        };
        Ok(spawn_blocking(load).await??)
    }

    async fn process(&self, batch: Vec<Self::In>) -> Vec<Outcome> {
        let units: Vec<&Unit> = batch.iter().filter_map(unit_of).collect();
        let pictures = join_all(units.iter().map(|unit| self.image_vector(unit)));
        let (texts, pictures) = join(self.text_vectors(&units), pictures).await;
        let mut vectors = texts_beside(texts, units.len()).into_iter().zip(pictures);
        let outcome = |record| {
            let output = match record {
                UnitOrEnd::End(manifest) => {
                    Output::of(frameline_topics::EMBEDDINGS, manifest.head.file_id, &manifest).map_err(Failure::from)
                }
                UnitOrEnd::Unit(unit) => embedded(unit, vectors.next()),
            };
            output.map_or_else(Outcome::Fail, |output| Outcome::Emit(vec![output]))
        };
        batch.into_iter().map(outcome).collect()
    }
}

fn unit_of(record: &UnitOrEnd<Unit>) -> Option<&Unit> {
    match record {
        UnitOrEnd::Unit(unit) => Some(unit),
        UnitOrEnd::End(_) => None,
    }
}

type Found = Result<Option<Vector>, Failure>;

/// One result a unit: the models fail for a batch as a whole.
fn texts_beside(texts: Result<Vec<Option<Vector>>, Failure>, units: usize) -> Vec<Found> {
    match texts {
        Ok(vectors) => vectors.into_iter().map(Ok).collect(),
        Err(failure) => vec![Err(failure); units],
    }
}

fn embedded(unit: Unit, vectors: Option<(Found, Found)>) -> Result<Output, Failure> {
    let (text, picture) = vectors.unwrap_or((Ok(None), Ok(None)));
    let (text_vector, image_vector) = (text?, picture?);
    let Unit { head, unit_id, content, thumbnail, .. } = unit;
    let embedding = Embedding { head, unit_id, content, thumbnail, text_vector, image_vector };
    Ok(Output::of(frameline_topics::EMBEDDINGS, embedding.head.file_id, &embedding)?)
}

/// What stands for a unit in the text model: its name, or the heading above it, and its words.
fn text_of(content: &Content) -> String {
    format!("{}\n{}", content.name.trim(), content.text.trim()).trim().to_owned()
}

fn model_failure(error: EmbedError) -> Failure {
    match error {
        EmbedError::Picture(_) => Failure::permanent("picture", error),
        EmbedError::Models(_) | EmbedError::Inference { .. } => Failure::transient("inference", error),
    }
}

/// Loading leaves far more freed memory with the allocator than the stage needs again: 60 MB and more.
fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointers, and is safe beside other threads that allocate.
    unsafe {
        libc::malloc_trim(0);
    }
}

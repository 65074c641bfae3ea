//! The steps as one function, some files at a time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{anyhow, bail};
use frameline_embed::{Embed, EmbedSettings, ImageModel, TextModel};
use frameline_identify::{Identify, IdentifySettings};
use frameline_index::Index;
use frameline_render::{Render, RenderSettings};
use frameline_runtime::{Input, Outcome, Output, Record, Stage};
use frameline_sandbox::PoolSettings;
use frameline_schemas::{Action, File as FileRecord, Head, SchemaIds, file_id, job_id};
use frameline_stores::blobs::Blobs;
use frameline_stores::vectors::{SqliteVectors, Vectors};
use frameline_validate::{Validate, ValidateSettings};
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::Pass;

const TENANT: &str = "default";
const FILES_TOGETHER: usize = 8;

/// What is loaded once.
pub(super) struct Bundle {
    runtime: Runtime,
    text: Arc<TextModel>,
    image: Arc<ImageModel>,
}

impl Bundle {
    pub(super) fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { runtime, text: Arc::new(TextModel::new()?), image: Arc::new(ImageModel::new()) })
    }

    /// Brings the files in, on fresh stores; on each processor some together, so that the models' batches are full.
    pub(super) fn pass(&self, files: &[PathBuf]) -> anyhow::Result<Pass> {
        let folder = TempDir::new()?;
        self.runtime.block_on(async {
            let steps = Arc::new(self.open(folder.path()).await?);
            let started = Instant::now();
            stream::iter(files.chunks(FILES_TOGETHER).map(<[PathBuf]>::to_vec))
                .map(|files| {
                    let steps = Arc::clone(&steps);
                    async move { tokio::spawn(async move { steps.bring_in(&files).await }).await? }
                })
                .buffer_unordered(thread::available_parallelism()?.get())
                .try_for_each(|()| async { Ok(()) })
                .await?;
            let seconds = started.elapsed().as_secs_f64();
            Ok(Pass { seconds, counts: steps.vectors.counts().await? })
        })
    }

    async fn open(&self, folder: &Path) -> anyhow::Result<Steps> {
        let blobs = Blobs::folder(&folder.join("blobs"))?;
        let vectors = Arc::new(SqliteVectors::open(&folder.join("vectors.db")).await?);
        let (identify, render) = (IdentifySettings::default(), RenderSettings::default());
        let (identify_pool, render_pool) = (of_product(identify.pool())?, of_product(render.pool())?);
        let (text, image) = (Arc::clone(&self.text), Arc::clone(&self.image));
        let steps = Steps {
            identify: Identify::new(blobs.clone(), identify, identify_pool)?,
            render: Render::new(blobs.clone(), render.longest_side_px, render_pool)?,
            validate: Validate::new(blobs.clone(), ValidateSettings::default()),
            embed: Embed::new(blobs.clone(), text, image, &EmbedSettings::default()),
            index: Index::new(vectors.clone()),
            blobs,
            vectors,
        };
        steps.identify.warm().await?;
        steps.render.warm().await?;
        steps.embed.warm().await?;
        Ok(steps)
    }
}

/// Workers are run by the product's binary, not by this one.
fn of_product(pool: PoolSettings) -> anyhow::Result<PoolSettings> {
    Ok(PoolSettings { program: crate::service::binary()?.into(), ..pool })
}

struct Steps {
    identify: Identify,
    render: Render,
    validate: Validate,
    embed: Embed,
    index: Index,
    blobs: Blobs,
    vectors: Arc<SqliteVectors>,
}

impl Steps {
    async fn bring_in(&self, paths: &[PathBuf]) -> anyhow::Result<()> {
        let mut files = Vec::new();
        for path in paths {
            files.push(self.take_in(path).await?);
        }
        let identified = step(&self.identify, files).await?;
        let (frames, mut units): (Vec<_>, Vec<_>) =
            identified.into_iter().partition(|output| *output.topic == *frameline_topics::FRAMES);
        let thumbnails = step(&self.render, frames).await?;
        units.extend(step(&self.validate, thumbnails).await?);
        let embeddings = step(&self.embed, units).await?;
        step(&self.index, embeddings).await?;
        Ok(())
    }

    async fn take_in(&self, path: &Path) -> anyhow::Result<Output> {
        let stored = self.blobs.put_file_once("files", "", path, File::open(path)?).await?;
        let file_id = file_id(TENANT, path.as_os_str().as_encoded_bytes());
        let head = Head {
            tenant: TENANT.to_owned(),
            file_id,
            revision: 1,
            job_id: job_id(file_id, 1),
            file_name: path.display().to_string(),
        };
        let file = FileRecord {
            head,
            action: Action::Upsert,
            content_uri: Some(stored.uri),
            content_hash: Some(stored.hash),
            size_bytes: i64::try_from(stored.size_bytes)?,
            discovered_at: 0,
        };
        Ok(Output::of(frameline_topics::FILES, file_id, &file)?)
    }
}

/// What a stage makes of another's outputs, without the progress that it tells to jobs.
async fn step<S: Stage>(stage: &S, outputs: Vec<Output>) -> anyhow::Result<Vec<Output>> {
    let decode = |Output { key, value, headers, .. }: Output| {
        let record = Record { offset: 0, timestamp_ms: 0, key, value, headers };
        S::In::decode(&record, &SchemaIds::of_files())
            .map(|decoded| decoded.value)
            .map_err(|failure| anyhow!(failure.error))
    };
    let batch = outputs.into_iter().map(decode).collect::<anyhow::Result<Vec<_>>>()?;
    let mut made = Vec::new();
    for outcome in stage.process(batch).await {
        match outcome {
            Outcome::Emit(outputs) => made.extend(outputs),
            Outcome::Skip(_) => {}
            Outcome::Fail(failure) => bail!("{}: {}", stage.name(), failure.error),
        }
    }
    made.retain(|output| *output.topic != *frameline_topics::PROGRESS);
    Ok(made)
}

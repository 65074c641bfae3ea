//! The stage `embed` against the same model on bare tract: short texts, eight rows of 32 tokens a run, as many
//! threads as there are processors.
//!
//! Both turn texts into vectors, so tokens and pooling count too. Around that the stage takes units and gives
//! encoded records.

mod bare;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, ensure};
use frameline_embed::{Embed, EmbedSettings, ImageModel, TextModel};
use frameline_runtime::{Outcome, Stage};
use frameline_schemas::{Content, Head, Kind, Unit, UnitOrEnd};
use frameline_stores::blobs::Blobs;
use tokio::runtime::Runtime;
use uuid::Uuid;

use self::bare::Bare;
use crate::contest::{Better, Contest, Scores};
use crate::corpus;

const BATCHES: usize = 24;
/// As the stage is set to by default.
const BATCH_RECORDS: usize = 32;
const SEED: u64 = 42;

pub(crate) fn run(rounds: usize) -> anyhow::Result<(Contest, Scores)> {
    let threads = thread::available_parallelism()?.get();
    let texts = texts();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let blobs = Blobs::folder(folder.path())?;
    let (text, image) = (Arc::new(TextModel::new()?), Arc::new(ImageModel::new()));
    let stage = Arc::new(Embed::new(blobs, text, image, &EmbedSettings { threads }));
    runtime.block_on(stage.warm())?;
    let bare = Bare::new()?;
    let contest = Contest { name: "embed", against: "bare tract", unit: "texts/s", better: Better::More, goal: 0.95 };
    let scores =
        Scores::play(rounds, |_| pass_stage(&runtime, &stage, &texts, threads), |_| pass_bare(&bare, &texts, threads))?;
    Ok((contest, scores))
}

/// Texts that need more than 16 tokens and not more than 32.
fn texts() -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(SEED);
    (0..BATCHES * BATCH_RECORDS)
        .map(|_| {
            let count = random.usize(17..=22);
            corpus::words(&mut random, count)
        })
        .collect()
}

fn pass_stage(runtime: &Runtime, stage: &Arc<Embed>, texts: &[String], threads: usize) -> anyhow::Result<f64> {
    let batches: Vec<Vec<UnitOrEnd<Unit>>> =
        texts.chunks(BATCH_RECORDS).map(|batch| batch.iter().map(|text| unit(text)).collect()).collect();
    let started = Instant::now();
    let mut shares: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, batch) in batches.into_iter().enumerate() {
        shares[number % threads].push(batch);
    }
    let workers: Vec<_> = shares.into_iter().map(|share| runtime.spawn(work(Arc::clone(stage), share))).collect();
    let mut embedded = 0;
    for worker in workers {
        embedded += runtime.block_on(worker)??;
    }
    ensure!(embedded == texts.len(), "{embedded} of {} texts were embedded", texts.len());
    Ok(texts.len() as f64 / started.elapsed().as_secs_f64())
}

async fn work(stage: Arc<Embed>, batches: Vec<Vec<UnitOrEnd<Unit>>>) -> anyhow::Result<usize> {
    let mut embedded = 0;
    for batch in batches {
        for outcome in stage.process(batch).await {
            ensure!(matches!(outcome, Outcome::Emit(_)), "{outcome:?}");
            embedded += 1;
        }
    }
    Ok(embedded)
}

fn pass_bare(bare: &Bare, texts: &[String], threads: usize) -> anyhow::Result<f64> {
    let started = Instant::now();
    let runs: Vec<&[String]> = texts.chunks(bare::ROWS).collect();
    let next = AtomicUsize::new(0);
    let embedded = thread::scope(|scope| {
        let work = || -> anyhow::Result<usize> {
            let (mut worker, mut embedded) = (bare.worker()?, 0);
            while let Some(texts) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                embedded += worker.embed(texts)?.len();
            }
            Ok(embedded)
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().ok().context("a worker panicked")?)
            .sum::<anyhow::Result<usize>>()
    })?;
    ensure!(embedded == texts.len(), "{embedded} of {} texts were embedded", texts.len());
    Ok(texts.len() as f64 / started.elapsed().as_secs_f64())
}

/// A passage with this text and nothing else.
fn unit(text: &str) -> UnitOrEnd<Unit> {
    let head = Head {
        tenant: "bench".to_owned(),
        file_id: Uuid::nil(),
        revision: 1,
        job_id: Uuid::nil(),
        file_name: "bench.md".to_owned(),
    };
    let content = Content {
        kind: Kind::Passage,
        ordinal: 0,
        page: None,
        name: String::new(),
        text: text.to_owned(),
        text_uri: None,
        width_px: 0,
        height_px: 0,
    };
    UnitOrEnd::Unit(Unit { head, unit_id: Uuid::nil(), content, thumbnail: None, quality: None })
}

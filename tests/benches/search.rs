//! Searching 10,000 units of the embedded index by words, warm: how long one of twenty searches takes or longer.
//!
//! The words of a question are embedded by the bundled model, as every search does. The units have made-up words,
//! few of them frequent, and random vectors: the time of an exact search does not depend on what is in them. A
//! round's score is the 95th percentile in milliseconds; the other is the limit.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fastrand::Rng;
use frameline_embed::{ImageModel, TextModel};
use frameline_schemas::{Content, Embedding, Head, Kind, Vector, file_id, unit_id};
use frameline_stores::vectors::{IMAGE_DIMENSIONS, Query, SqliteVectors, TEXT_DIMENSIONS, Vectors};
use uuid::Uuid;

use crate::contest::{Better, Contest, Scores};
use crate::corpus;

const UNITS: usize = 10_000;
const UNITS_A_FILE: usize = 20;
const SEARCHES: usize = 200;
const HITS: usize = 10;
const LIMIT_MS: f64 = 60.0;
const SEED: u64 = 42;
const TENANT: &str = "bench";

pub(crate) fn run(rounds: usize) -> anyhow::Result<(Contest, Scores)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let mut random = Rng::with_seed(SEED);
    let vectors = runtime.block_on(async {
        let vectors = SqliteVectors::open(&folder.path().join("vectors.db")).await?;
        for file in 0..UNITS / UNITS_A_FILE {
            vectors.upsert(&units_of(file, &mut random)).await?;
        }
        anyhow::Ok(vectors)
    })?;
    let model = TextModel::new()?;
    model.warm()?;
    let mut ask = |searches| runtime.block_on(latencies(&vectors, &model, &mut random, searches));
    ask(SEARCHES)?;
    let contest =
        Contest { name: "search", against: "the limit", unit: "ms, 95th percentile", better: Better::Less, goal: 1.0 };
    let scores = Scores::play(rounds, |_| Ok(percentile_95_ms(ask(SEARCHES)?)), |_| Ok(LIMIT_MS))?;
    Ok((contest, scores))
}

/// How long each of `count` searches takes, words in, hits out.
async fn latencies(
    vectors: &SqliteVectors,
    model: &TextModel,
    random: &mut Rng,
    count: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    for _ in 0..count {
        let length = random.usize(2..=5);
        let words = corpus::words(random, length);
        let started = Instant::now();
        let vector = model.embed(&[words.as_str()])?.pop().context("the model gave no vector")?;
        let query = Query {
            tenant: TENANT.to_owned(),
            words: Some(words),
            text_vector: Some(vector),
            image_vector: None,
            limit: HITS,
        };
        let hits = vectors.search(&query).await?;
        latencies.push(started.elapsed());
        ensure!(hits.len() == HITS, "{} hits instead of {HITS}", hits.len());
    }
    Ok(latencies)
}

fn percentile_95_ms(mut latencies: Vec<Duration>) -> f64 {
    latencies.sort();
    let place = latencies.len() * 95 / 100;
    latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
}

/// The units of one file: frames with a picture's vector, and passages.
fn units_of(file: usize, random: &mut Rng) -> Vec<Embedding> {
    let file_name = format!("file-{file:04}");
    let file_id = file_id(TENANT, file_name.as_bytes());
    let head = Head { tenant: TENANT.to_owned(), file_id, revision: 1, job_id: Uuid::nil(), file_name };
    (0..UNITS_A_FILE).map(|ordinal| unit(&head, ordinal, random)).collect()
}

fn unit(head: &Head, ordinal: usize, random: &mut Rng) -> Embedding {
    let kind = if ordinal.is_multiple_of(2) { Kind::Frame } else { Kind::Passage };
    let ordinal = i32::try_from(ordinal).unwrap_or_default();
    let picture = |random: &mut Rng| vector(ImageModel::NAME, IMAGE_DIMENSIONS, random);
    Embedding {
        head: head.clone(),
        unit_id: unit_id(head.file_id, kind, ordinal),
        content: Content {
            kind,
            ordinal,
            page: None,
            name: corpus::words(random, 2),
            text: corpus::words(random, if kind == Kind::Frame { 40 } else { 120 }),
            text_uri: None,
            width_px: 390,
            height_px: 844,
        },
        thumbnail: None,
        text_vector: Some(vector(TextModel::NAME, TEXT_DIMENSIONS, random)),
        image_vector: (kind == Kind::Frame).then(|| picture(random)),
    }
}

/// A random vector of length 1.
fn vector(model: &str, dimensions: usize, random: &mut Rng) -> Vector {
    let values: Vec<f32> = (0..dimensions).map(|_| random.f32() - 0.5).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    Vector { model: model.to_owned(), values: values.iter().map(|value| value / length).collect() }
}

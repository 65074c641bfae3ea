//! Searching 10,000 units of the embedded index by words, warm: how long one of twenty searches takes or longer.
//!
//! The words of a question are embedded by the bundled model, as every search does. The units have pieces of a
//! real text, as the time depends on how frequent the words of a question are, and random vectors, as the time of an
//! exact search does not depend on what is in them. A round's score is the 95th percentile in milliseconds; the
//! other is the limit.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fastrand::Rng;
use frameline_embed::{ImageModel, TextModel};
use frameline_schemas::{Content, Embedding, Head, Kind, Vector, file_id, unit_id};
use frameline_stores::vectors::{IMAGE_DIMENSIONS, Query, SqliteVectors, TEXT_DIMENSIONS, Vectors};
use uuid::Uuid;

use crate::contest::{Better, Contest, Scores};

const UNITS: usize = 10_000;
const UNITS_A_FILE: usize = 20;
/// Each of the questions so often a round.
const REPEATS: usize = 10;
const HITS: usize = 10;
const LIMIT_MS: f64 = 60.0;
const SEED: u64 = 42;
const TENANT: &str = "bench";
const TEXT: &str = include_str!("../samples/documents/handbook.md");
const QUESTIONS: [&str; 20] = [
    "sign in",
    "delivery address",
    "how do I book a train ticket",
    "where is the colour palette of the brand",
    "who pays for the hotel when I travel to another office",
    "accessibility",
    "naming of files",
    "what happens when a design review is cancelled",
    "holiday calendar",
    "error page with a friendly message",
    "the first week of a new colleague",
    "pricing plans monthly yearly",
    "how long do we keep the recordings of an interview",
    "contrast of text on a dark ground",
    "team lunch",
    "is there a budget for books and conferences",
    "handover to developers",
    "icons",
    "what do I do when my laptop is stolen",
    "checkout payment card expired",
];

pub(crate) fn run(rounds: usize) -> anyhow::Result<(Contest, Scores)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let mut random = Rng::with_seed(SEED);
    eprintln!("filling an index with {UNITS} units");
    let vectors = runtime.block_on(async {
        let vectors = SqliteVectors::open(&folder.path().join("vectors.db")).await?;
        for file in 0..UNITS / UNITS_A_FILE {
            vectors.upsert(&units_of(file, &mut random)).await?;
        }
        anyhow::Ok(vectors)
    })?;
    let model = TextModel::new()?;
    model.warm()?;
    let ask = || runtime.block_on(latencies(&vectors, &model));
    ask()?;
    let contest =
        Contest { name: "search", against: "the limit", unit: "ms, 95th percentile", better: Better::Less, goal: 1.0 };
    let scores = Scores::play(rounds, |_| Ok(percentile_95_ms(ask()?)), |_| Ok(LIMIT_MS))?;
    Ok((contest, scores))
}

/// How long each search takes, words in, hits out.
async fn latencies(vectors: &SqliteVectors, model: &TextModel) -> anyhow::Result<Vec<Duration>> {
    let (mut latencies, mut found) = (Vec::new(), 0);
    for words in QUESTIONS.iter().cycle().take(REPEATS * QUESTIONS.len()) {
        let started = Instant::now();
        let vector = model.embed(&[words])?.pop().context("the model gave no vector")?;
        let query = Query {
            tenant: TENANT.to_owned(),
            words: Some((*words).to_owned()),
            text_vector: Some(vector),
            image_vector: None,
            limit: HITS,
        };
        found += vectors.search(&query).await?.len();
        latencies.push(started.elapsed());
    }
    ensure!(found > latencies.len(), "{} questions had {found} hits", latencies.len());
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
            name: piece(random, 2),
            text: piece(random, if kind == Kind::Frame { 40 } else { 120 }),
            text_uri: None,
            width_px: 390,
            height_px: 844,
        },
        thumbnail: None,
        text_vector: Some(vector(TextModel::NAME, TEXT_DIMENSIONS, random)),
        image_vector: (kind == Kind::Frame).then(|| picture(random)),
    }
}

/// So many words of the text, from anywhere in it.
fn piece(random: &mut Rng, count: usize) -> String {
    let start = random.usize(..TEXT.len() / 2);
    TEXT.split_at(TEXT.floor_char_boundary(start))
        .1
        .split_whitespace()
        .skip(1)
        .take(count)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A random vector of length 1.
fn vector(model: &str, dimensions: usize, random: &mut Rng) -> Vector {
    let values: Vec<f32> = (0..dimensions).map(|_| random.f32() - 0.5).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    Vector { model: model.to_owned(), values: values.iter().map(|value| value / length).collect() }
}

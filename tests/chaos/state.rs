//! What a run leaves: every topic, the index, the thumbnails, the jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use frameline_runtime::log::{Log, PartitionLag, TopicState};
use frameline_runtime::{Headers, Record, TopicPartition, headers};
use frameline_schemas::Message;
use frameline_stores::jobs::{Job, JobState, JobStore, SqliteJobs};
use frameline_stores::vectors::{Stored, Vectors};
use frameline_topics as topics;
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use crate::feed::POISON;
use crate::schedule::STAGES;

/// Why records travel that the harness sent again.
pub(crate) const REPLAY: &str = "replay";
/// How many partitions are read at the same time.
const READS: usize = 8;
/// More records than a partition has.
const ALL: usize = 1 << 20;
/// As long as the lag shrinks, it is waited for zero; and this long when it does not.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What a run leaves.
#[derive(Debug, Default)]
pub(crate) struct EndState {
    /// The records of every topic; those of one key in their order.
    pub(crate) topics: BTreeMap<String, Vec<Seen>>,
    pub(crate) units: BTreeSet<Stored>,
    pub(crate) thumbnails: BTreeSet<String>,
    /// By file and revision, what a job has come to.
    pub(crate) jobs: BTreeMap<(String, i64), String>,
    /// Accepted, and neither indexed, nor skipped with a reason, nor among the dead letters.
    pub(crate) unaccounted: Vec<String>,
}

/// A record as far as it has to be the same in every run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) key: String,
    /// The stage that wrote it.
    pub(crate) writer: String,
    pub(crate) revision: i64,
    pub(crate) is_replay: bool,
    /// The unit; none for a file and its end.
    pub(crate) unit: Option<Uuid>,
    /// All else, without times and places.
    pub(crate) text: String,
}

/// Waits until nothing is left to do; says what is, when that does not come.
pub(crate) async fn settle(log: &Arc<dyn Log>, mut tend: impl FnMut() -> Result<()>) -> Result<Vec<String>> {
    let (mut least, mut since) = (i64::MAX, Instant::now());
    loop {
        tend()?;
        let lags = lags(log).await.unwrap_or_else(|error| vec![(format!("lag unknown: {error:#}"), i64::MAX)]);
        let sum = lags.iter().fold(0_i64, |sum, (_, lag)| sum.saturating_add(*lag));
        if sum == 0 {
            return Ok(Vec::new());
        }
        if sum < least {
            (least, since) = (sum, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            let behind = lags.into_iter().filter(|(_, lag)| *lag > 0);
            return Ok(behind.map(|(stage, lag)| format!("{stage} has a lag of {lag}")).collect());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// In the order of the chain: a stage that has nothing left gets no more once those before it have nothing.
async fn lags(log: &Arc<dyn Log>) -> Result<Vec<(String, i64)>> {
    let mut lags = Vec::new();
    for (stage, topic) in STAGES {
        lags.push((stage.to_owned(), lag(log, stage, topic).await?));
    }
    Ok(lags)
}

/// How many records of its topic a stage has not done.
pub(crate) async fn lag(log: &Arc<dyn Log>, stage: &str, topic: &str) -> Result<i64> {
    Ok(log.lag(stage, &[topic.to_owned()]).await?.iter().map(PartitionLag::records).sum())
}

impl EndState {
    /// Reads it.
    pub(crate) async fn read(log: &Arc<dyn Log>, data: &Path, vectors: &Arc<dyn Vectors>) -> Result<Self> {
        let mut all = BTreeMap::new();
        let mut dead_jobs = BTreeSet::new();
        for (topic, records) in read_topics(log).await? {
            let job = |record: &Record| record.headers.text(headers::JOB).map(str::to_owned);
            if topic.ends_with(".dlq") {
                dead_jobs.extend(records.iter().filter_map(job));
            }
            all.insert(topic.clone(), records.iter().map(|record| Seen::of(&topic, record)).collect());
        }
        let jobs = SqliteJobs::open(&data.join("jobs.db")).await?.jobs(ALL).await?;
        let is_accounted = |job: &Job| match job.state {
            JobState::Done => true,
            JobState::Skipped => job.trouble.as_ref().is_some_and(|trouble| !trouble.reason_code.is_empty()),
            JobState::Failed => dead_jobs.contains(&job.job_id.to_string()),
            JobState::Queued | JobState::Running => false,
        };
        let unaccounted = jobs.iter().filter(|job| !is_accounted(job));
        Ok(Self {
            topics: all,
            units: vectors.dump().await?.into_iter().collect(),
            thumbnails: names_below(&data.join("blobs").join("thumbnails"))?,
            unaccounted: unaccounted.map(|job| format!("{} r{}: {:?}", job.name, job.revision, job.state)).collect(),
            jobs: jobs.iter().map(|job| ((job.name.clone(), job.revision), told_of(job))).collect(),
        })
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> usize {
        self.topics.values().map(Vec::len).sum()
    }
}

fn told_of(job: &Job) -> String {
    let trouble = job.trouble.as_ref().map(|trouble| (&trouble.stage, &trouble.reason_code));
    format!("{} {:?} {:?} {:?} {:?}", job.state.as_str(), job.frames, job.passages, job.stages, trouble)
}

fn names_below(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(names) };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(names_below(&entry.path())?);
        } else {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    // What a killed process left half-written has a `#` in its name, and is swept later.
    names.retain(|name| !name.contains('#'));
    Ok(names)
}

/// Every record of every topic of the chain that committed readers see.
pub(crate) async fn read_topics(log: &Arc<dyn Log>) -> Result<BTreeMap<String, Vec<Record>>> {
    let mut all = BTreeMap::new();
    // Others' begin with two underscores, such as the broker's own.
    // What operators did is on record with its time, and under an id of its own: no two runs agree.
    let is_of_the_chain = |topic: &TopicState| !topic.name.starts_with("__") && topic.name != topics::AUDIT;
    for topic in log.topics().await?.into_iter().filter(is_of_the_chain) {
        let read = |partition| {
            let partition = TopicPartition::new(topic.name.as_str(), partition);
            async move { log.read(&partition, 0, ALL).await }
        };
        let parts: Vec<Vec<Record>> = stream::iter(0..topic.partitions).map(read).buffered(READS).try_collect().await?;
        all.insert(topic.name.clone(), parts.concat());
    }
    Ok(all)
}

impl Seen {
    fn of(topic: &str, record: &Record) -> Self {
        let key = record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
        let is_replay = record.headers.text(headers::ORIGIN) == Some(REPLAY);
        let message = Message::decode(record.value.as_deref().unwrap_or_default()).ok();
        let stage = topic.strip_suffix(".dlq");
        let mut seen = Self {
            writer: stage.unwrap_or_default().to_owned(),
            revision: message.as_ref().map_or(0, |message| message.head().revision),
            unit: message.as_ref().and_then(Message::unit_id),
            text: message.as_ref().map_or_else(|| format!("{:?}", record.value), text_of),
            key,
            is_replay,
        };
        match (stage, &message) {
            (Some(_), _) => seen.text = format!("{} {}", why_given_up(&record.headers), seen.text),
            (None, Some(message)) => seen.writer = writer_of(topic, message).to_owned(),
            (None, None) => {}
        }
        seen
    }

    /// Whether the key is one of the records that are none.
    pub(crate) fn is_poison_key(key: &str) -> bool {
        key.starts_with(POISON)
    }
}

/// Class and code; the words around them name times and places.
fn why_given_up(headers: &Headers) -> String {
    let header = |name| headers.text(name).unwrap_or_default();
    let code = header("frameline-dlq-error").split(':').next().unwrap_or_default();
    format!("{} {code}", header("frameline-dlq-class"))
}

fn writer_of<'a>(topic: &str, message: &'a Message) -> &'a str {
    match (topic, message) {
        (_, Message::Progress(progress)) => &progress.stage,
        (topics::FILES, _) => "discover",
        (topics::FRAMES, _) => "identify",
        (topics::THUMBNAILS, _) => "render",
        (topics::UNITS, Message::Unit(unit)) if unit.thumbnail.is_none() => "identify",
        (topics::UNITS, _) => "validate",
        (topics::EMBEDDINGS, _) => "embed",
        _ => "",
    }
}

/// Without times. Nor with the values of vectors: the last bits depend on what else was in the batch.
fn text_of(message: &Message) -> String {
    match message {
        Message::File(file) => format!("{:?} {:?}", file.action, file.content_uri),
        Message::Frame(frame) => format!("{:?} {}", frame.content, frame.scene_uri),
        Message::Thumbnail(thumbnail) => format!("{:?} {:?}", thumbnail.content, thumbnail.thumbnail),
        Message::Unit(unit) => format!("{:?} {:?} {:?}", unit.content, unit.thumbnail, unit.quality),
        Message::Embedding(point) => {
            let model = |vector: &Option<frameline_schemas::Vector>| vector.as_ref().map(|vector| vector.model.clone());
            format!("{:?} {:?} {:?}", point.content, model(&point.text_vector), model(&point.image_vector))
        }
        Message::Manifest(end) => format!("end {} {} {}", end.deleted, end.frames, end.passages),
        Message::Progress(told) => format!(
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            told.step, told.unit_id, told.outcome, told.reason_code, told.frames, told.passages
        ),
    }
}

/// The embeddings of older revisions, to be sent again: nothing of them may come back.
pub(crate) async fn stale_embeddings(log: &Arc<dyn Log>) -> Result<Vec<Record>> {
    let mut all = read_topics(log).await?;
    let records = all.remove(topics::EMBEDDINGS).context("there is no topic of embeddings")?;
    let revision = |record: &Record| {
        Message::decode(record.value.as_deref().unwrap_or_default()).map_or(0, |message| message.head().revision)
    };
    let mut newest: BTreeMap<_, i64> = BTreeMap::new();
    for record in &records {
        let newest = newest.entry(record.key.clone()).or_default();
        *newest = revision(record).max(*newest);
    }
    let is_stale =
        |record: &Record| newest.get(&record.key).is_some_and(|newest| (1..*newest).contains(&revision(record)));
    Ok(records.into_iter().filter(is_stale).collect())
}

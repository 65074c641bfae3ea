//! What a second replica of a stage brings: the same records, 5 ms of work each, done by one replica and by two.
//!
//! The replicas are in their group, and have had a record each, before the clock starts. It stops when everything is
//! committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use async_trait::async_trait;
use bytes::Bytes;
use frameline_runtime::driver::{self, Plan, StageError, Status};
use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings};
use frameline_runtime::log::{Log, NewTopic};
use frameline_runtime::{Headers, Outcome, Output, Raw, Stage, StageSettings};
use frameline_tests::kafka::Broker;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::contest::{Better, Contest, Scores};

const RECORDS: usize = 16_000;
const WORK: Duration = Duration::from_millis(5);
/// Of one replica: records that are worked on at the same time.
const CONCURRENCY: usize = 8;
const PARTITIONS: i32 = 12;
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

pub(crate) fn run(rounds: usize) -> anyhow::Result<(Contest, Scores)> {
    let contest = Contest { name: "scale", against: "one replica", unit: "records/s", better: Better::More, goal: 1.9 };
    let broker = Broker::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let score = |round: usize, replicas: usize| {
        runtime.block_on(score(&broker.bootstrap_servers(), format!("scale-{round}-{replicas}").leak(), replicas))
    };
    let scores = Scores::play(rounds, |round| score(round, 2), |round| score(round, 1))?;
    Ok((contest, scores))
}

/// Lets so many replicas do everything; their records per second.
async fn score(bootstrap: &str, name: &'static str, replicas: usize) -> anyhow::Result<f64> {
    let log = KafkaLog::connect(KafkaSettings::new(bootstrap))?;
    let input: &'static str = format!("{name}-in").leak();
    for topic in [input.to_owned(), format!("{name}-out"), format!("{name}.dlq")] {
        let new = NewTopic {
            name: topic,
            partitions: PARTITIONS,
            replication: 1,
            retention: None,
            compacted: false,
            largest_message_bytes: 1 << 20,
        };
        log.create_topic(&new).await?;
    }
    let mut group = Vec::new();
    for number in 0..replicas {
        group.push(Replica::start(bootstrap, name, input, number)?);
    }
    // One to each partition, until every replica has had one.
    let mut warm = 0;
    let deadline = Instant::now() + PATIENCE;
    while !group.iter().all(|replica| replica.stage.done.load(Ordering::Relaxed) > 0) || sum(&group) < warm {
        ensure!(Instant::now() < deadline, "the replicas do not share the work");
        if sum(&group) == warm {
            log.append((warm..warm + 48).map(|number| record(input, number)).collect()).await?;
            warm += 48;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let started = Instant::now();
    log.append((0..RECORDS).map(|number| record(input, number)).collect()).await?;
    while sum(&group) < warm + RECORDS {
        ensure!(started.elapsed() < PATIENCE, "{} of {RECORDS} records are done", sum(&group) - warm);
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let took = started.elapsed();
    for replica in group {
        replica.end().await?;
    }
    Ok(RECORDS as f64 / took.as_secs_f64())
}

/// Records that are committed.
fn sum(group: &[Replica]) -> usize {
    group.iter().map(|replica| replica.status.snapshot().done as usize).sum()
}

fn record(topic: &str, number: usize) -> Output {
    let key = Some(Bytes::from(format!("key-{number}")));
    Output { topic: topic.into(), key, value: Some(Bytes::from_static(&[7; 200])), headers: Headers::new() }
}

struct Replica {
    stage: Arc<Works>,
    status: Status,
    stop: CancellationToken,
    running: JoinHandle<Result<(), StageError>>,
}

impl Replica {
    fn start(bootstrap: &str, name: &'static str, input: &'static str, number: usize) -> anyhow::Result<Self> {
        let settings = StageSettings {
            batch_records: 1,
            concurrency: CONCURRENCY,
            in_flight_records: 2_000,
            ..StageSettings::default()
        };
        let output = format!("{name}-out").into();
        let stage = Arc::new(Works { name, input: Box::leak(Box::new([input])), output, done: AtomicUsize::new(0) });
        let (status, stop) = (Status::new(name), CancellationToken::new());
        let log = Arc::new(KafkaLog::connect(KafkaSettings::new(bootstrap))?);
        let plan = Plan::new(settings, format!("replica-{number}"));
        let running = tokio::spawn(driver::run(Arc::clone(&stage), log, plan, status.clone(), stop.clone()));
        Ok(Self { stage, status, stop, running })
    }

    async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.running.await??)
    }
}

/// A stage that waits, as one does that calls something, and passes its record on.
struct Works {
    name: &'static str,
    input: &'static [&'static str],
    output: Arc<str>,
    done: AtomicUsize,
}

#[async_trait]
impl Stage for Works {
    type In = Raw;

    fn name(&self) -> &'static str {
        self.name
    }

    fn reads(&self) -> &'static [&'static str] {
        self.input
    }

    async fn process(&self, batch: Vec<Raw>) -> Vec<Outcome> {
        tokio::time::sleep(WORK).await;
        self.done.fetch_add(batch.len(), Ordering::Relaxed);
        let pass = |Raw(record)| Outcome::Emit(vec![record.onto(Arc::clone(&self.output))]);
        batch.into_iter().map(pass).collect()
    }
}

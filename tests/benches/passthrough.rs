//! Reading a topic and writing it to another with exactly-once, on Apache Kafka: the runtime's driver against a
//! bare loop over the same client library.
//!
//! A score is counted from the first record that a contender has in hand to the moment when its group has
//! committed the end of every partition, which becomes visible together with the last outputs. Afterwards a
//! committed reader counts the outputs: more or fewer than the inputs end the benchmark.

mod bare;
mod kafka;
mod ours;

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use frameline_tests::kafka::Broker;
use tokio_util::sync::CancellationToken;

use crate::contest::{Better, Contest, Scores};
use kafka::Cluster;

/// The topic that all runs read.
const INPUT: &str = "passthrough-in";
const PARTITIONS: i32 = 12;
const RECORDS: u64 = 1_000_000;
const KEYS: u64 = 20_000;
const VALUE_BYTES: usize = 400;
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const RUN_DEADLINE: Duration = Duration::from_secs(120);

/// One run of a contender.
struct Run {
    bootstrap: String,
    /// A group of its own, so that it reads from the beginning.
    group: String,
    /// The topic that it writes.
    output: String,
    /// When it had its first record in hand.
    first: Arc<OnceLock<Instant>>,
    /// Ends it.
    stop: CancellationToken,
}

pub(crate) fn run(rounds: usize) -> anyhow::Result<(Contest, Scores)> {
    let broker = Broker::start();
    let cluster = Cluster::new(&broker.bootstrap_servers())?;
    cluster.create(INPUT)?;
    eprintln!("loading {RECORDS} records of {VALUE_BYTES} bytes");
    cluster.load()?;
    let contest = Contest {
        name: "passthrough",
        against: "a bare transaction loop",
        unit: "records/s",
        better: Better::More,
        goal: 0.4,
    };
    let scores = Scores::play(
        rounds,
        |round| score(&cluster, &format!("ours-{round}"), ours::pass),
        |round| score(&cluster, &format!("bare-{round}"), bare::pass),
    )?;
    Ok((contest, scores))
}

/// Lets a contender copy everything once; its records per second.
fn score(cluster: &Cluster, name: &str, pass: fn(&Run) -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let run = Run {
        bootstrap: cluster.bootstrap().to_owned(),
        group: name.to_owned(),
        output: format!("passthrough-out-{name}"),
        first: Arc::default(),
        stop: CancellationToken::new(),
    };
    cluster.create(&run.output)?;
    let finished = thread::scope(|scope| {
        let contender = scope.spawn(|| pass(&run));
        let finished = wait_until_committed(cluster, &run, || contender.is_finished());
        run.stop.cancel();
        let ended = contender.join().unwrap_or_else(|_| bail!("it panicked"));
        ended.and(finished)
    })?;
    let written = cluster.count(&run.output)?;
    ensure!(written == RECORDS, "{written} records were written of {RECORDS}");
    cluster.delete(&run.output)?;
    let first = run.first.get().context("it never had a record")?;
    Ok(RECORDS as f64 / finished.duration_since(*first).as_secs_f64())
}

fn wait_until_committed(cluster: &Cluster, run: &Run, has_ended: impl Fn() -> bool) -> anyhow::Result<Instant> {
    let watcher = cluster.watcher(&run.group)?;
    let deadline = Instant::now() + RUN_DEADLINE;
    while !watcher.is_at_end()? {
        ensure!(Instant::now() < deadline, "it did not finish in {RUN_DEADLINE:?}");
        ensure!(!has_ended(), "it ended before everything was committed");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(Instant::now())
}

//! Reading a topic and writing it to another with exactly-once, on Apache Kafka: the input, one run of any
//! contender, and the runtime's driver as one.
//!
//! A run is timed from the first record that a contender has in hand to the moment when its group has committed the
//! end of every partition, which becomes visible together with the last outputs. Afterwards a committed reader counts
//! the outputs: more or fewer than the inputs end the benchmark.

mod ours;

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use frameline_tests::kafka::Broker;
use frameline_tests::processes::cpu_seconds;
use tokio_util::sync::CancellationToken;

use crate::kafka::{Cluster, Topic};

pub(crate) use self::ours::pass as ours;

/// The topic that all runs read.
pub(crate) const INPUT: Topic<'_> = Topic { name: "copies-in", partitions: PARTITIONS };
pub(crate) const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const PARTITIONS: i32 = 12;
const RECORDS: u64 = 1_000_000;
const KEYS: u64 = 20_000;
const VALUE_BYTES: usize = 400;
const SEED: u64 = 42;
const RUN_DEADLINE: Duration = Duration::from_secs(120);

/// One run of a contender.
pub(crate) struct Run {
    pub(crate) bootstrap: String,
    /// A group of its own, so that it reads from the beginning.
    pub(crate) group: String,
    /// The topic that it writes.
    pub(crate) output: String,
    /// When it had its first record in hand.
    pub(crate) first: Arc<OnceLock<Instant>>,
    /// Ends it.
    pub(crate) stop: CancellationToken,
}

/// What a run reached.
pub(crate) struct Score {
    pub(crate) records_per_s: f64,
    /// By the CPU time of the contender's process, the start of the run included.
    pub(crate) records_per_cpu_s: f64,
}

/// A broker with the input in it.
pub(crate) struct Copies {
    cluster: Cluster,
    _broker: Broker,
}

impl Copies {
    pub(crate) fn prepare() -> anyhow::Result<Self> {
        let broker = Broker::start();
        let cluster = Cluster::new(&broker.bootstrap_servers())?;
        cluster.create(INPUT)?;
        eprintln!("loading {RECORDS} records of {VALUE_BYTES} bytes");
        let mut random = fastrand::Rng::with_seed(SEED);
        let keys = (0..RECORDS).map(|_| format!("key-{:08}", random.u64(..KEYS)));
        cluster.load(INPUT, keys, VALUE_BYTES, SEED)?;
        Ok(Self { cluster, _broker: broker })
    }

    pub(crate) fn bootstrap(&self) -> &str {
        self.cluster.bootstrap()
    }

    /// Lets a contender, which does its work in `process`, copy everything once.
    pub(crate) fn score(
        &self,
        name: &str,
        process: u32,
        pass: impl FnOnce(&Run) -> anyhow::Result<()> + Send,
    ) -> anyhow::Result<Score> {
        let run = Run {
            bootstrap: self.bootstrap().to_owned(),
            group: name.to_owned(),
            output: format!("copies-out-{name}"),
            first: Arc::default(),
            stop: CancellationToken::new(),
        };
        let output = Topic { name: &run.output, partitions: PARTITIONS };
        self.cluster.create(output)?;
        let cpu_before = cpu_seconds(process)?;
        let (finished, cpu_after) = thread::scope(|scope| {
            let contender = scope.spawn(|| pass(&run));
            let finished = self.cluster.wait_for_end(&run.group, INPUT, RUN_DEADLINE, || contender.is_finished());
            let cpu_after = cpu_seconds(process);
            run.stop.cancel();
            let ended = contender.join().unwrap_or_else(|_| bail!("it panicked"));
            ended.and(finished).and_then(|finished| Ok((finished, cpu_after?)))
        })?;
        let written = self.cluster.count(output)?;
        ensure!(written == RECORDS, "{written} records were written of {RECORDS}");
        self.cluster.delete(output)?;
        let first = run.first.get().context("it never had a record")?;
        Ok(Score {
            records_per_s: RECORDS as f64 / finished.duration_since(*first).as_secs_f64(),
            records_per_cpu_s: RECORDS as f64 / (cpu_after - cpu_before),
        })
    }
}

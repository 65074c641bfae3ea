//! What the driver's tests run on: a log with fresh topics, and a stage that does what its records say.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use frameline_runtime::driver::{Plan, StageError, State, Status, run};
use frameline_runtime::log::{Log, NewTopic};
use frameline_runtime::{Failure, Headers, Outcome, Output, Raw, Reason, Record, Stage, StageSettings, TopicPartition};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A log, and the topics of one test on it: the stage reads `input` and writes `output`.
#[derive(Clone)]
pub(super) struct World {
    pub(super) log: Arc<dyn Log>,
    pub(super) stage: &'static str,
    pub(super) input: &'static str,
    pub(super) output: &'static str,
    pub(super) partitions: i32,
}

impl World {
    /// Creates the topics under names of their own.
    pub(super) async fn new(log: Arc<dyn Log>, partitions: i32) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        metrics();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let stage = leak(format!("stage-{}-{number}", std::process::id()));
        let world =
            Self { log, stage, input: leak(format!("{stage}-in")), output: leak(format!("{stage}-out")), partitions };
        for name in [world.input.to_owned(), world.output.to_owned(), format!("{stage}.dlq")] {
            let topic = NewTopic {
                name,
                partitions,
                replication: 1,
                retention: None,
                compacted: false,
                largest_message_bytes: 1 << 20,
            };
            world.log.create_topic(&topic).await.unwrap();
        }
        let progress = NewTopic {
            name: frameline_topics::PROGRESS.to_owned(),
            partitions: 1,
            replication: 1,
            retention: None,
            compacted: false,
            largest_message_bytes: 1 << 20,
        };
        // The only topic that tests share.
        let _ = world.log.create_topic(&progress).await;
        world
    }

    /// Writes records, `key` and what the stage is to do with each.
    pub(super) async fn feed(&self, records: impl IntoIterator<Item = (String, String)>) {
        let output = |(key, value): (String, String)| Output {
            topic: self.input.into(),
            key: Some(key.into()),
            value: Some(value.into()),
            headers: Headers::new(),
        };
        self.log.append(records.into_iter().map(output).collect()).await.unwrap();
    }

    /// Everything that committed readers see in a topic, by partition.
    pub(super) async fn read(&self, topic: &str) -> Vec<Record> {
        let mut all = Vec::new();
        for partition in 0..self.partitions {
            let partition = TopicPartition::new(topic, partition);
            let mut offset = 0;
            loop {
                let records = self.log.read(&partition, offset, 1_000).await.unwrap();
                let Some(last) = records.last() else { break };
                offset = last.offset + 1;
                all.extend(records);
            }
        }
        all
    }

    /// The values of a topic by key, in their order.
    pub(super) async fn values_by_key(&self, topic: &str) -> BTreeMap<String, Vec<String>> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in self.read(topic).await {
            values.entry(text(&record.key)).or_default().push(text(&record.value));
        }
        values
    }

    pub(super) async fn dead_letters(&self) -> Vec<Record> {
        self.read(&format!("{}.dlq", self.stage)).await
    }

    /// Records, and markers, that the stage's group has not come past.
    pub(super) async fn lag(&self) -> i64 {
        let lag = self.log.lag(self.stage, &[self.input.to_owned()]).await.unwrap();
        lag.iter().map(frameline_runtime::log::PartitionLag::records).sum()
    }

    /// What the stage's group has committed, by partition.
    pub(super) async fn committed(&self) -> Vec<Option<i64>> {
        let lag = self.log.lag(self.stage, &[self.input.to_owned()]).await.unwrap();
        lag.iter().map(|partition| partition.committed).collect()
    }

    /// The sum over the samples of the stage's metric that have these labels.
    pub(super) fn metered(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let of_stage = ("stage", self.stage);
        let labels = labels.iter().chain([&of_stage]);
        let wanted: Vec<String> = labels.map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let text = metrics().render();
        let of_name = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
        let samples = of_name.filter(|line| wanted.iter().all(|label| line.contains(label)));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Waits until the group has come past everything.
    pub(super) async fn wait_for_no_lag(&self) {
        wait_until("the lag is zero", async || self.lag().await == 0).await;
    }
}

/// What all stages of this process count.
fn metrics() -> &'static PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap())
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

pub(super) fn text(bytes: &Option<Bytes>) -> String {
    String::from_utf8(bytes.clone().unwrap_or_default().to_vec()).unwrap()
}

/// Waits for a condition, within [`PATIENCE`].
pub(super) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Does what its records say: the value's first word is `ok`, `skip`, `permanent`, `transient` (fails twice, then
/// goes through), `busy` (is pushed back more often than a record has attempts), `panic`, `hold` (waits until the gate is opened), `large` (an output that no topic takes).
pub(super) struct Obedient {
    world: World,
    failures: Mutex<HashMap<String, u32>>,
    /// Values in the order in which work on them started.
    pub(super) started: Mutex<Vec<String>>,
    /// Sizes of batches.
    pub(super) batches: Mutex<Vec<usize>>,
    /// While set, everything fails as unavailable.
    pub(super) down: AtomicBool,
    gate: Notify,
    open: AtomicBool,
}

impl Obedient {
    pub(super) fn new(world: &World) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            failures: Mutex::default(),
            started: Mutex::default(),
            batches: Mutex::default(),
            down: AtomicBool::new(false),
            gate: Notify::new(),
            open: AtomicBool::new(false),
        })
    }

    pub(super) fn open_gate(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.gate.notify_waiters();
    }

    pub(super) fn times_started(&self, value: &str) -> usize {
        self.started.lock().unwrap().iter().filter(|started| *started == value).count()
    }

    async fn obey(&self, record: &Record) -> Outcome {
        let value = text(&record.value);
        self.started.lock().unwrap().push(value.clone());
        let pass = || {
            let (topic, key) = (self.world.output.into(), record.key.clone());
            Outcome::Emit(vec![Output { topic, key, value: record.value.clone(), headers: Headers::new() }])
        };
        match value.split(' ').next().unwrap_or_default() {
            _ if self.down.load(Ordering::SeqCst) => {
                Outcome::Fail(Failure::unavailable("down", "the dependency is down"))
            }
            "skip" => Outcome::Skip(Reason::new("told", "the record says so")),
            "permanent" => Outcome::Fail(Failure::permanent("told", "the record says so")),
            "panic" => panic!("the record says so"),
            "transient" => {
                let mut failures = self.failures.lock().unwrap();
                let count = failures.entry(value.clone()).or_default();
                *count += 1;
                if *count > 2 { pass() } else { Outcome::Fail(Failure::transient("told", "not yet")) }
            }
            "busy" => {
                let mut failures = self.failures.lock().unwrap();
                let count = failures.entry(value.clone()).or_default();
                *count += 1;
                if *count > 12 { pass() } else { Outcome::Fail(Failure::busy("told", "too much to do")) }
            }
            "hold" => {
                let opened = self.gate.notified();
                if !self.open.load(Ordering::SeqCst) {
                    opened.await;
                }
                pass()
            }
            "large" => {
                let value = Some(Bytes::from(vec![b'x'; 3 << 20]));
                Outcome::Emit(vec![Output {
                    topic: self.world.output.into(),
                    key: record.key.clone(),
                    value,
                    headers: Headers::new(),
                }])
            }
            _ => pass(),
        }
    }
}

#[async_trait]
impl Stage for Obedient {
    type In = Raw;

    fn name(&self) -> &'static str {
        self.world.stage
    }

    fn reads(&self) -> &'static [&'static str] {
        Box::leak(Box::new([self.world.input]))
    }

    async fn process(&self, batch: Vec<Raw>) -> Vec<Outcome> {
        self.batches.lock().unwrap().push(batch.len());
        let mut outcomes = Vec::new();
        for Raw(record) in &batch {
            outcomes.push(self.obey(record).await);
        }
        outcomes
    }
}

/// Settings for tests: small batches, short waits.
pub(super) fn settings() -> StageSettings {
    StageSettings {
        batch_records: 8,
        linger: Duration::from_millis(1),
        concurrency: 4,
        commit_interval: Duration::from_millis(20),
        retry_base: Duration::from_millis(5),
        retry_cap: Duration::from_millis(50),
        ..StageSettings::default()
    }
}

/// Every record is a batch of its own.
pub(super) fn one_by_one() -> StageSettings {
    StageSettings { batch_records: 1, ..settings() }
}

/// A stage that runs.
pub(super) struct Running {
    pub(super) status: Status,
    stop: CancellationToken,
    task: JoinHandle<Result<(), StageError>>,
}

impl Running {
    pub(super) fn start<S: Stage>(world: &World, stage: Arc<S>, settings: StageSettings, instance: &str) -> Self {
        Self::run(world, stage, Plan::new(settings, instance))
    }

    pub(super) fn run<S: Stage>(world: &World, stage: Arc<S>, plan: Plan) -> Self {
        let (status, stop) = (Status::new(world.stage), CancellationToken::new());
        let task = tokio::spawn(run(stage, Arc::clone(&world.log), plan, status.clone(), stop.clone()));
        Self { status, stop, task }
    }

    pub(super) fn state(&self) -> State {
        self.status.snapshot().state
    }

    /// As SIGTERM does.
    pub(super) async fn stop(self) -> Result<(), StageError> {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    /// As `kill -9` does: nothing is drained, nothing is said to the group.
    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Waits until it ends by itself.
    pub(super) async fn end(self) -> Result<(), StageError> {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }
}

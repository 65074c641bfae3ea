//! What it takes: Kafka, the index, a control plane with KEDA on it, the chart, and a process of the stage for each of the
//! pods that its Deployment has.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use frameline_embed::{ImageModel, TextModel};
use frameline_runtime::Output;
use frameline_runtime::log::Log;
use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings};
use frameline_schemas::Embedding;
use frameline_stores::vectors::qdrant::{Models, QdrantSettings, QdrantVectors};
use frameline_stores::vectors::{Stored, Vectors, stored};
use frameline_tests::commands::output;
use frameline_tests::control_plane::{ControlPlane, condition};
use frameline_tests::kafka::Broker;
use frameline_tests::keda::Keda;
use frameline_tests::pods::Pods;
use frameline_tests::points::frame;
use frameline_tests::product::{Running, command};
use frameline_tests::qdrant::Qdrant;
use frameline_tests::release::Release;
use frameline_topics::EMBEDDINGS;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::plan::{CALL, Plan};

const STAGE: &str = "index";
/// As the chart calls what it makes for the stage.
const NAME: &str = "frameline-index";
/// Records by which a replica's rate is measured.
const MEASURED: u64 = 800;
/// Of a record: 6 kB, as with the vectors of a text and a picture.
const WORDS: usize = 1_000;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything; stopped and killed when it is dropped, the stage's processes first.
pub(crate) struct World {
    pods: Pods,
    _keda: Keda,
    release: Release,
    log: KafkaLog,
    vectors: QdrantVectors,
    qdrant: Qdrant,
    broker: Broker,
    runtime: Runtime,
    folder: TempDir,
}

impl World {
    /// Starts it, with one replica that has nothing to do.
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("frameline-scaling-").tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (broker, qdrant) = (Broker::start(), Qdrant::start());
        qdrant.set_faults(Some(&json!({"delay_ms": CALL.as_millis(), "calls": ["UpdateBatch"]})));
        let log = KafkaLog::connect(KafkaSettings::new(broker.bootstrap_servers()))?;
        let vectors = runtime.block_on(QdrantVectors::open(&settings(&qdrant), models()))?;
        make_topics(folder.path(), &broker)?;
        let plane = Arc::new(ControlPlane::start());
        let keda = Keda::start(&plane)?;
        let release = Release::new(&plane, "scaling");
        let values = write_values(folder.path(), Plan::guess(), &broker, &qdrant)?;
        release.apply("install", &values, &[]);
        let pods = Pods::follow(release.clone(), STAGE, starter(folder.path(), &release)?);
        let world = Self { pods, _keda: keda, release, log, vectors, qdrant, broker, runtime, folder };
        world.until("KEDA tells the autoscaler a lag", || {
            Ok(world.autoscaler().is_some_and(|autoscaler| condition(&autoscaler, "ScalingActive")))
        })?;
        world.until("a process of the stage is ready", || Ok(world.at_work() == 1))?;
        Ok(world)
    }

    /// Records a second of the one replica that is there, by what it leaves.
    pub(crate) fn measure(&self) -> Result<f64> {
        self.feed(0..MEASURED)?;
        let indexed = || -> Result<u64> { Ok(self.runtime.block_on(self.vectors.counts())?.frames) };
        self.until("the replica has begun", || Ok(indexed()? > 0))?;
        let (first, began) = (indexed()?, Instant::now());
        self.until("the replica is done", || Ok(indexed()? == MEASURED))?;
        let rate = (MEASURED - first) as f64 / began.elapsed().as_secs_f64();
        self.until("its lag is 0", || Ok(self.lag()? == 0))?;
        Ok(rate)
    }

    /// Gives the chart other values, and waits until the autoscaler goes by them.
    pub(crate) fn upgrade(&self, plan: Plan) -> Result<()> {
        let values = write_values(self.folder.path(), plan, &self.broker, &self.qdrant)?;
        self.release.apply("upgrade", &values, &[]);
        let threshold = plan.threshold().to_string();
        self.until("the autoscaler has the new threshold", || {
            let autoscaler = self.autoscaler();
            Ok(autoscaler.is_some_and(|is| is["spec"]["metrics"][0]["external"]["target"]["averageValue"] == threshold))
        })
    }

    /// Brings in a burst of records, behind those by which was measured; says when it was in the log whole.
    pub(crate) fn burst(&self, records: u64) -> Result<Instant> {
        self.feed(MEASURED..MEASURED + records)?;
        Ok(Instant::now())
    }

    /// Those records of a burst and before that have not come into the index, and the stage's dead letters.
    pub(crate) fn lost(&self, burst: u64) -> Result<(u64, u64)> {
        let kept: Vec<Stored> = self.runtime.block_on(self.vectors.dump())?;
        let is_missing = |number: &u64| kept.binary_search(&stored(&unit(*number))).is_err();
        let missing = (0..MEASURED + burst).filter(is_missing).count();
        let letters = self.runtime.block_on(self.log.readable(&[format!("{STAGE}.dlq")]))?;
        let letters: i64 = letters.iter().map(|span| span.to - span.from).sum();
        Ok((missing as u64, letters.unsigned_abs()))
    }

    /// Records that the group has not come past.
    pub(crate) fn lag(&self) -> Result<u64> {
        let lag = self.runtime.block_on(self.log.lag(STAGE, &[EMBEDDINGS.to_owned()]))?;
        Ok(lag.iter().map(|partition| partition.records().unsigned_abs()).sum())
    }

    /// Replicas that the Deployment wants.
    pub(crate) fn wanted(&self) -> usize {
        let deployment = self.release.one("apis/apps/v1/deployments", NAME);
        deployment["spec"]["replicas"].as_u64().and_then(|replicas| usize::try_from(replicas).ok()).unwrap_or_default()
    }

    /// Processes that are ready, and not on their way out.
    pub(crate) fn at_work(&self) -> usize {
        self.pods.at_work()
    }

    /// Whether every process has started and ended as it should.
    pub(crate) fn is_well(&self) -> bool {
        self.pods.are_well()
    }

    fn feed(&self, numbers: Range<u64>) -> Result<()> {
        let output = |number| {
            let unit = unit(number);
            Ok(Output::of(EMBEDDINGS, unit.head.file_id, &unit)?)
        };
        let outputs = numbers.map(output).collect::<Result<Vec<Output>>>()?;
        Ok(self.runtime.block_on(self.log.append(outputs))?)
    }

    /// What KEDA has made of the ScaledObject.
    fn autoscaler(&self) -> Option<Value> {
        self.release.all("apis/autoscaling/v2/horizontalpodautoscalers").pop()
    }

    fn until(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_so()? {
            ensure!(Instant::now() < deadline, "waited in vain until {what}");
            ensure!(self.is_well(), "a process of the stage failed; waited until {what}");
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

/// Each is of a file of its own, so that they spread over the partitions.
fn unit(number: u64) -> Embedding {
    frame(&format!("{number}.svg"), 0, "Card", &"words ".repeat(WORDS))
}

fn settings(qdrant: &Qdrant) -> QdrantSettings {
    QdrantSettings {
        url: qdrant.url(),
        api_key: None,
        // The product's own.
        alias: "frameline".to_owned(),
        timeout: PATIENCE,
        connect_timeout: PATIENCE,
        replication: 1,
    }
}

fn models() -> Models {
    Models { text: TextModel::NAME.to_owned(), image: ImageModel::NAME.to_owned() }
}

fn make_topics(folder: &Path, broker: &Broker) -> Result<()> {
    let config = folder.join("topics.toml");
    fs::write(&config, broker.product_settings())?;
    output(&mut of_product(folder, &config, &["topics", "apply", "--execute"])).context("the topics cannot be made")?;
    Ok(())
}

fn write_values(folder: &Path, plan: Plan, broker: &Broker, qdrant: &Qdrant) -> Result<PathBuf> {
    let file = folder.join("values.yaml");
    fs::write(&file, plan.values(&broker.bootstrap_servers(), &qdrant.url()))?;
    Ok(file)
}

/// How a pod's process is started: by the configuration that the chart gives the pod.
fn starter(folder: &Path, release: &Release) -> Result<impl Fn(&str) -> Running + Send + 'static> {
    let map = release.one("api/v1/configmaps", NAME);
    let config = folder.join("frameline.toml");
    fs::write(&config, map["data"]["frameline.toml"].as_str().context("the chart's ConfigMap has no configuration")?)?;
    let folder = folder.to_owned();
    Ok(move |pod: &str| {
        let arguments = ["run", STAGE, "--json", "--listen", "127.0.0.1:0", "--instance", pod];
        let mut command = of_product(&folder, &config, &arguments);
        // The stage uses neither, and nobody answers where the values say that they are.
        command.env("FRAMELINE__BLOBS__URL", "").env("FRAMELINE__JOBS__URL", "");
        Running::start(command)
    })
}

fn of_product(folder: &Path, config: &Path, arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command.env("FRAMELINE_CONFIG", config).env("FRAMELINE_DATA", folder.join("data")).env("FRAMELINE_LOG", "warn");
    command
}

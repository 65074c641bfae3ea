//! Where a run takes place: a data directory on a small disk, a log, and what can be made to fail around them.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use frameline_embed::{ImageModel, TextModel};
use frameline_runtime::log::Log;
use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings};
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_runtime::settings::duration;
use frameline_stores::vectors::qdrant::{Models, QdrantSettings, QdrantVectors};
use frameline_stores::vectors::{SqliteVectors, Vectors};
use frameline_tests::disk::SmallDisk;
use frameline_tests::kafka::Broker;
use frameline_tests::proxy::Proxy;
use frameline_tests::qdrant::Qdrant;
use tokio::runtime::Runtime;

use crate::fleet::{Fleet, Launch};
use crate::promise::Promise;
use crate::schedule::{DRAIN_DEADLINE, LogKind, SESSION_TIMEOUT};

/// Enough for the files of a long run, little enough to be filled in a moment.
const DISK_SIZE: &str = "384m";
/// A model fails on every so many-th input.
const MODEL_FAILURES: &str = "50";

/// How long the index may take for an answer.
pub(crate) const QDRANT_TIMEOUT: Duration = Duration::from_secs(2);
const ALIAS: &str = "chaos";

/// A place for one run. What is used by another part comes before it, so that it goes first.
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) launch: Arc<Launch>,
    pub(crate) kafka: Option<Kafka>,
    /// The index, beside Kafka; on the embedded log it is embedded too.
    pub(crate) qdrant: Option<Qdrant>,
    /// `None` where this user may not mount one.
    pub(crate) disk: Option<SmallDisk>,
    pub(crate) clock: Clock,
    pub(crate) runtime: Arc<Runtime>,
    /// Held while somebody brings something in.
    pub(crate) feeding: Arc<Mutex<()>>,
    /// What was wrong on the way.
    pub(crate) findings: Vec<String>,
}

/// A broker behind a proxy.
pub(crate) struct Kafka {
    pub(crate) proxy: Proxy,
    pub(crate) broker: Broker,
}

impl Kafka {
    fn start() -> Result<Self> {
        let proxy = Proxy::start()?;
        let broker = Broker::behind(&proxy)?;
        Ok(Self { proxy, broker })
    }

    fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.proxy.port())
    }
}

impl World {
    /// Makes one in `folder`. Without faults there is nothing around the product; with them it may be one that breaks
    /// a promise.
    pub(crate) fn new(folder: &Path, log: LogKind, faults: bool, broken: Option<&Promise>) -> Result<Self> {
        let (data, logs, gates) = (folder.join("data"), folder.join("logs"), folder.join("gates"));
        for folder in [&data, &logs, &gates] {
            fs::create_dir_all(folder)?;
        }
        let disk = if faults { SmallDisk::mount(&data, DISK_SIZE)? } else { None };
        let kafka = match log {
            LogKind::Kafka => Some(Kafka::start()?),
            LogKind::Sqlite => None,
        };
        let qdrant = kafka.is_some().then(Qdrant::start);
        let config = folder.join("frameline.toml");
        fs::write(&config, configuration(kafka.as_ref(), qdrant.as_ref()))?;
        let clock = Clock::new(folder)?;
        let mut of_stages = vec![("FRAMELINE_LOG", "info,tract=warn".to_owned())];
        if faults {
            of_stages.extend(clock.environment());
            of_stages.push(("CHAOS_MODEL_FAILURES", MODEL_FAILURES.to_owned()));
            of_stages.extend(broken.map(|promise| ("CHAOS_BREACH", promise.name.to_owned())));
        }
        let launch = Arc::new(Launch { program: std::env::current_exe()?, data, config, logs, gates, of_stages });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self {
            fleet: Fleet::new(Arc::clone(&launch)),
            launch,
            kafka,
            qdrant,
            disk,
            clock,
            runtime: Arc::new(runtime),
            feeding: Arc::default(),
            findings: Vec::new(),
        })
    }

    /// The index, as the stages see it.
    pub(crate) fn vectors(&self) -> Result<Arc<dyn Vectors>> {
        let Some(qdrant) = &self.qdrant else {
            return Ok(Arc::new(self.runtime.block_on(SqliteVectors::open(&self.launch.data.join("vectors.db")))?));
        };
        let settings = QdrantSettings {
            url: qdrant.url(),
            api_key: None,
            alias: ALIAS.to_owned(),
            timeout: Duration::from_secs(30),
            connect_timeout: QDRANT_TIMEOUT,
            replication: 1,
        };
        let models = Models { text: TextModel::NAME.to_owned(), image: ImageModel::NAME.to_owned() };
        Ok(Arc::new(self.runtime.block_on(QdrantVectors::open(&settings, models))?))
    }

    /// The log, as the stages see it.
    pub(crate) fn log(&self) -> Result<Arc<dyn Log>> {
        Ok(match &self.kafka {
            Some(kafka) => Arc::new(KafkaLog::connect(KafkaSettings::new(kafka.bootstrap_servers()))?),
            None => Arc::new(self.runtime.block_on(SqliteLog::open(&self.launch.data.join("log.db")))?),
        })
    }
}

/// Short waits, so that many of them fit into a run; small batches, so that much is under way.
fn configuration(kafka: Option<&Kafka>, qdrant: Option<&Qdrant>) -> String {
    let log = match kafka {
        None => "kind = \"embedded\"".to_owned(),
        Some(_) => "kind = \"kafka\"\ncreate_topics = true".to_owned(),
    };
    let kafka = kafka.map_or_else(String::new, |kafka| {
        format!("[kafka]\nbootstrap_servers = \"{}\"\nreplication = 1\n", kafka.bootstrap_servers())
    });
    let vectors = qdrant.map_or_else(String::new, |qdrant| {
        let timeout = duration::format(QDRANT_TIMEOUT);
        format!("[vectors]\nurl = \"{}\"\nalias = \"{ALIAS}\"\ntimeout = \"{timeout}\"\n", qdrant.url())
    });
    format!(
        "[log]\n{log}\nsession_timeout = \"{}\"\ndrain_deadline = \"{}\"\n{kafka}{vectors}
[stages.identify]\nbatch_records = 2\n[stages.render]\nbatch_records = 2\n[stages.validate]\nbatch_records = 2
[stages.embed]\nbatch_records = 2\n[stages.index]\nbatch_records = 8\n[stages.jobs]\nbatch_records = 16\n",
        duration::format(SESSION_TIMEOUT),
        duration::format(DRAIN_DEADLINE),
    )
}

/// The wall clock of the stages.
pub(crate) struct Clock {
    shift: fs::File,
    shift_path: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn new(folder: &Path) -> Result<Self> {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        fs::write(&source, include_str!("clock.c"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let compiled = compiler.status().context("no C compiler: on Debian, apt-get install gcc libc6-dev")?;
        ensure!(compiled.success(), "{compiler:?}: {compiled}");
        let shift_path = folder.join("clock");
        let shift = fs::File::options().create(true).truncate(true).write(true).open(&shift_path)?;
        let clock = Self { shift, shift_path, library };
        clock.set(0)?;
        Ok(clock)
    }

    fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [("LD_PRELOAD", text(&self.library)), ("CHAOS_CLOCK", text(&self.shift_path))]
    }

    /// How far it is off, in seconds.
    pub(crate) fn set(&self, seconds: i64) -> Result<()> {
        self.shift.write_all_at(&seconds.to_ne_bytes(), 0)?;
        Ok(())
    }
}

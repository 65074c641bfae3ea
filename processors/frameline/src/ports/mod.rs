//! The four ports, opened as the configuration says.

pub(crate) mod topics;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use frameline_discover::{Discover, DiscoverSettings};
use frameline_runtime::log::Log;
use frameline_runtime::log::kafka::KafkaLog;
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_stores::blobs::Blobs;
use frameline_stores::jobs::SqliteJobs;
use frameline_stores::vectors::SqliteVectors;
use frameline_topics::Change;
use tokio::sync::OnceCell;

use crate::config::{Config, LogKind};
use crate::data::DataDir;
use crate::error::Refusal;

/// The ports of this process; each is opened once, when it is first asked for.
pub(crate) struct Ports {
    data: DataDir,
    config: Config,
    log: OnceCell<OpenLog>,
    jobs: OnceCell<Arc<SqliteJobs>>,
    vectors: OnceCell<Arc<SqliteVectors>>,
}

enum OpenLog {
    Embedded(SqliteLog),
    Kafka(Arc<KafkaLog>),
}

impl Ports {
    /// Ports over this directory; nothing is opened yet.
    pub(crate) fn new(data: DataDir, config: Config) -> Self {
        Self { data, config, log: OnceCell::new(), jobs: OnceCell::new(), vectors: OnceCell::new() }
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &DataDir {
        &self.data
    }

    /// The log between the stages.
    pub(crate) async fn log(&self) -> Result<Arc<dyn Log>> {
        match self.log.get_or_try_init(|| self.open_log()).await? {
            OpenLog::Embedded(log) => Ok(Arc::new(log.clone())),
            OpenLog::Kafka(log) => Ok(Arc::clone(log) as Arc<dyn Log>),
        }
    }

    /// Deletes what no topic keeps any more, where that is ours to do: Kafka does it itself.
    pub(crate) async fn enforce_retention(&self) -> Result<u64> {
        match self.log.get_or_try_init(|| self.open_log()).await? {
            OpenLog::Embedded(log) => Ok(log.enforce_retention().await?),
            OpenLog::Kafka(_) => Ok(0),
        }
    }

    async fn open_log(&self) -> Result<OpenLog> {
        match self.config.log.kind {
            LogKind::Embedded => Ok(OpenLog::Embedded(SqliteLog::open(&self.data.log()).await?)),
            LogKind::Kafka => Ok(OpenLog::Kafka(Arc::new(KafkaLog::connect(self.config.kafka.settings())?))),
        }
    }

    /// Files and jobs.
    pub(crate) async fn jobs(&self) -> Result<Arc<SqliteJobs>> {
        let open = async || SqliteJobs::open(&self.data.jobs()).await.map(Arc::new);
        Ok(Arc::clone(self.jobs.get_or_try_init(open).await?))
    }

    /// The index.
    pub(crate) async fn vectors(&self) -> Result<Arc<SqliteVectors>> {
        let open = async || SqliteVectors::open(&self.data.vectors()).await.map(Arc::new);
        Ok(Arc::clone(self.vectors.get_or_try_init(open).await?))
    }

    /// Scenes, thumbnails and long texts.
    pub(crate) fn blobs(&self) -> Result<Blobs> {
        Ok(Blobs::folder(&self.data.blobs())?)
    }

    /// Discovery that keeps out of our own data.
    pub(crate) async fn discover(&self) -> Result<Discover> {
        let settings = DiscoverSettings {
            tenant: self.config.service.tenant.clone(),
            largest_file_bytes: self.config.discover.largest_file_bytes,
            changing_attempts: self.config.discover.changing_attempts,
            changing_pause: self.config.discover.changing_pause,
            excluded: vec![self.data.root().to_owned()],
        };
        Ok(Discover::new(self.jobs().await?, self.blobs()?, self.log().await?, settings))
    }

    /// Makes the folders of the data directory.
    pub(crate) fn prepare_folders(&self) -> Result<()> {
        self.data.make()
    }

    /// Whether everything was made once, and is still there.
    pub(crate) fn is_complete(&self) -> Result<bool> {
        self.data.is_complete(&self.stores())
    }

    /// Makes whatever is missing, so that each port opens to something: on a fresh directory all of it, on a
    /// complete one nothing but topics that are new.
    pub(crate) async fn prepare(&self) -> Result<()> {
        self.data.make()?;
        let is_complete = self.is_complete()?;
        let log = self.log().await?;
        let changes = topics::changes(log.as_ref()).await?;
        for change in &changes {
            if let Change::Refuse { topic, has, wants, reason } = change {
                tracing::warn!(topic, has, wants, reason, "the log has another number of partitions, and keeps it");
            }
        }
        if self.config.log.create_topics {
            topics::create(log.as_ref(), &changes, self.config.kafka.replication).await?;
        } else {
            refuse_missing(&changes)?;
        }
        if !is_complete {
            self.jobs().await?;
            self.vectors().await?;
            self.data.complete()?;
        }
        Ok(())
    }

    fn stores(&self) -> Vec<PathBuf> {
        let mut stores = vec![self.data.jobs(), self.data.vectors()];
        if self.config.log.kind == LogKind::Embedded {
            stores.push(self.data.log());
        }
        stores
    }
}

fn refuse_missing(changes: &[Change]) -> Result<()> {
    let missing: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Create { topic, .. } => Some(topic.as_str()),
            Change::Refuse { .. } => None,
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("the log lacks the topics {}", missing.join(", "));
    let help = "`frameline topics apply --execute` creates them; or set log.create_topics = true";
    Err(Refusal::new(message, help).into())
}

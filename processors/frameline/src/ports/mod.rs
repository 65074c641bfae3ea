//! The four ports, opened as the configuration says.

mod ids;
pub(crate) mod topics;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Result;
use frameline_discover::{Discover, DiscoverSettings};
use frameline_embed::{ImageModel, TextModel};
use frameline_registry::Registry;
use frameline_runtime::breach::Breach;
use frameline_runtime::log::Log;
use frameline_runtime::log::kafka::KafkaLog;
use frameline_runtime::log::operate::Operate;
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_runtime::trace::Tracer;
use frameline_runtime::wire::{Wire, WireError};
use frameline_stores::blobs::{Blobs, BlobsError};
use frameline_stores::jobs::{FilesAndJobs, PostgresJobs, Schema, SqliteJobs, StoreError};
use frameline_stores::vectors::qdrant::Models;
use frameline_stores::vectors::{QdrantVectors, SqliteVectors, Vectors, VectorsError};
use frameline_topics::Change;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, LogKind};
use crate::data::DataDir;
use crate::error::Refusal;
use crate::tampering::Tampering;

/// What to do about a database that lacks migrations.
pub(crate) const MIGRATE: &str = "run `frameline migrate --execute`; or set jobs.migrate = true";

/// How often a database that is away is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The ports of this process; each is opened once, when it is first asked for.
pub(crate) struct Ports {
    data: DataDir,
    config: Config,
    tampering: Tampering,
    tracer: Tracer,
    wire: OnceCell<Arc<Wire>>,
    log: OnceCell<OpenLog>,
    jobs: OnceCell<Arc<dyn FilesAndJobs>>,
    vectors: OnceCell<Arc<dyn Vectors>>,
    blobs: OnceLock<Blobs>,
}

enum OpenLog {
    Embedded(SqliteLog),
    Kafka(Arc<KafkaLog>),
}

impl Ports {
    /// Ports over this directory; nothing is opened yet.
    pub(crate) fn new(data: DataDir, config: Config, tampering: Tampering) -> Self {
        Self {
            data,
            config,
            tampering,
            tracer: Tracer::default(),
            wire: OnceCell::new(),
            log: OnceCell::new(),
            jobs: OnceCell::new(),
            vectors: OnceCell::new(),
            blobs: OnceLock::new(),
        }
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &DataDir {
        &self.data
    }

    /// The same, with somebody who takes the spans of traces.
    pub(crate) fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Who takes the spans of traces.
    pub(crate) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Which schemas the ids of records stand for: those of a registry, where one is configured.
    pub(crate) async fn wire(&self) -> Result<Arc<Wire>> {
        Ok(Arc::clone(self.wire.get_or_try_init(|| self.open_wire()).await?))
    }

    async fn open_wire(&self) -> Result<Arc<Wire>> {
        let Some(settings) = self.config.schemas.settings()? else { return Ok(Arc::new(Wire::of_files())) };
        let (registry, url) = (Arc::new(Registry::new(&settings)?), self.config.schemas.registry.clone());
        Ok(Arc::new(Wire::of(Arc::new(ids::OfLog { registry, url, log: self.log().await? }))))
    }

    /// What the fault harness changes; nothing, in the product.
    pub(crate) fn tampering(&self) -> &Tampering {
        &self.tampering
    }

    /// The log between the stages.
    pub(crate) async fn log(&self) -> Result<Arc<dyn Log>> {
        match self.log.get_or_try_init(|| self.open_log()).await? {
            OpenLog::Embedded(log) => Ok(Arc::new(log.clone())),
            OpenLog::Kafka(log) => Ok(Arc::clone(log) as Arc<dyn Log>),
        }
    }

    /// The same log, with the topic in it that keeps on record what operators do.
    pub(crate) async fn log_with_audit(&self) -> Result<Arc<dyn Log>> {
        self.data.make()?;
        let log = self.log().await?;
        let (audit, _) = topics::audit_first(topics::changes(log.as_ref()).await?);
        self.create_or_refuse(log.as_ref(), &audit).await?;
        Ok(log)
    }

    /// The same log, as its operator has it.
    pub(crate) async fn operate(&self) -> Result<Arc<dyn Operate>> {
        match self.log.get_or_try_init(|| self.open_log()).await? {
            OpenLog::Embedded(log) => Ok(Arc::new(log.clone())),
            OpenLog::Kafka(log) => Ok(Arc::clone(log) as Arc<dyn Operate>),
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
            LogKind::Kafka => {
                let log = KafkaLog::connect(self.config.kafka.settings())?;
                let is_fenced = self.tampering.breach != Some(Breach::Fencing);
                Ok(OpenLog::Kafka(Arc::new(if is_fenced { log } else { log.without_fencing() })))
            }
        }
    }

    /// Files and jobs.
    pub(crate) async fn jobs(&self) -> Result<Arc<dyn FilesAndJobs>> {
        Ok(Arc::clone(self.jobs.get_or_try_init(|| self.open_jobs()).await?))
    }

    async fn open_jobs(&self) -> Result<Arc<dyn FilesAndJobs>> {
        match self.postgres().await? {
            Some(jobs) => Ok(Arc::new(jobs)),
            None => Ok(Arc::new(SqliteJobs::open(&self.data.jobs()).await?)),
        }
    }

    /// Files and jobs as PostgreSQL has them, where they are there.
    pub(crate) async fn postgres(&self) -> Result<Option<PostgresJobs>> {
        let Some(settings) = self.config.jobs.settings()? else { return Ok(None) };
        if self.config.jobs.migrate {
            PostgresJobs::migrate(&settings).await?;
        }
        match PostgresJobs::open(&settings).await {
            Ok(jobs) => Ok(Some(jobs)),
            Err(error @ StoreError::Older { .. }) => Err(Refusal::new(error.to_string(), MIGRATE).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// How long a job is kept after its end; `None` is for ever.
    pub(crate) fn jobs_retention(&self) -> Option<Duration> {
        self.config.jobs.retention()
    }

    /// How far the schema of files and jobs is. Nothing is changed.
    pub(crate) async fn schema(&self) -> Result<Schema> {
        Ok(match self.config.jobs.settings()? {
            Some(settings) => PostgresJobs::schema(&settings).await?,
            None => SqliteJobs::schema(&self.data.jobs()).await?,
        })
    }

    /// Brings it up to date.
    pub(crate) async fn migrate(&self) -> Result<Schema> {
        match self.config.jobs.settings()? {
            Some(settings) => Ok(PostgresJobs::migrate(&settings).await?),
            None => {
                self.prepare_folders()?;
                self.jobs().await?;
                self.schema().await
            }
        }
    }

    /// The index.
    pub(crate) async fn vectors(&self) -> Result<Arc<dyn Vectors>> {
        Ok(Arc::clone(self.vectors.get_or_try_init(|| self.open_vectors()).await?))
    }

    async fn open_vectors(&self) -> Result<Arc<dyn Vectors>> {
        if let Some(vectors) = self.qdrant()? {
            return Ok(Arc::new(vectors));
        }
        let vectors = SqliteVectors::open(&self.data.vectors()).await?;
        Ok(Arc::new(match self.tampering.breach {
            Some(Breach::Revisions) => vectors.without_revision_rules(),
            _ => vectors,
        }))
    }

    /// The index as Qdrant has it, where it is there. Qdrant is first asked when something is wanted of it.
    pub(crate) fn qdrant(&self) -> Result<Option<QdrantVectors>> {
        let Some(settings) = self.config.vectors.settings()? else { return Ok(None) };
        let models = Models { text: TextModel::NAME.to_owned(), image: ImageModel::NAME.to_owned() };
        Ok(Some(QdrantVectors::new(&settings, models)?))
    }

    /// Scenes, thumbnails and long texts.
    pub(crate) fn blobs(&self) -> Result<Blobs> {
        if let Some(blobs) = self.blobs.get() {
            return Ok(blobs.clone());
        }
        let blobs = match self.config.blobs.settings(&self.config.service.tenant)? {
            Some(settings) => Blobs::bucket(&settings).map_err(unusable)?,
            None => Blobs::folder(&self.data.blobs())?,
        };
        Ok(self.blobs.get_or_init(|| blobs).clone())
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
        Ok(Discover::new(self.jobs().await?, self.blobs()?, self.log().await?, settings)
            .traced(self.tracer())
            .addressed(self.wire().await?))
    }

    /// Makes the folders of the data directory.
    pub(crate) fn prepare_folders(&self) -> Result<()> {
        self.data.make()
    }

    /// Whether everything was made once, and is still there.
    pub(crate) fn is_complete(&self) -> Result<bool> {
        self.data.is_complete(&self.stores())
    }

    /// Whether there is anything to look at: everything was made once, or nothing of it is kept on this machine.
    pub(crate) fn has_data(&self) -> Result<bool> {
        Ok(self.keeps_nothing() || self.is_complete()?)
    }

    /// Whether nothing but a cache would be missed if this machine were gone.
    pub(crate) fn keeps_nothing(&self) -> bool {
        self.stores().is_empty() && !self.config.blobs.is_embedded()
    }

    /// The same as [`Self::is_complete`], whether the index is there or not.
    pub(crate) fn is_complete_but_for_vectors(&self) -> Result<bool> {
        let stores: Vec<PathBuf> = self.stores().into_iter().filter(|store| *store != self.data.vectors()).collect();
        self.data.is_complete(&stores)
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
        self.create_or_refuse(log.as_ref(), &changes).await?;
        self.learn_ids(log.as_ref()).await?;
        self.check_blobs().await?;
        if !is_complete {
            if self.config.jobs.is_embedded() {
                self.jobs().await?;
            }
            if self.config.vectors.is_embedded() {
                self.vectors().await?;
            }
            self.data.complete()?;
        }
        Ok(())
    }

    /// Creates what is missing, where topics are ours to create.
    async fn create_or_refuse(&self, log: &dyn Log, changes: &[Change]) -> Result<()> {
        if self.config.log.create_topics {
            topics::create(log, changes, self.config.kafka.replication).await
        } else {
            refuse_missing(changes)
        }
    }

    /// A registry that lacks our schemas is refused at the start, and so is one whose ids are not those of the log. One
    /// that is down is not: stages wait for it.
    async fn learn_ids(&self, log: &dyn Log) -> Result<()> {
        let wire = self.wire().await?;
        if self.config.schemas.registry.is_empty() {
            return ids::refuse_others(log, &wire).await;
        }
        match wire.open().await {
            Ok(()) => Ok(()),
            Err(error @ WireError::Unavailable(_)) => {
                tracing::warn!(%error, "stages wait until it answers");
                Ok(())
            }
            Err(WireError::Unregistered(missing)) => {
                let message = format!("the schema registry {} lacks {missing}", self.config.schemas.registry);
                Err(Refusal::new(message, "`frameline schemas apply --execute` registers what is missing").into())
            }
            Err(WireError::Foreign(what)) => Err(Refusal::new(what, ids::HELP).into()),
        }
    }

    /// A Qdrant that refuses us is refused at the start. One that is down is not: the stage waits for it.
    pub(crate) async fn meet_index(&self) -> Result<()> {
        let Some(qdrant) = self.qdrant()? else { return Ok(()) };
        match qdrant.is_by_our_models().await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let help = "`frameline vectors rebuild --execute` makes an index by the models of this program";
                tracing::warn!(
                    help,
                    "the live index is by other models: it takes nothing and finds nothing until then"
                );
                Ok(())
            }
            Err(error @ (VectorsError::Unavailable(_) | VectorsError::Busy(_))) => {
                let help = "see that Qdrant is up, and that vectors.url is right";
                tracing::warn!(%error, help, "the stage index waits until it answers");
                Ok(())
            }
            Err(error) => {
                let url = &self.config.vectors.url;
                let help = "put that right and start again; `frameline config show` tells where settings come from";
                Err(Refusal::new(format!("the index in Qdrant at {url} cannot be used"), help).because(error).into())
            }
        }
    }

    /// A database that refuses us is refused at the start. One that is down is waited for, until it is time to stop:
    /// gives whether it is there.
    pub(crate) async fn meet_jobs(&self, stop: &CancellationToken) -> Result<bool> {
        if self.config.jobs.is_embedded() {
            return Ok(true);
        }
        let mut is_told = false;
        while let Err(error) = self.jobs().await {
            if !matches!(error.downcast_ref(), Some(StoreError::Unavailable { .. })) {
                return Err(error);
            }
            if !std::mem::replace(&mut is_told, true) {
                let help = "see that PostgreSQL is up, and that jobs.url is right";
                tracing::warn!(%error, help, "the start waits until it answers");
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(false),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
        Ok(true)
    }

    /// A bucket that is not there, or does not let us in, is refused at the start: later every stage would wait for
    /// it. One that is down is not. A folder is made.
    async fn check_blobs(&self) -> Result<()> {
        let blobs = self.blobs()?;
        if self.config.blobs.is_embedded() {
            return Ok(());
        }
        match blobs.check().await {
            Ok(()) => Ok(()),
            Err(error @ (BlobsError::Unavailable { .. } | BlobsError::Busy { .. })) => {
                tracing::warn!(%error, "stages wait until it answers");
                Ok(())
            }
            Err(error) => Err(unusable(error).into()),
        }
    }

    fn stores(&self) -> Vec<PathBuf> {
        let mut stores = Vec::new();
        if self.config.jobs.is_embedded() {
            stores.push(self.data.jobs());
        }
        if self.config.vectors.is_embedded() {
            stores.push(self.data.vectors());
        }
        if self.config.log.kind == LogKind::Embedded {
            stores.push(self.data.log());
        }
        stores
    }
}

fn unusable(error: BlobsError) -> Refusal {
    let help = "`frameline config show` explains the keys of [blobs]; `frameline doctor` asks the bucket again";
    Refusal::new("the blobs cannot be used", help).because(error)
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

//! The configuration as types. What each key means is told in [`super::keys`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use frameline_discover::DiscoverSettings;
use frameline_embed::EmbedSettings;
use frameline_identify::IdentifySettings;
use frameline_render::RenderSettings;
use frameline_runtime::StageSettings;
use frameline_runtime::metric;
use frameline_runtime::settings::duration;
use frameline_validate::ValidateSettings;
use serde::{Deserialize, Serialize};

use super::{Blobs, Jobs, Kafka, Schemas, Telemetry, Vectors};
use crate::stages::Name;

/// Everything that can be configured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) service: Service,
    pub(crate) log: LogSection,
    pub(crate) kafka: Kafka,
    pub(crate) schemas: Schemas,
    pub(crate) blobs: Blobs,
    pub(crate) jobs: Jobs,
    pub(crate) vectors: Vectors,
    pub(crate) discover: Discover,
    pub(crate) identify: IdentifySettings,
    pub(crate) render: RenderSettings,
    pub(crate) validate: ValidateSettings,
    pub(crate) embed: Embed,
    pub(crate) stages: Stages,
    pub(crate) replicas: Replicas,
    pub(crate) telemetry: Telemetry,
}

/// The process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) listen: SocketAddr,
    pub(crate) tenant: String,
    #[serde(with = "duration")]
    pub(crate) searchable_within: Duration,
    pub(crate) memory_limit_bytes: u64,
}

/// Which log carries the records between the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogKind {
    /// One file in the data directory.
    #[default]
    Embedded,
    /// Apache Kafka.
    Kafka,
}

/// The log, whichever it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LogSection {
    pub(crate) kind: LogKind,
    pub(crate) create_topics: bool,
    #[serde(with = "duration")]
    pub(crate) session_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) drain_deadline: Duration,
}

/// Which files are taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Discover {
    pub(crate) largest_file_bytes: u64,
    pub(crate) changing_attempts: u32,
    #[serde(with = "duration")]
    pub(crate) changing_pause: Duration,
}

/// How models run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Embed {
    pub(crate) threads: usize,
}

impl Embed {
    /// What the stage takes.
    pub(crate) fn settings(&self) -> EmbedSettings {
        if self.threads == 0 { EmbedSettings::default() } else { EmbedSettings { threads: self.threads } }
    }
}

/// How each stage is run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stages {
    pub(crate) identify: StageSettings,
    pub(crate) render: StageSettings,
    pub(crate) validate: StageSettings,
    pub(crate) embed: StageSettings,
    pub(crate) index: StageSettings,
    pub(crate) jobs: StageSettings,
}

impl Stages {
    /// The settings of one.
    pub(crate) fn of(&self, name: Name) -> &StageSettings {
        match name {
            Name::Identify => &self.identify,
            Name::Render => &self.render,
            Name::Validate => &self.validate,
            Name::Embed => &self.embed,
            Name::Index => &self.index,
            Name::Jobs => &self.jobs,
        }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &StageSettings)> {
        Name::ALL.into_iter().map(|name| (name.as_str(), self.of(name)))
    }
}

/// How many processes of each stage there are to be, at most.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Replicas {
    pub(crate) identify: u32,
    pub(crate) render: u32,
    pub(crate) validate: u32,
    pub(crate) embed: u32,
    pub(crate) index: u32,
    pub(crate) jobs: u32,
}

impl Replicas {
    /// Those of one; 0 where it is open.
    pub(crate) fn of(&self, name: Name) -> u32 {
        match name {
            Name::Identify => self.identify,
            Name::Render => self.render,
            Name::Validate => self.validate,
            Name::Embed => self.embed,
            Name::Index => self.index,
            Name::Jobs => self.jobs,
        }
    }
}

impl Config {
    /// What holds where nothing is said. A log that others share does not get topics without being asked.
    pub(super) fn defaults(kind: LogKind) -> Self {
        let log = LogSection {
            kind,
            create_topics: kind == LogKind::Embedded,
            session_timeout: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(5),
        };
        Self {
            service: Service::default(),
            log,
            kafka: Kafka::default(),
            schemas: Schemas::default(),
            blobs: Blobs::default(),
            jobs: Jobs::default(),
            vectors: Vectors::default(),
            discover: Discover::default(),
            identify: IdentifySettings::default(),
            render: RenderSettings::default(),
            validate: ValidateSettings::default(),
            embed: Embed::default(),
            stages: Stages::default(),
            replicas: Replicas::default(),
            telemetry: Telemetry::default(),
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8470),
            tenant: "default".to_owned(),
            searchable_within: metric::PROMISE,
            memory_limit_bytes: 0,
        }
    }
}

impl Default for Discover {
    fn default() -> Self {
        let DiscoverSettings { largest_file_bytes, changing_attempts, changing_pause, .. } =
            DiscoverSettings::default();
        Self { largest_file_bytes, changing_attempts, changing_pause }
    }
}

/// Stages that wait for a child process or a disk take a few records at a time; those that are quick take many.
impl Default for Stages {
    fn default() -> Self {
        let common = StageSettings::default();
        Self {
            identify: StageSettings { batch_records: 4, ..common.clone() },
            render: StageSettings { batch_records: 4, ..common.clone() },
            validate: StageSettings { batch_records: 16, ..common.clone() },
            embed: StageSettings { batch_records: 8, linger: Duration::from_millis(20), ..common.clone() },
            index: StageSettings { batch_records: 256, concurrency: 1, ..common.clone() },
            jobs: StageSettings { batch_records: 512, concurrency: 1, in_flight_records: 4_096, ..common },
        }
    }
}

//! What the stages stand on, and who watches them: each the real thing, as `compose/` configures it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, anyhow};
use rustix::process::Pid;

use super::compose::{Compose, folder};
use super::state::Part;
use super::targets;
use crate::apicurio::Apicurio;
use crate::kafka::Broker;
use crate::postgres::{PASSWORD, Postgres, USER};
use crate::prometheus::{Alertmanager, Prometheus};
use crate::qdrant::Qdrant;
use crate::s3::{S3, SECRET_ACCESS_KEY};

/// All of them at work; killed when they are dropped.
pub struct Servers {
    kafka: Broker,
    registry: Apicurio,
    postgres: Postgres,
    qdrant: Qdrant,
    s3: S3,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
}

impl Servers {
    /// Starts them; returns when all are ready.
    ///
    /// # Errors
    /// Where one of them cannot be had, or does not take its configuration.
    pub fn start(compose: &Compose) -> Result<Self> {
        let kafka_environment = compose.service("kafka")?.environment();
        let registry_environment = compose.service("registry")?.environment();
        thread::scope(|scope| {
            let log = scope.spawn(move || {
                let kafka = Broker::of_image(&kafka_environment);
                let mut environment = registry_environment;
                environment.insert("APICURIO_KAFKASQL_BOOTSTRAP_SERVERS".to_owned(), kafka.bootstrap_servers());
                let registry = Apicurio::with(&environment);
                (kafka, registry)
            });
            let stores = scope.spawn(|| {
                let postgres = Postgres::start();
                postgres.sql("postgres", &format!("create database {USER} owner {USER}"));
                (postgres, Qdrant::start(), S3::start())
            });
            let (prometheus, alertmanager) = watch()?;
            let (postgres, qdrant, s3) = stores.join().map_err(why)?;
            let (kafka, registry) = log.join().map_err(why)?;
            Ok(Self { kafka, registry, postgres, qdrant, s3, prometheus, alertmanager })
        })
    }

    /// What takes the place of the addresses and passwords of containers in `compose/config/frameline.toml`.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let variables = [
            ("FRAMELINE_CONFIG", folder().join("config/frameline.toml").display().to_string()),
            ("FRAMELINE__KAFKA__BOOTSTRAP_SERVERS", self.kafka.bootstrap_servers()),
            ("FRAMELINE__SCHEMAS__REGISTRY", self.registry.url()),
            ("FRAMELINE__BLOBS__ENDPOINT", self.s3.endpoint()),
            ("FRAMELINE__BLOBS__SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
            ("FRAMELINE__JOBS__URL", self.postgres.url_with_login(USER)),
            ("FRAMELINE__JOBS__PASSWORD", PASSWORD.to_owned()),
            ("FRAMELINE__VECTORS__URL", self.qdrant.url()),
        ];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Tells Prometheus where the processes of the stages are: the name of each one's service, and its address.
    ///
    /// # Errors
    /// Where its folder cannot be written to.
    pub fn watch_stages(&self, targets: &[(String, String)]) -> Result<()> {
        targets::write(self.prometheus.folder(), targets::STAGES, targets)
    }

    /// What is told of them.
    pub fn parts(&self) -> Vec<Part> {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let subjects = Some("/apis/ccompat/v7/subjects");
        vec![
            part("kafka", self.kafka.pid(), self.kafka.bootstrap_servers(), None),
            part("registry", self.registry.pid(), local(self.registry.port()), subjects),
            part("postgres", self.postgres.pid(), local(self.postgres.port()), None),
            part("qdrant", self.qdrant.pid(), local(self.qdrant.port()), None),
            part("s3", self.s3.pid(), local(self.s3.port()), Some("/healthz")),
            part("prometheus", self.prometheus.pid(), self.prometheus.address(), Some("/-/ready")),
            part("alertmanager", self.alertmanager.pid(), self.alertmanager.address(), Some("/-/ready")),
        ]
    }
}

/// Prometheus with the alerts of the Helm chart, and the Alertmanager that it sends them to.
fn watch() -> Result<(Prometheus, Alertmanager)> {
    let alertmanager = Alertmanager::of_compose()?;
    let address = alertmanager.address();
    let configuration = folder().join("config/prometheus.yaml");
    let configuration = fs::read_to_string(&configuration).with_context(|| configuration.display().to_string())?;
    let prometheus = Prometheus::start(&targets::from_files(&configuration)?, |own| {
        let target = [("alertmanager".to_owned(), address)];
        targets::write(own, "alertmanagers", &target)?;
        targets::write(own, "alertmanager", &target)?;
        copy_files(&folder().join("../helm/frameline/alerts"), &own.join("alerts"))
    })?;
    let target = [("prometheus".to_owned(), prometheus.address())];
    targets::write(prometheus.folder(), "prometheus", &target)?;
    Ok((prometheus, alertmanager))
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn part(name: &str, pid: Option<Pid>, address: String, path: Option<&str>) -> Part {
    let pid = pid.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    Part { name: name.to_owned(), pid, address, path: path.map(str::to_owned), restarts: 0, ended: None }
}

/// What a thread said that could not start its servers.
fn why(panic: Box<dyn std::any::Any + Send>) -> anyhow::Error {
    let text = panic.downcast::<String>().map(|text| *text);
    anyhow!(text.unwrap_or_else(|_| "a server could not be started".to_owned()))
}

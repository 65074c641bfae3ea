//! Apache Kafka for tests: one process (KRaft, broker and controller), run from its Maven artifacts.
//!
//! The artifacts are kept in the user's cache folder, and are fetched by Maven when they are missing. A broker
//! has ports and data of its own, and never outlives the process of the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Pid;

use crate::commands::output;
use crate::proxy::Proxy;
use crate::server::{Folder, Process, cache_folder, free_port, lock};

/// The version that tests run against.
pub const VERSION: &str = "4.3.1";

/// How long a broker may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The id of every cluster.
const CLUSTER: &str = "abcdefghijklmnopqrstug";

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>frameline</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>4.3.1</version></dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version>
    </dependency>
  </dependencies>
</project>
"#;

/// A broker of its own; killed when it is dropped.
pub struct Broker {
    folder: Folder,
    port: u16,
    running: Mutex<Option<Process>>,
}

impl Broker {
    /// The broker that all tests of this process share. It is for tests that do not kill it, under topics and
    /// groups of their own.
    ///
    /// # Panics
    /// Where it cannot be had, with what is missing: a test on Kafka never passes without Kafka.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A broker of the test's own.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn start() -> Self {
        Self::with("")
    }

    /// A broker with more lines in its `server.properties`, or other ones: of two for the same property the later holds.
    /// `{port}` and `{controller_port}` in them are those that it got.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn with(properties: &str) -> Self {
        Self::try_start(None, properties)
            .unwrap_or_else(|error| panic!("no Apache Kafka {VERSION} to test on: {error:#}"))
    }

    /// A broker whose configuration is made of this environment by the program that does so in Kafka's own image, but for
    /// where it listens and where its data is.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn of_image(environment: &BTreeMap<String, String>) -> Self {
        Self::try_of_image(environment)
            .unwrap_or_else(|error| panic!("no Apache Kafka {VERSION} by that environment: {error:#}"))
    }

    fn try_of_image(environment: &BTreeMap<String, String>) -> Result<Self> {
        let libraries = install()?;
        let folder = Folder::new("kafka")?;
        let (port, controller_port) = (free_port()?, free_port()?);
        let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}");
        let here = [
            ("KAFKA_LISTENERS", listeners),
            ("KAFKA_ADVERTISED_LISTENERS", format!("PLAINTEXT://127.0.0.1:{port}")),
            ("KAFKA_CONTROLLER_QUORUM_VOTERS", format!("1@127.0.0.1:{controller_port}")),
            ("KAFKA_LOG_DIRS", folder.join("data").display().to_string()),
            ("CLUSTER_ID", CLUSTER.to_owned()),
        ];
        let mut setup = java(&libraries, &folder, "kafka.docker.KafkaDockerWrapper");
        setup.arg("setup").envs(environment).envs(here);
        for option in ["--default-configs-dir", "--mounted-configs-dir", "--final-configs-dir"] {
            setup.arg(option).arg(&*folder);
        }
        output(&mut setup).context("its image does not take this environment")?;
        let broker = Self { folder, port, running: Mutex::new(None) };
        broker.resume()?;
        Ok(broker)
    }

    /// A broker that tells its clients to come to the proxy, which from now on leads to it. It looks every second for
    /// transactions whose time is over: whoever takes over from a client that fell silent in the middle of one waits
    /// for that.
    ///
    /// # Errors
    /// Where it cannot be had, with what is missing.
    pub fn behind(proxy: &Proxy) -> Result<Self> {
        Self::try_start(Some(proxy), "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n")
    }

    fn try_start(proxy: Option<&Proxy>, more: &str) -> Result<Self> {
        let libraries = install()?;
        let folder = Folder::new("kafka")?;
        let (port, controller_port) = (free_port()?, free_port()?);
        let advertised_port = proxy.map_or(port, Proxy::port);
        if let Some(proxy) = proxy {
            proxy.lead_to(port);
        }
        let properties = properties(&folder, port, advertised_port, controller_port);
        let more = more.replace("{port}", &port.to_string()).replace("{controller_port}", &controller_port.to_string());
        fs::write(folder.join("server.properties"), properties + &more)?;
        format_data(&libraries, &folder)?;
        let broker = Self { folder, port, running: Mutex::new(None) };
        broker.resume()?;
        Ok(broker)
    }

    /// Where clients begin: `host:port`.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process; `None` once it was killed.
    pub fn pid(&self) -> Option<Pid> {
        self.running.lock().ok()?.as_ref().map(Process::pid)
    }

    /// The product's configuration with its log on this broker.
    pub fn product_settings(&self) -> String {
        format!(
            "[log]\nkind = \"kafka\"\ncreate_topics = true\n\n[kafka]\nbootstrap_servers = \"{}\"\nreplication = 1\n",
            self.bootstrap_servers()
        )
    }

    /// What one of Kafka's own tools prints, asked about this broker.
    ///
    /// # Panics
    /// Where it fails, with what it says.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let libraries = install().expect("it was there for the broker");
        let output = java(&libraries, &self.folder, class)
            .args(["--bootstrap-server", &self.bootstrap_servers()])
            .args(arguments)
            .output()
            .expect("java was there for the broker");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{class} failed: {said}");
        said
    }

    /// Kills it, as a machine does that loses its power; what it has on disk stays.
    ///
    /// # Panics
    /// Where the process cannot be waited for.
    pub fn kill(&self) {
        let running = self.running.lock().expect("no test panicked inside").take();
        if let Some(running) = running {
            running.kill();
        }
    }

    /// Starts it again, after [`Self::kill`], with its data and on its port; returns when it answers.
    ///
    /// # Errors
    /// Where it does not come up, with the end of its output.
    pub fn resume(&self) -> Result<()> {
        let mut running = self.running.lock().expect("no test panicked inside");
        ensure!(running.is_none(), "the broker is running");
        *running = Some(spawn(&install()?, &self.folder)?);
        drop(running);
        self.wait_until_ready()
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap_servers()).set("log_level", "0");
        let client: BaseConsumer<Silent> = config.create_with_context(Silent)?;
        loop {
            let metadata = client.fetch_metadata(None, Duration::from_millis(500));
            if metadata.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                return Ok(());
            }
            let has_ended = match &*self.running.lock().expect("no test panicked inside") {
                Some(running) => running.has_ended(),
                None => true,
            };
            if has_ended || Instant::now() > deadline {
                let output = fs::read_to_string(self.folder.join("output.log")).unwrap_or_default();
                let end: Vec<&str> = output.lines().rev().take(20).collect();
                bail!("the broker does not answer; the end of its output, last line first:\n{}", end.join("\n"));
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client whose complaints about a broker that is not up yet are of no interest.
struct Silent;

impl rdkafka::ClientContext for Silent {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl rdkafka::consumer::ConsumerContext for Silent {}

/// The folder of Kafka's libraries, fetched by Maven where it is not there yet.
///
/// # Errors
/// Where Java or Maven is missing, with what to install.
pub fn install() -> Result<PathBuf> {
    require("java", "default-jre-headless", "-version")?;
    let named = format!("kafka-{VERSION}");
    let folder = cache_folder()?.join(&named);
    let _lock = lock(&named)?;
    let libraries = folder.join("lib");
    if libraries.is_dir() {
        return Ok(libraries);
    }
    require("mvn", "maven", "--version")?;
    let fresh = tempfile::Builder::new().prefix("kafka-").tempdir_in(cache_folder()?)?;
    fs::write(fresh.path().join("pom.xml"), POM)?;
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"]);
    output(maven.current_dir(fresh.path())).with_context(|| format!("Maven gives no Apache Kafka {VERSION}"))?;
    fs::rename(fresh.keep(), &folder)?;
    Ok(libraries)
}

/// The names of all properties of a broker, as Kafka itself lists them.
///
/// # Panics
/// Where it cannot be had, with what is missing.
pub fn known_properties() -> BTreeSet<String> {
    let libraries = install().expect("Apache Kafka is there");
    let output = java(&libraries, Path::new("/"), "kafka.server.KafkaConfig").output().expect("java is there");
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = page.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(names.contains("log.dirs"), "no list of properties: {page}");
    names
}

fn require(program: &str, package: &str, argument: &str) -> Result<()> {
    let found = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("`{program}` is not there; on Debian: apt-get install {package}")
        }
        Err(error) => Err(error.into()),
    }
}

fn properties(folder: &Path, port: u16, advertised_port: u16, controller_port: u16) -> String {
    let data = folder.join("data");
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised_port},CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
num.network.threads=2
num.io.threads=2
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
group.consumer.min.session.timeout.ms=3000
group.consumer.session.timeout.ms=6000
auto.create.topics.enable=false
",
        data = data.display()
    )
}

fn java(libraries: &Path, folder: &Path, class: &str) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(libraries.join("*"))
        .arg(class)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

fn format_data(libraries: &Path, folder: &Path) -> Result<()> {
    let mut format = java(libraries, folder, "kafka.tools.StorageTool");
    format.args(["format", "--standalone", "-t", CLUSTER, "-c", "server.properties"]);
    output(&mut format).context("its data folder could not be formatted")?;
    Ok(())
}

fn spawn(libraries: &Path, folder: &Path) -> Result<Process> {
    let mut output = File::options().create(true).append(true).open(folder.join("output.log"))?;
    writeln!(output, "--- start")?;
    let mut command = java(libraries, folder, "kafka.Kafka");
    command.arg("server.properties").stdout(output.try_clone()?).stderr(output);
    Ok(Process::start(command)?.0)
}

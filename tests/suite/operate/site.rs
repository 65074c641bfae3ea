//! A product on one of the logs, as its operator has it: commands beside a service, and the log itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings};
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_runtime::log::{Log, NewTopic};
use frameline_runtime::moment::now_ms;
use frameline_runtime::{Output, Record};
use frameline_tests::kafka::Broker;
use frameline_topics::Catalogue;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use crate::chain::state::EndState;
use crate::process::{Ended, Product, Running, until};

/// A product and its log.
pub(crate) struct Site {
    pub(crate) product: Product,
    config: Vec<String>,
    broker: Option<Broker>,
}

impl Site {
    /// On the embedded log.
    pub(crate) fn embedded() -> Self {
        Self { product: Product::new(), config: Vec::new(), broker: None }
    }

    /// On a Kafka broker of its own.
    pub(crate) fn kafka() -> Self {
        Self::kafka_with("")
    }

    /// The same, with more in the configuration's section on Kafka.
    pub(crate) fn kafka_with(more: &str) -> Self {
        let (broker, product) = (Broker::start(), Product::new());
        let file = product.file("kafka.toml", broker.product_settings() + more);
        let config = vec!["--config".to_owned(), file.to_str().unwrap().to_owned()];
        Self { product, config, broker: Some(broker) }
    }

    /// Runs these stages, all where none is named.
    pub(crate) fn serve(&self, stages: &[&str]) -> Running {
        let command: &[&str] = if stages.is_empty() { &["up"] } else { &["run"] };
        let arguments = [command, stages, &["--json", "--listen", "127.0.0.1:0"]].concat();
        Running::start(self.product.command(self.with_config(&arguments)))
    }

    /// Runs all stages, with something set in their environment.
    pub(crate) fn serve_with(&self, environment: &[(&str, &str)]) -> Running {
        let mut command = self.command(&["up", "--json", "--listen", "127.0.0.1:0"]);
        command.envs(environment.iter().copied());
        Running::start(command)
    }

    /// The broker, on Kafka.
    pub(crate) fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    /// A command's answer, which has to be good.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Value {
        self.product.json(self.with_config(arguments))
    }

    /// A command's end, whatever it is.
    pub(crate) fn say(&self, arguments: &[&str]) -> Ended {
        self.product.run(self.with_config(arguments))
    }

    /// Adds a file, and waits for its end.
    pub(crate) fn add(&self, file: &Path) -> Value {
        let added = self.product.command(self.with_config(&["add", path(file), "--wait", "--json"])).output().unwrap();
        serde_json::from_slice::<Value>(&added.stdout).unwrap()["files"][0].clone()
    }

    /// A command, to be started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.product.command(self.with_config(arguments))
    }

    /// Everything that was ingested.
    pub(crate) fn state(&self) -> EndState {
        EndState::of(&self.product, &self.config.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Waits until no stage has anything before it.
    pub(crate) fn settle(&self) {
        until("every lag is 0", || (self.ask(&["lag"])["lag"] == 0).then_some(()));
    }

    /// The newest job of each file, by the file's name.
    pub(crate) fn jobs(&self) -> BTreeMap<String, Value> {
        let jobs = self.ask(&["jobs"]);
        let name =
            |job: &Value| Path::new(job["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
        // The newest come first, and are to stay.
        jobs["jobs"].as_array().unwrap().iter().rev().map(|job| (name(job), job.clone())).collect()
    }

    /// Waits until a file's newest job is in this state.
    pub(crate) fn wait_for(&self, file: &str, state: &str) {
        until(&format!("{file} is {state}"), || (self.jobs().get(file)?["state"] == state).then_some(()));
    }

    /// What is found for these words.
    pub(crate) fn found(&self, words: &str) -> Vec<String> {
        let hits = self.ask(&["search", words]);
        let file = |hit: &Value| hit["file"].as_str().unwrap().to_owned();
        hits["hits"].as_array().unwrap().iter().map(file).collect()
    }

    /// The folder of the blobs of one kind.
    pub(crate) fn blobs(&self, kind: &str) -> PathBuf {
        self.product.data().join("blobs").join(kind)
    }

    /// All committed records of a topic.
    pub(crate) fn records(&self, topic: &str) -> Vec<Record> {
        self.on_log(async |log| {
            let spans = log.readable(&[topic.to_owned()]).await.unwrap();
            let (mut scan, mut records) = (log.scan(spans).await.unwrap(), Vec::new());
            while let Some(run) = scan.next().await.unwrap() {
                records.extend(run.records);
            }
            records
        })
    }

    /// Writes to the log, as somebody else might.
    pub(crate) fn append(&self, output: Output) {
        self.on_log(async |log| log.append(vec![output]).await.unwrap());
    }

    /// Makes the log forget what lies before `kept` in its partition, as retention does in time; `gone` is the one
    /// right before it.
    pub(crate) fn forget(&self, topic: &str, partition: i32, gone: &Record, kept: &Record) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            match &self.broker {
                Some(broker) => delete_before(broker, topic, partition, kept.offset).await,
                None => {
                    let between_ms = i64::midpoint(gone.timestamp_ms, kept.timestamp_ms);
                    expire_before(&self.product.data().join("log.db"), topic, between_ms).await;
                }
            }
        });
    }

    fn on_log<T>(&self, work: impl AsyncFnOnce(Arc<dyn Log>) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let log: Arc<dyn Log> = match &self.broker {
                Some(broker) => Arc::new(KafkaLog::connect(KafkaSettings::new(broker.bootstrap_servers())).unwrap()),
                None => Arc::new(SqliteLog::open(&self.product.data().join("log.db")).await.unwrap()),
            };
            work(log).await
        })
    }

    fn with_config(&self, arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|argument| (*argument).to_owned()).chain(self.config.iter().cloned()).collect()
    }
}

async fn delete_before(broker: &Broker, topic: &str, partition: i32, offset: i64) {
    let mut config = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> =
        config.set("bootstrap.servers", broker.bootstrap_servers()).create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();
}

/// Retention goes by time: for a moment the topic keeps what is as young as that.
async fn expire_before(file: &Path, topic: &str, time_ms: i64) {
    let log = SqliteLog::open(file).await.unwrap();
    let catalogue = Catalogue::shipped().unwrap();
    let kept = catalogue.topics[topic].retention;
    let age_ms = u64::try_from(now_ms() - time_ms).unwrap();
    for retention in [Some(Duration::from_millis(age_ms)), kept] {
        let topic = NewTopic {
            name: topic.to_owned(),
            partitions: catalogue.topics[topic].partitions,
            replication: 1,
            retention,
            compacted: false,
            largest_message_bytes: catalogue.topics[topic].largest_message_bytes,
        };
        log.create_topic(&topic).await.unwrap();
        log.enforce_retention().await.unwrap();
    }
}

/// A path as an argument.
pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A screen that says these words, and looks like no other.
pub(crate) fn screen(words: &str) -> String {
    let hash = words.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let (x, y, colour) = (40 + hash % 120, 150 + hash / 7 % 80, 0x10_10_10 | (hash % 0xe0_e0_e0));
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300">
  <rect width="400" height="300" fill="#f4f1ea"/><rect x="40" y="40" width="320" height="60" rx="8" fill="#2f5d50"/>
  <circle cx="{x}" cy="{y}" r="40" fill="#{colour:06x}"/><rect x="190" y="{y}" width="170" height="60" fill="#3d405b"/>
  <text x="60" y="80" font-size="28" fill="white">{words}</text></svg>"##
    )
}

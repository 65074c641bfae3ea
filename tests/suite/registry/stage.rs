//! What a stage does with ids that it does not know, and while the registry is down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use frameline_registry::{Registry, RegistrySettings};
use frameline_runtime::driver::{Plan, State, Status, run};
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_runtime::log::{Log, NewTopic};
use frameline_runtime::wire::Wire;
use frameline_runtime::{Headers, Outcome, Output, Record, Stage, StageSettings, TopicPartition};
use frameline_schemas::{Head, Manifest, Message, current, encode, file_id, job_id};
use frameline_tests::proxy::{Proxy, Weather};
use tokio_util::sync::CancellationToken;

use super::registry;

const PATIENCE: Duration = Duration::from_secs(60);

/// Passes manifests on.
struct Passing;

#[async_trait]
impl Stage for Passing {
    type In = Manifest;

    fn name(&self) -> &'static str {
        "passing"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["in"]
    }

    async fn process(&self, batch: Vec<Manifest>) -> Vec<Outcome> {
        let pass =
            |manifest: &Manifest| Outcome::Emit(vec![Output::of("out", manifest.head.file_id, manifest).unwrap()]);
        batch.iter().map(pass).collect()
    }
}

/// The stage at work on a log of its own, its registry behind a proxy.
struct Bench {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    proxy: Proxy,
    status: Status,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(weather: Weather) -> Self {
        let url = tokio::task::spawn_blocking(|| registry().url()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Arc::new(SqliteLog::open(&folder.path().join("log.db")).await.unwrap());
        for name in ["in", "out", "passing.dlq", frameline_topics::PROGRESS] {
            let topic = NewTopic {
                name: name.to_owned(),
                partitions: 1,
                replication: 1,
                retention: None,
                compacted: false,
                largest_message_bytes: 1 << 20,
            };
            log.create_topic(&topic).await.unwrap();
        }
        let proxy = Proxy::start().unwrap();
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        proxy.lead_to(host.rsplit(':').next().unwrap().parse().unwrap());
        proxy.set(weather);
        let url = format!("http://127.0.0.1:{}/{path}", proxy.port());
        let settings = RegistrySettings { url, timeout: Duration::from_secs(1), ca_file: None, login: None };
        let wire = Arc::new(Wire::of(Arc::new(Registry::new(&settings).unwrap())));
        let settings = StageSettings { commit_interval: Duration::from_millis(20), ..StageSettings::default() };
        let plan = Plan { wire: Arc::clone(&wire), ..Plan::new(settings, "one") };
        let (status, stop) = (Status::new("passing"), CancellationToken::new());
        tokio::spawn(run(Arc::new(Passing), Arc::clone(&log), plan, status.clone(), stop.clone()));
        Self { log, wire, proxy, status, stop, _folder: folder }
    }

    async fn feed(&self, value: impl Into<Bytes>) {
        let (topic, key) = ("in".into(), Some(Bytes::from(manifest().head.file_id.to_string())));
        let output = Output { topic, key, value: Some(value.into()), headers: Headers::new() };
        self.log.append(vec![output]).await.unwrap();
    }

    async fn read(&self, topic: &str) -> Vec<Record> {
        self.log.read(&TopicPartition::new(topic, 0), 0, 100).await.unwrap()
    }

    async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; {:?}", self.status.snapshot());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn manifest() -> Manifest {
    let file = file_id("acme", b"/sign-in.svg");
    let head = Head {
        tenant: "acme".into(),
        file_id: file,
        revision: 1,
        job_id: job_id(file, 1),
        file_name: "sign-in.svg".into(),
    };
    Manifest { head, format: "svg".into(), deleted: false, frames: 1, passages: 0, discovered_at: 1 }
}

/// The manifest as it stands after the five bytes in front.
fn body() -> Vec<u8> {
    encode(&manifest()).unwrap().split_off(5)
}

fn under(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_the_registry_does_not_know_is_a_dead_letter_with_the_bytes_as_they_came() {
    let bench = Bench::start(Weather::Fair).await;
    let unknown = under(4_000_000, &body());
    bench.feed(unknown.clone()).await;
    bench.until("a dead letter", async || !bench.read("passing.dlq").await.is_empty()).await;
    let letter = bench.read("passing.dlq").await.remove(0);
    assert_eq!(letter.value.as_deref(), Some(&unknown[..]));
    let header = |name: &str| letter.headers.text(name).unwrap_or_default().to_owned();
    assert_eq!(header("frameline-dlq-class"), "permanent");
    assert!(
        header("frameline-dlq-error").contains("schema id 4000000 is unknown"),
        "{}",
        header("frameline-dlq-error")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_somebody_else_is_read_by_resolution_and_written_on_with_ours() {
    let bench = Bench::start(Weather::Fair).await;
    let text = current("manifest").unwrap().text;
    let end = text.rfind(']').unwrap();
    let with_note = format!(r#"{},{{"name": "note", "type": "string", "default": ""}}{}"#, &text[..end], &text[end..]);
    let register = move || registry().register("somebody.Manifest", &with_note);
    let id = tokio::task::spawn_blocking(register).await.unwrap();
    // The note comes last, as a length (2, written as 4) and its bytes.
    bench.feed(under(id, &[&body()[..], &[4, b'h', b'i']].concat())).await;
    bench.until("an output", async || !bench.read("out").await.is_empty()).await;
    let output = bench.read("out").await.remove(0);
    let value = output.value.unwrap();
    assert_eq!(Message::decode_by(bench.wire.ids(), &value).unwrap(), Message::Manifest(manifest()));
    assert_ne!(frameline_schemas::schema_id(&value), Some(id));
    assert!(bench.read("passing.dlq").await.is_empty());
}

async fn waits_and_goes_on(weather: Weather) {
    let bench = Bench::start(weather).await;
    bench.feed(under(4_000_001, &body())).await;
    let is_paused =
        || matches!(bench.status.snapshot().state, State::Paused(reason) if reason.contains("schema registry"));
    bench.until("a pause that names the registry", async || is_paused()).await;
    assert!(bench.read("passing.dlq").await.is_empty(), "an outage costs no record");
    bench.proxy.set(Weather::Fair);
    bench.until("the dead letter of an unknown id", async || !bench.read("passing.dlq").await.is_empty()).await;
    bench.until("the stage goes on", async || bench.status.snapshot().state == State::Running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_registry_refuses_connections_the_stage_waits_and_goes_on_by_itself() {
    waits_and_goes_on(Weather::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_registry_does_not_answer_the_stage_waits_and_goes_on_by_itself() {
    waits_and_goes_on(Weather::Stalled).await;
}

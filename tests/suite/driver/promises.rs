use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use frameline_runtime::driver::State;
use frameline_runtime::log::Log;
use frameline_runtime::{Headers, Outcome, Output, Stage, StageSettings, headers};
use frameline_schemas::{Manifest, Message, encode, file_id, job_id};

use super::harness::{Obedient, Running, World, one_by_one, settings, text, wait_until};

/// A mix of everything that may happen to a record, over few keys so that order matters.
fn mixed(count: usize) -> Vec<(String, String)> {
    let words = ["ok", "ok", "ok", "transient", "ok", "skip", "ok", "permanent"];
    (0..count).map(|index| (format!("key-{}", index % 7), format!("{} {index}", words[index % words.len()]))).collect()
}

pub(super) async fn every_record_ends_once_in_the_order_of_its_key(log: Arc<dyn Log>) {
    let world = World::new(log, 3).await;
    let records = mixed(400);
    world.feed(records.clone()).await;
    let running = Running::start(&world, Obedient::new(&world), settings(), "one");
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();

    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let passes = |value: &str| value.starts_with("ok") || value.starts_with("transient");
    for (key, value) in records.iter().filter(|(_, value)| passes(value)) {
        expected.entry(key.clone()).or_default().push(value.clone());
    }
    assert_eq!(world.values_by_key(world.output).await, expected);
    let mut given_up: Vec<String> = world.dead_letters().await.iter().map(|letter| text(&letter.value)).collect();
    let mut permanent: Vec<String> =
        records.into_iter().map(|(_, value)| value).filter(|value| value.starts_with("permanent")).collect();
    given_up.sort();
    permanent.sort();
    assert_eq!(given_up, permanent);
}

pub(super) async fn a_slow_record_holds_back_itself_alone(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    world.feed([("slow".into(), "hold 0".into()), ("slow".into(), "ok behind".into())]).await;
    world.feed((1..60).map(|index| (format!("key-{index}"), format!("ok {index}")))).await;
    let stage = Obedient::new(&world);
    let running = Running::start(&world, Arc::clone(&stage), one_by_one(), "one");
    wait_until("all others are through", async || world.read(world.output).await.len() == 59).await;
    assert_eq!(stage.times_started("ok behind"), 0, "it has the key of the slow one");
    assert_eq!(world.committed().await, [Some(0)], "the committed offset stays before the slow one");
    running.kill().await;

    // What was finished above the committed offset is not done again.
    let again = Obedient::new(&world);
    again.open_gate();
    let running = Running::start(&world, Arc::clone(&again), one_by_one(), "one");
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    assert_eq!(again.started.lock().unwrap().as_slice(), ["hold 0", "ok behind"]);
    assert_eq!(world.read(world.output).await.len(), 61);
}

pub(super) async fn a_dependency_that_is_down_pauses_the_stage_and_costs_nothing(log: Arc<dyn Log>) {
    let world = World::new(log, 2).await;
    world.feed((0..40).map(|index| (format!("key-{}", index % 5), format!("ok {index}")))).await;
    let stage = Obedient::new(&world);
    stage.down.store(true, Ordering::SeqCst);
    let running = Running::start(&world, Arc::clone(&stage), settings(), "one");
    let paused = State::Paused("the dependency is down".to_owned());
    wait_until("it pauses", async || running.state() == paused).await;
    // Many more tries than a record has attempts.
    wait_until("it goes on trying", async || stage.batches.lock().unwrap().len() > 12).await;
    stage.down.store(false, Ordering::SeqCst);
    world.wait_for_no_lag().await;
    assert_eq!(running.state(), State::Running);
    running.stop().await.unwrap();
    assert_eq!(world.dead_letters().await.len(), 0);
    assert_eq!(world.read(world.output).await.len(), 40);
}

pub(super) async fn push_back_holds_its_key_back_and_neither_pauses_the_stage_nor_ends_in_a_dead_letter(
    log: Arc<dyn Log>,
) {
    let world = World::new(log, 2).await;
    world.feed([("a".to_owned(), "busy 0".to_owned()), ("a".to_owned(), "ok behind".to_owned())]).await;
    world.feed((0..20).map(|index| (format!("key-{index}"), format!("ok {index}")))).await;
    let stage = Obedient::new(&world);
    let running = Running::start(&world, Arc::clone(&stage), settings(), "one");
    wait_until("it was pushed back", async || stage.times_started("busy 0") > 1).await;
    assert_eq!(running.state(), State::Running);
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    assert_eq!(world.dead_letters().await.len(), 0);
    assert_eq!(world.values_by_key(world.output).await["a"], ["busy 0", "ok behind"]);
    assert_eq!(world.read(world.output).await.len(), 22);
}

pub(super) async fn too_many_dead_letters_in_a_row_stop_the_intake(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    world.feed((0..50).map(|index| ("same".to_owned(), format!("permanent {index}")))).await;
    let halting = StageSettings { halt_after: 5, batch_records: 1, concurrency: 1, ..settings() };
    let running = Running::start(&world, Obedient::new(&world), halting, "one");
    wait_until("it halts", async || matches!(running.state(), State::Halted(_))).await;
    running.status.publish();
    assert_eq!(world.metered("frameline_halted", &[]), 1.0);
    wait_until("what failed is committed", async || world.committed().await == [Some(5)]).await;
    running.stop().await.unwrap();
    assert_eq!(world.dead_letters().await.len(), 5, "the others stay on the topic");
}

pub(super) async fn a_record_that_breaks_the_stage_is_found_and_its_neighbours_go_through(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    let poisoned =
        (0..30).map(|index| (format!("key-{index}"), format!("{} {index}", if index == 11 { "panic" } else { "ok" })));
    world.feed(poisoned).await;
    let running = Running::start(&world, Obedient::new(&world), settings(), "one");
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    let letters = world.dead_letters().await;
    assert_eq!(letters.iter().map(|letter| text(&letter.value)).collect::<Vec<_>>(), ["panic 11"]);
    assert!(letters[0].headers.text("frameline-dlq-error").unwrap().contains("the stage panicked: the record says so"));
    assert_eq!(world.read(world.output).await.len(), 29);
}

/// Passes manifests on.
struct Typed(World);

#[async_trait]
impl Stage for Typed {
    type In = Manifest;

    fn name(&self) -> &'static str {
        self.0.stage
    }

    fn reads(&self) -> &'static [&'static str] {
        Box::leak(Box::new([self.0.input]))
    }

    async fn process(&self, batch: Vec<Manifest>) -> Vec<Outcome> {
        let pass = |manifest: &Manifest| match Output::of(self.0.output, manifest.head.file_id, manifest) {
            Ok(output) => Outcome::Emit(vec![output]),
            Err(error) => Outcome::Fail(error.into()),
        };
        batch.iter().map(pass).collect()
    }
}

fn manifest() -> Manifest {
    let file = file_id("acme", b"/sign-in.svg");
    let head = frameline_schemas::Head {
        tenant: "acme".into(),
        file_id: file,
        revision: 1,
        job_id: job_id(file, 1),
        file_name: "sign-in.svg".into(),
    };
    Manifest { head, format: "svg".into(), deleted: false, frames: 1, passages: 0, discovered_at: 1 }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn with_headers(world: &World, value: Vec<u8>, key: &str) -> Output {
    let mut carried = Headers::new();
    carried.push(headers::TRACEPARENT, TRACE);
    carried.push(headers::ORIGIN, "backfill");
    carried.push(headers::JOB, manifest().head.job_id.to_string());
    Output {
        topic: world.input.into(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(value.into()),
        headers: carried,
    }
}

pub(super) async fn bytes_that_are_no_record_go_to_the_dead_letters_as_they_are(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    let good = encode(&manifest()).unwrap();
    let mut flipped = good.clone();
    flipped[4] ^= 0x40;
    let cut = good[..good.len() - 3].to_vec();
    let broken = [Vec::new(), vec![0, 1], flipped, cut, b"{}".to_vec()];
    let key = manifest().head.file_id.to_string();
    let outputs = broken.iter().cloned().chain([good]).map(|value| with_headers(&world, value, &key)).collect();
    world.log.append(outputs).await.unwrap();
    let running = Running::start(&world, Arc::new(Typed(world.clone())), settings(), "one");
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();

    let letters = world.dead_letters().await;
    let values: Vec<Vec<u8>> = letters.iter().map(|letter| letter.value.clone().unwrap_or_default().to_vec()).collect();
    assert_eq!(values, broken);
    for (offset, letter) in letters.iter().enumerate() {
        let header = |name: &str| letter.headers.text(&format!("frameline-dlq-{name}")).unwrap_or("none").to_owned();
        assert_eq!(
            [header("class"), header("offset"), header("stage")],
            ["permanent".to_owned(), offset.to_string(), world.stage.to_owned()]
        );
        assert!(header("error").starts_with("undecodable: "), "{}", header("error"));
    }
    assert_eq!(world.read(world.output).await.len(), 1);
}

pub(super) async fn an_output_that_the_log_refuses_makes_its_record_a_dead_letter(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    world.feed([("a".into(), "ok 1".into()), ("b".into(), "large 2".into()), ("c".into(), "ok 3".into())]).await;
    let running = Running::start(&world, Obedient::new(&world), settings(), "one");
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    let letters = world.dead_letters().await;
    assert_eq!(letters.iter().map(|letter| text(&letter.value)).collect::<Vec<_>>(), ["large 2"]);
    assert!(letters[0].headers.text("frameline-dlq-error").unwrap().starts_with("refused: "));
    assert_eq!(world.read(world.output).await.len(), 2);
}

pub(super) async fn every_hop_carries_trace_origin_and_job(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    let good = with_headers(&world, encode(&manifest()).unwrap(), &manifest().head.file_id.to_string());
    let bad = with_headers(&world, b"no record".to_vec(), &manifest().head.file_id.to_string());
    world.log.append(vec![good, bad]).await.unwrap();
    let running = Running::start(&world, Arc::new(Typed(world.clone())), settings(), "one");
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();

    let job = manifest().head.job_id.to_string();
    let told: Vec<_> = world
        .log
        .read(&frameline_runtime::TopicPartition::new(frameline_topics::PROGRESS, 0), 0, 10_000)
        .await
        .unwrap();
    let of_this_stage =
        |record: &frameline_runtime::Record| match Message::decode(record.value.as_deref().unwrap_or_default()) {
            Ok(Message::Progress(progress)) => progress.stage == world.stage && progress.head.job_id.to_string() == job,
            _ => false,
        };
    let told: Vec<_> = told.into_iter().filter(of_this_stage).collect();
    assert_eq!(told.len(), 2, "one done, one failed");
    for record in world.read(world.output).await.iter().chain(&world.dead_letters().await).chain(&told) {
        let trace = record.headers.text(headers::TRACEPARENT).unwrap();
        assert_eq!(
            (&trace[..36], record.headers.text(headers::ORIGIN), record.headers.text(headers::JOB)),
            (&TRACE[..36], Some("backfill"), Some(job.as_str()))
        );
    }
}

pub(super) async fn intake_stops_when_enough_is_in_hand(log: Arc<dyn Log>) {
    const RECORDS: usize = 600;
    let world = World::new(log, 2).await;
    // So large that what the adapters may have on its way when intake is paused is far from everything.
    let large = |index| (format!("key-{index}"), format!("hold {index} {}", "x".repeat(60_000)));
    for few in 0..RECORDS / 50 {
        world.feed((50 * few..50 * (few + 1)).map(large)).await;
    }
    let stage = Obedient::new(&world);
    let bounded = StageSettings { in_flight_records: 100, ..settings() };
    let running = Running::start(&world, Arc::clone(&stage), bounded, "one");
    wait_until("it is saturated", async || running.status.snapshot().in_flight >= 100).await;
    // It stays so for as long as a driver that goes on taking would need for all of it, many times over.
    let until = Instant::now() + Duration::from_secs(3);
    wait_until("it has held back for a while", async || {
        assert!(running.status.snapshot().in_flight < RECORDS - 100);
        Instant::now() > until
    })
    .await;
    stage.open_gate();
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    assert_eq!(world.read(world.output).await.len(), RECORDS);
}

pub(super) async fn batches_fill_up_to_their_size(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    world.feed((0..64).map(|index| (format!("key-{}", index % 3), format!("ok {index}")))).await;
    let stage = Obedient::new(&world);
    let patient = StageSettings { batch_records: 8, linger: Duration::from_secs(5), concurrency: 1, ..settings() };
    let running = Running::start(&world, Arc::clone(&stage), patient, "one");
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    assert_eq!(*stage.batches.lock().unwrap(), [8; 8]);
}

//! What a stage shows of itself: spans, heartbeats, readiness.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use frameline_runtime::driver::Plan;
use frameline_runtime::log::Log;
use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings};
use frameline_runtime::trace::{Share, Span, SpanSink, TraceContext, Tracer, Value};
use frameline_runtime::{Headers, Outcome, Output, Raw, Stage, headers};
use frameline_tests::kafka::Broker;
use tokio::sync::Notify;

use super::harness::{Obedient, Running, World, one_by_one, settings, wait_until};

/// A loop goes round once a second; this is longer than that takes on a busy machine.
const STILL: Duration = Duration::from_secs(8);
/// A member that does not wait for warmth is in its group sooner, and at work.
const COLD_FOR: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Kept(Mutex<Vec<Span>>);

impl SpanSink for Kept {
    fn take(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

impl Kept {
    fn all(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }
}

fn told(span: &Span, key: &str) -> String {
    let (_, value) = span.attributes.iter().find(|(name, _)| *name == key).unwrap();
    match value {
        Value::Text(text) => text.to_string(),
        Value::Whole(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
    }
}

/// A record that came with this trace.
fn traced(world: &World, value: &str, context: &TraceContext) -> Output {
    let mut carried = Headers::new();
    carried.push(headers::TRACEPARENT, context.to_string());
    Output {
        topic: world.input.into(),
        key: Some("key".into()),
        value: Some(value.to_owned().into()),
        headers: carried,
    }
}

pub(super) async fn every_try_is_a_span_and_batches_only_link_to_them(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    let kept = Arc::new(Kept::default());
    let sink: Arc<dyn SpanSink> = kept.clone();
    let contexts: [TraceContext; 3] = std::array::from_fn(|_| TraceContext::root());
    let values = ["transient 0", "permanent 1", "skip 2"];
    let outputs = values.iter().zip(&contexts).map(|(value, context)| traced(&world, value, context)).collect();
    world.log.append(outputs).await.unwrap();
    // Nobody wants this one kept, and one belongs to no trace.
    let unwanted = format!("{}-00", &TraceContext::root().to_string()[..52]);
    let unwanted = TraceContext::parse(unwanted.as_bytes()).unwrap();
    world.log.append(vec![traced(&world, "ok 3", &unwanted)]).await.unwrap();
    world.feed([("key".to_owned(), "ok 4".to_owned())]).await;

    let plan = Plan { tracer: Tracer::new(sink, Share::of(1.0)), ..Plan::new(one_by_one(), "one") };
    let running = Running::run(&world, Obedient::new(&world), plan);
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();

    let (batches, tries): (Vec<Span>, Vec<Span>) =
        kept.all().into_iter().partition(|span| span.name == format!("{} batch", world.stage));
    let outcomes = |context: &TraceContext| -> Vec<(String, String)> {
        let of_it = tries.iter().filter(|span| span.context.trace_id() == context.trace_id());
        let checked = of_it.inspect(|span| assert_eq!(span.parent, Some(context.span_id()), "{span:?}"));
        checked.map(|span| (told(span, "frameline.outcome"), told(span, "frameline.attempt"))).collect()
    };
    let expected: [&[(&str, &str)]; 3] =
        [&[("retried", "1"), ("retried", "2"), ("done", "3")], &[("dead_lettered", "1")], &[("skipped", "1")]];
    for (context, expected) in contexts.iter().zip(expected) {
        let expected: Vec<_> =
            expected.iter().map(|(outcome, attempt)| ((*outcome).into(), (*attempt).into())).collect();
        assert_eq!(outcomes(context), expected);
    }
    assert_eq!(tries.len(), 5);
    let failed = tries.iter().filter(|span| span.error.is_some()).count();
    assert_eq!(failed, 3, "two tries and a dead letter");

    let passed_on = world.read(world.output).await;
    let carried = passed_on[0].headers.get(headers::TRACEPARENT).and_then(TraceContext::parse).unwrap();
    let done = tries.iter().find(|span| told(span, "frameline.outcome") == "done").unwrap();
    assert_eq!(carried, done.context, "the next hop follows from the try that went through");
    let letter = &world.dead_letters().await[0];
    assert_eq!(letter.headers.text(headers::TRACEPARENT), Some(contexts[1].to_string().as_str()), "as it came");

    let links: Vec<_> = batches.iter().flat_map(|batch| batch.links.clone()).collect();
    let by_id: BTreeMap<_, _> = tries.iter().map(|span| (span.context.span_id(), span.context)).collect();
    assert!(batches.iter().all(|batch| batch.parent.is_none() && !batch.links.is_empty()));
    assert_eq!(links.iter().map(|link| by_id[&link.span_id()]).collect::<Vec<_>>(), links);
    assert_eq!(links.len(), tries.len());
}

/// Warms up until it is let go.
struct Cold {
    world: World,
    warming: Notify,
    warm: Notify,
    is_warm: AtomicBool,
}

#[async_trait]
impl Stage for Cold {
    type In = Raw;

    fn name(&self) -> &'static str {
        self.world.stage
    }

    fn reads(&self) -> &'static [&'static str] {
        Box::leak(Box::new([self.world.input]))
    }

    async fn warm(&self) -> anyhow::Result<()> {
        self.warming.notify_one();
        self.warm.notified().await;
        self.is_warm.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn process(&self, batch: Vec<Raw>) -> Vec<Outcome> {
        assert!(self.is_warm.load(Ordering::Relaxed), "work before it is warm");
        batch.iter().map(|_| Outcome::Emit(Vec::new())).collect()
    }
}

pub(super) async fn a_stage_is_ready_once_it_is_warm_and_in_its_group_also_without_partitions(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    let cold = Arc::new(Cold {
        world: world.clone(),
        warming: Notify::new(),
        warm: Notify::new(),
        is_warm: AtomicBool::new(false),
    });
    world.feed([("key".to_owned(), "ok".to_owned())]).await;
    let first = Running::start(&world, Arc::clone(&cold), settings(), "one");
    cold.warming.notified().await;
    let until = Instant::now() + COLD_FOR;
    wait_until("it has been cold for a while", async || {
        assert!(!first.status.snapshot().ready, "it is cold");
        Instant::now() > until
    })
    .await;
    assert_eq!(world.committed().await, [None]);
    cold.warm.notify_one();
    wait_until("it is ready", async || first.status.snapshot().ready).await;
    world.wait_for_no_lag().await;

    let second = Running::start(&world, Obedient::new(&world), settings(), "two");
    wait_until("the one without partitions is ready too", async || second.status.snapshot().ready).await;
    second.stop().await.unwrap();
    first.stop().await.unwrap();
}

pub(super) async fn the_oldest_record_in_hand_ages_until_it_is_committed(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    world.feed([("held".to_owned(), "hold 0".to_owned()), ("other".to_owned(), "ok 1".to_owned())]).await;
    let stage = Obedient::new(&world);
    let running = Running::start(&world, Arc::clone(&stage), one_by_one(), "one");
    wait_until("it has aged", async || running.status.snapshot().oldest > Some(Duration::from_millis(300))).await;
    stage.open_gate();
    world.wait_for_no_lag().await;
    wait_until("none is in hand", async || running.status.snapshot().oldest.is_none()).await;
    running.stop().await.unwrap();
}

/// Blocks the thread that it works on, as no stage should.
struct Blocking {
    world: World,
    gate: Arc<std::sync::Barrier>,
}

#[async_trait]
impl Stage for Blocking {
    type In = Raw;

    fn name(&self) -> &'static str {
        self.world.stage
    }

    fn reads(&self) -> &'static [&'static str] {
        Box::leak(Box::new([self.world.input]))
    }

    async fn process(&self, batch: Vec<Raw>) -> Vec<Outcome> {
        self.gate.wait();
        batch.iter().map(|_| Outcome::Emit(Vec::new())).collect()
    }
}

/// It goes on beating for this long.
async fn beats_for(long: Duration, running: &Running) {
    let until = Instant::now() + long;
    wait_until("it has beaten for a while", async || {
        let heartbeat_ago = running.status.snapshot().heartbeat_ago();
        assert!(heartbeat_ago < STILL, "no beat for {heartbeat_ago:?}");
        Instant::now() > until
    })
    .await;
}

/// A restart would not bring the broker back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_does_not_stop_the_heartbeat() {
    let broker = tokio::task::spawn_blocking(Broker::start).await.unwrap();
    let log = Arc::new(KafkaLog::connect(KafkaSettings::new(broker.bootstrap_servers())).unwrap());
    let world = World::new(log, 1).await;
    let running = Running::start(&world, Obedient::new(&world), settings(), "one");
    wait_until("it is ready", async || running.status.snapshot().ready).await;
    broker.kill();
    beats_for(2 * STILL, &running).await;
    running.kill().await;
}

/// The only thread of a runtime is blocked by the stage, so its loop stands still, whatever the log does.
pub(super) async fn a_loop_that_stands_still_is_noticed_and_one_that_goes_on_again_too(log: Arc<dyn Log>) {
    let world = World::new(log, 1).await;
    let gate = Arc::new(std::sync::Barrier::new(2));
    let stage = Arc::new(Blocking { world: world.clone(), gate: Arc::clone(&gate) });
    let one_thread = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let running = {
        let _inside = one_thread.enter();
        Running::start(&world, stage, settings(), "one")
    };
    wait_until("it is ready", async || running.status.snapshot().ready).await;
    beats_for(2 * STILL, &running).await;

    world.feed([("key".to_owned(), "ok".to_owned())]).await;
    wait_until("its loop stands still", async || running.status.snapshot().heartbeat_ago() > STILL).await;
    tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
    wait_until("it goes on", async || running.status.snapshot().heartbeat_ago() < STILL).await;
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    one_thread.shutdown_background();
}

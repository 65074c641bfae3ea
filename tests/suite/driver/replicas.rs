//! Replicas of a stage come and go: on the embedded log, and on Apache Kafka under both group protocols.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use frameline_runtime::driver::Plan;
use frameline_runtime::log::Log;
use frameline_runtime::log::kafka::{GroupProtocol, KafkaLog, KafkaSettings};
use frameline_tests::kafka::Broker;

use super::harness::{Obedient, Running, World, one_by_one, settings, wait_until};

/// One that is longer than any pause of a busy machine, and the least time to poll in that goes with it.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

async fn kafka(group_protocol: GroupProtocol) -> Arc<dyn Log> {
    let broker = tokio::task::spawn_blocking(Broker::shared).await.unwrap();
    let mut settings = KafkaSettings { group_protocol, ..KafkaSettings::new(broker.bootstrap_servers()) };
    let poll_interval_ms = SESSION_TIMEOUT.as_millis().to_string();
    settings.properties.insert("max.poll.interval.ms".to_owned(), poll_interval_ms);
    Arc::new(KafkaLog::connect(settings).unwrap())
}

macro_rules! under_every_protocol {
    ($($check:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let (_guard, log) = crate::driver::sqlite().await;
                super::$check(log).await;
            })*
        }
        under_every_protocol! { @kafka on_kafka_by_the_members Classic $($check)* }
        under_every_protocol! { @kafka on_kafka_by_the_broker Consumer $($check)* }
    };
    (@kafka $module:ident $protocol:ident $($check:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let log = super::kafka(frameline_runtime::log::kafka::GroupProtocol::$protocol).await;
                super::$check(log).await;
            })*
        }
    };
}

under_every_protocol! {
    replicas_come_and_go_under_load_and_every_record_is_there_once_in_order,
    what_is_not_finished_in_time_is_given_up_and_never_committed_late,
    work_that_takes_longer_than_the_poll_interval_costs_no_membership,
}

/// A plan with timeouts that are as short as the tests' broker takes them.
fn plan(instance: &str, settings: frameline_runtime::StageSettings) -> Plan {
    let drain_deadline = SESSION_TIMEOUT / 3;
    Plan { session_timeout: SESSION_TIMEOUT, drain_deadline, ..Plan::new(settings, instance) }
}

/// Records that are written on and on.
struct Load {
    stop: Arc<AtomicBool>,
    writing: tokio::task::JoinHandle<BTreeMap<String, Vec<String>>>,
}

impl Load {
    const KEYS: usize = 29;

    fn start(world: &World) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, world) = (Arc::clone(&stop), world.clone());
        let writing = tokio::spawn(async move {
            let mut written: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let mut number = 0;
            while !told.load(Ordering::Relaxed) {
                let few: Vec<(String, String)> =
                    (number..number + 25).map(|n| (format!("key-{}", n % Self::KEYS), format!("ok {n}"))).collect();
                number += few.len();
                for (key, value) in &few {
                    written.entry(key.clone()).or_default().push(value.clone());
                }
                world.feed(few).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            written
        });
        Self { stop, writing }
    }

    /// Ends it; what was written, by key.
    async fn end(self) -> BTreeMap<String, Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        self.writing.await.unwrap()
    }
}

async fn replicas_come_and_go_under_load_and_every_record_is_there_once_in_order(log: Arc<dyn Log>) {
    let world = World::new(log, 12).await;
    let load = Load::start(&world);
    let start = |name: &str| {
        let stage = Obedient::new(&world);
        (Running::run(&world, Arc::clone(&stage), plan(name, settings())), stage)
    };
    let started = |stage: &Arc<Obedient>| stage.started.lock().unwrap().len();
    // Of one that works, new records are under way again and again.
    let works_on = async |stage: &Arc<Obedient>| {
        let before = started(stage);
        wait_until("it works", async || started(stage) > before + 20).await;
    };

    let mut replicas = vec![start("one")];
    works_on(&replicas[0].1).await;
    replicas.extend(["two", "three", "four"].map(start));
    for (_, stage) in &replicas {
        works_on(stage).await;
    }
    // The oldest, which may lead the group, and another.
    for index in [2, 0] {
        let (running, _) = replicas.remove(index);
        running.stop().await.unwrap();
    }
    for (_, stage) in &replicas {
        works_on(stage).await;
    }
    let written = load.end().await;
    world.wait_for_no_lag().await;
    for (running, _) in replicas {
        running.stop().await.unwrap();
    }
    assert_eq!(world.values_by_key(world.output).await, written);
}

async fn what_is_not_finished_in_time_is_given_up_and_never_committed_late(log: Arc<dyn Log>) {
    let world = World::new(log, 2).await;
    let held: Vec<(String, String)> = (0..8).map(|n| (format!("key-{n}"), format!("hold {n}"))).collect();
    world.feed(held.clone()).await;
    let (slow, quick) = (Obedient::new(&world), Obedient::new(&world));
    quick.open_gate();
    let many = frameline_runtime::StageSettings { concurrency: 8, ..one_by_one() };
    let first = Running::run(&world, Arc::clone(&slow), plan("one", many.clone()));
    wait_until("the first has all in hand", async || slow.started.lock().unwrap().len() == 8).await;
    let second = Running::run(&world, Arc::clone(&quick), plan("two", many));
    wait_until("the second did its share", async || !world.read(world.output).await.is_empty()).await;
    let moved = quick.started.lock().unwrap().len();
    assert!((1..8).contains(&moved), "{moved} of the records are another's now");

    let given_up = world.metered("frameline_rebalance_given_up_total", &[]);
    assert!(given_up >= 1.0, "{given_up} records were given up");
    slow.open_gate();
    world.wait_for_no_lag().await;
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    let expected: BTreeMap<String, Vec<String>> = held.into_iter().map(|(key, value)| (key, vec![value])).collect();
    assert_eq!(world.values_by_key(world.output).await, expected);
}

async fn work_that_takes_longer_than_the_poll_interval_costs_no_membership(log: Arc<dyn Log>) {
    let world = World::new(log, 2).await;
    world.feed((0..4).map(|n| (format!("key-{n}"), format!("hold {n}")))).await;
    let slow = Obedient::new(&world);
    let many = frameline_runtime::StageSettings { concurrency: 4, ..one_by_one() };
    let running = Running::run(&world, Arc::clone(&slow), plan("one", many));
    wait_until("it has all in hand", async || slow.started.lock().unwrap().len() == 4).await;
    let begun = Instant::now();
    wait_until("the interval is over twice", async || begun.elapsed() > 2 * SESSION_TIMEOUT).await;
    slow.open_gate();
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    assert_eq!(world.read(world.output).await.len(), 4);
    assert_eq!(slow.started.lock().unwrap().len(), 4, "none had to be done again");
}

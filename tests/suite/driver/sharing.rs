use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use frameline_runtime::driver::StageError;
use frameline_runtime::log::Log;

use super::harness::{Obedient, Running, World, one_by_one, settings, wait_until};

fn numbered(count: usize) -> Vec<(String, String)> {
    (0..count)
        .map(|index| {
            (format!("key-{}", index % 23), format!("{} {index}", if index % 9 == 4 { "transient" } else { "ok" }))
        })
        .collect()
}

fn by_key(records: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    records.iter().for_each(|(key, value)| values.entry(key.clone()).or_default().push(value.clone()));
    values
}

pub(super) async fn killed_at_any_moment_nothing_is_lost_or_doubled(log: Arc<dyn Log>) {
    let world = World::new(log, 4).await;
    let records = numbered(1_500);
    let mut random = fastrand::Rng::with_seed(7);
    let mut fed = 0;
    for chunk in records.chunks(250) {
        world.feed(chunk.to_vec()).await;
        fed += chunk.len();
        let running = Running::start(&world, Obedient::new(&world), settings(), "one");
        let some_more = world.read(world.output).await.len() + random.usize(1..chunk.len());
        wait_until("some are through", async || world.read(world.output).await.len() >= some_more.min(fed - 1)).await;
        running.kill().await;
    }
    let running = Running::start(&world, Obedient::new(&world), settings(), "one");
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    assert_eq!(world.values_by_key(world.output).await, by_key(&records));
}

pub(super) async fn a_stop_drains_and_commits(log: Arc<dyn Log>) {
    let world = World::new(log, 2).await;
    world.feed((0..8).map(|index| (format!("key-{index}"), format!("hold {index}")))).await;
    let stage = Obedient::new(&world);
    let running = Running::start(&world, Arc::clone(&stage), one_by_one(), "one");
    wait_until("work is under way", async || stage.started.lock().unwrap().len() >= 2).await;
    let stopping = tokio::spawn(running.stop());
    stage.open_gate();
    stopping.await.unwrap().unwrap();
    let started = stage.started.lock().unwrap().len();
    assert_eq!(world.read(world.output).await.len(), started, "what was started is finished and committed");
    let running = Running::start(&world, Arc::clone(&stage), one_by_one(), "one");
    world.wait_for_no_lag().await;
    running.stop().await.unwrap();
    assert_eq!(stage.started.lock().unwrap().len(), 8, "nothing is done twice");
}

pub(super) async fn a_second_member_takes_its_share_and_nothing_is_doubled(log: Arc<dyn Log>) {
    let world = World::new(log, 4).await;
    let records = numbered(3_000);
    let (first, second) = (Obedient::new(&world), Obedient::new(&world));
    let one = Running::start(&world, Arc::clone(&first), settings(), "one");
    world.feed(records[..1_000].to_vec()).await;
    wait_until("the first works", async || !first.started.lock().unwrap().is_empty()).await;
    let two = Running::start(&world, Arc::clone(&second), settings(), "two");
    let mut fed = 1_000;
    wait_until("the second has its share", async || {
        if fed < 2_900 {
            world.feed(records[fed..fed + 20].to_vec()).await;
            fed += 20;
        }
        !second.started.lock().unwrap().is_empty()
    })
    .await;
    one.stop().await.unwrap();
    world.feed(records[fed..].to_vec()).await;
    world.wait_for_no_lag().await;
    two.stop().await.unwrap();
    assert_eq!(world.values_by_key(world.output).await, by_key(&records));
}

pub(super) async fn a_second_process_of_the_same_name_fences_the_first(log: Arc<dyn Log>) {
    let world = World::new(log, 2).await;
    let records = numbered(300);
    let held = Obedient::new(&world);
    world.feed([("key-0".to_owned(), "hold first".to_owned())]).await;
    let first = Running::start(&world, Arc::clone(&held), settings(), "one");
    wait_until("the first has it in hand", async || held.times_started("hold first") == 1).await;
    let stage = Obedient::new(&world);
    stage.open_gate();
    let second = Running::start(&world, Arc::clone(&stage), settings(), "one");
    wait_until("the second did it", async || world.read(world.output).await.len() == 1).await;
    held.open_gate();
    world.feed(records.clone()).await;
    world.wait_for_no_lag().await;
    let ended = tokio::time::timeout(Duration::from_secs(30), first.end()).await.unwrap();
    assert!(matches!(ended, Err(StageError::Fenced { .. })), "{ended:?}");
    second.stop().await.unwrap();
    let mut expected = by_key(&records);
    expected.entry("key-0".to_owned()).or_default().insert(0, "hold first".to_owned());
    assert_eq!(world.values_by_key(world.output).await, expected);
}

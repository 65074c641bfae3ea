//! Every meter of the driver counts what it is for: each is published from the start, so that it is there says nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use frameline_runtime::log::Log;
use frameline_runtime::{StageSettings, metric};

use super::harness::{Obedient, Running, World, settings, wait_until};

pub(super) async fn every_meter_counts_what_it_is_for(log: Arc<dyn Log>) {
    let world = World::new(log, 2).await;
    let stage = Obedient::new(&world);
    let calm = StageSettings { halt_after: 100, ..settings() };
    stage.down.store(true, Ordering::SeqCst);
    let running = Running::start(&world, Arc::clone(&stage), calm.clone(), "one");
    feed(&world, &["ok 0"]).await;
    meets(&world, &running, metric::RETRIES.name, &[("class", "unavailable")], 1.0).await;
    meets(&world, &running, metric::PAUSED.name, &[], 1.0).await;
    meets(&world, &running, metric::DEPENDENCY_DOWN.name, &[("dependency", "down")], 1.0).await;
    stage.down.store(false, Ordering::SeqCst);
    // It has a commit of its own.
    world.wait_for_no_lag().await;

    feed(&world, &["transient 1", "busy 2", "permanent 3", "skip 4", "large 5"]).await;
    world.wait_for_no_lag().await;
    for (name, label, least) in [
        (metric::RETRIES.name, ("class", "transient"), 2.0),
        (metric::RETRIES.name, ("class", "busy"), 12.0),
        (metric::DEAD_LETTERS.name, ("class", "permanent"), 2.0),
        (metric::SKIPS.name, ("reason", "told"), 1.0),
        (metric::COMMITS_FAILED.name, ("reason", "refused"), 1.0),
        (metric::RECORDS.name, ("outcome", "done"), 3.0),
        (metric::RECORDS.name, ("outcome", "skipped"), 1.0),
        (metric::RECORDS.name, ("outcome", "dead_lettered"), 2.0),
        (metric::REBALANCES.name, ("change", "assigned"), 1.0),
        ("frameline_rebalance_pause_seconds_count", ("side", "taken"), 2.0),
    ] {
        meets(&world, &running, name, &[label], least).await;
    }
    // How many go into one commit is the log's pace.
    for (name, least) in [
        ("frameline_batch_records_count", 3.0),
        ("frameline_processing_seconds_count", 3.0),
        ("frameline_commit_seconds_count", 2.0),
    ] {
        meets(&world, &running, name, &[], least).await;
    }

    feed(&world, &["hold 6"]).await;
    meets(&world, &running, metric::IN_FLIGHT.name, &[], 1.0).await;
    meets(&world, &running, metric::WORKING.name, &[], 1.0).await;
    meets(&world, &running, metric::OLDEST_UNFINISHED.name, &[], 0.2).await;
    meets(&world, &running, metric::LAG.name, &[("topic", world.input)], 1.0).await;
    stage.open_gate();
    world.wait_for_no_lag().await;

    let other = Obedient::new(&world);
    let second = Running::start(&world, Arc::clone(&other), calm, "two");
    for (name, label) in [
        (metric::REBALANCES.name, ("change", "revoked")),
        ("frameline_rebalance_pause_seconds_count", ("side", "given")),
        ("frameline_rebalance_pause_seconds_count", ("side", "kept")),
    ] {
        meets(&world, &running, name, &[label], 1.0).await;
    }
    second.stop().await.unwrap();
    running.stop().await.unwrap();
}

/// Each under a key of its own.
async fn feed(world: &World, values: &[&str]) {
    world.feed(values.iter().map(|value| (format!("key of {value}"), (*value).to_owned()))).await;
}

/// Waits until the stage's metric is at least this, over all samples with the label.
async fn meets(world: &World, running: &Running, name: &str, labels: &[(&str, &str)], least: f64) {
    wait_until(&format!("{name} {labels:?} is {least} or more"), async || {
        running.status.publish();
        world.metered(name, labels) >= least
    })
    .await;
}

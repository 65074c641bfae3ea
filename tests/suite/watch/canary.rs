//! The canary: a drawn file that goes the way of all files, and is found.

use frameline_stores::vectors::{SqliteVectors, Vectors};
use frameline_tests::http;

use crate::process::{Product, Running, until};

fn start(product: &Product, more: &[&str]) -> Running {
    Running::start(product.command(["canary", "--json", "--listen", "127.0.0.1:0"].iter().chain(more)))
}

/// A series of the canary's scrape.
fn series(canary: &Running, series: &str) -> Option<f64> {
    let (status, text) = http::get(canary.ready["address"].as_str().unwrap(), "/metrics").unwrap();
    assert_eq!(status, 200);
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn frames(product: &Product) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        SqliteVectors::open(&product.data().join("vectors.db")).await.unwrap().counts().await.unwrap().frames
    })
}

fn jobs(product: &Product) -> usize {
    product.json(["jobs", "--limit", "1000"])["jobs"].as_array().unwrap().len()
}

#[test]
fn one_canary_tells_how_long_it_took_and_is_taken_out_again() {
    let product = Product::new();
    let mut service = product.up();
    let found = product.json(["canary", "--once"]);
    assert_eq!(found["event"], "found");
    assert!((0.0..300.0).contains(&found["seconds"].as_f64().unwrap()), "{found}");
    until("it has left the index", || (frames(&product) == 0 && jobs(&product) == 2).then_some(()));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn each_canary_is_found_and_takes_the_place_of_the_one_before() {
    let product = Product::new();
    let mut service = product.up();
    let mut canary = start(&product, &["--every", "1s"]);
    assert_eq!((&canary.ready["event"], &canary.ready["every_s"]), (&"ready".into(), &1.0.into()));
    for _ in 0..3 {
        let found = canary.next_event();
        assert_eq!(found["event"], "found", "{found}");
    }
    assert!(series(&canary, "frameline_canary_seconds_count").is_some_and(|count| count >= 3.0));
    assert!(series(&canary, "frameline_canary_last_success_timestamp_seconds").is_some_and(|at| at > 1.7e9));
    assert_eq!(series(&canary, "frameline_canary_failures_total{reason=\"late\"}"), Some(0.0));
    assert_eq!(canary.stop(), Some(0));
    until("only the newest is in the index", || (frames(&product) == 1).then_some(()));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn canaries_that_nobody_works_on_are_late_and_do_not_pile_up() {
    let product = Product::new();
    let mut canary = start(&product, &["--every", "10ms", "--timeout", "5s"]);
    assert_eq!(series(&canary, "frameline_canary_last_success_timestamp_seconds"), Some(0.0));
    for missed in 1..=2 {
        let event = canary.next_event();
        assert_eq!((&event["event"], &event["reason"]), (&"missed".into(), &"late".into()), "{event}");
        // The next one may be on its way.
        assert!((missed..=missed + 1).contains(&jobs(&product)));
    }
    assert!(series(&canary, "frameline_canary_failures_total{reason=\"late\"}").is_some_and(|count| count >= 2.0));

    let mut service = product.up();
    until("a canary is found", || (canary.next_event()["event"] == "found").then_some(()));
    assert_eq!((canary.stop(), service.stop()), (Some(0), Some(0)));
    product.run(["canary", "--once", "--timeout", "1s"]).refuses(&["was not found", "frameline lag"]);
}

//! One upload is one trace through all hops; batches link to its spans.

use std::collections::{BTreeMap, BTreeSet};

use super::receiver::{Receiver, Span};
use super::{BROKEN_PICTURE, SCREENS, up_with};
use crate::process::{Product, samples, until};

const PRODUCER: u8 = 4;
const CONSUMER: u8 = 5;
const ERROR: u8 = 2;

/// Which hops may come before a hop.
fn before(hop: &str) -> &'static [&'static str] {
    match hop {
        "discover" => &[],
        "identify" => &["discover"],
        "render" => &["identify"],
        "validate" => &["render"],
        "embed" => &["validate", "identify"],
        "index" => &["embed"],
        "jobs" => &["identify", "render", "validate", "embed", "index"],
        other => panic!("{other} is no hop"),
    }
}

fn is_batch(span: &Span) -> bool {
    span.name.ends_with(" batch")
}

/// What a file's spans are once all its hops are through: spans of records by id, and those of batches.
fn wait_for(
    receiver: &Receiver,
    count: impl Fn(&BTreeMap<String, Span>) -> bool,
) -> (BTreeMap<String, Span>, Vec<Span>) {
    until("all spans have come", || {
        let (batches, records): (Vec<Span>, Vec<Span>) = receiver.spans().into_iter().partition(is_batch);
        let records: BTreeMap<_, _> = records.into_iter().map(|span| (span.span_id.clone(), span)).collect();
        let linked: BTreeSet<_> = batches.iter().flat_map(|batch| &batch.links).map(|link| &link.span_id).collect();
        let all_linked = records.values().all(|span| span.name == "discover" || linked.contains(&span.span_id));
        (all_linked && count(&records)).then_some((records, batches))
    })
}

fn told_by(records: &BTreeMap<String, Span>, hop: &str) -> usize {
    records.values().filter(|span| span.name == hop).count()
}

#[test]
fn one_upload_is_one_trace_from_add_to_the_index_and_a_batch_is_nobodys_parent() {
    let product = Product::new();
    // A receiver that is busy at first is asked again.
    let receiver = Receiver::start(1);
    let keys = product.file("settings/keys", "authorization=Bearer s3cret\n");
    let settings = format!(
        "[telemetry]\notlp_endpoint = \"{}\"\notlp_headers_file = \"{}\"\n",
        receiver.endpoint(),
        keys.display()
    );
    let mut service = up_with(&product, &settings, &[]);
    let config = product.file("settings/frameline.toml", settings);
    let screens = samples().join("screens").join("checkout.svg");
    let added = product.json(["add", "--wait", "--config", config.to_str().unwrap(), screens.to_str().unwrap()]);
    assert_eq!(added["counts"]["done"], 1, "{added}");
    let job = added["files"][0]["job"].as_str().unwrap().to_owned();

    // The frames and the end; and what each hop told about the job: of the file, also how many frames it has.
    let units = product.json(["jobs", &job])["frames"].as_u64().unwrap() as usize + 1;
    assert!(units > 2, "several frames");
    let of_jobs = 2 + 4 * units;
    let (records, batches) = wait_for(&receiver, |records| told_by(records, "jobs") >= of_jobs);
    let traces: BTreeSet<_> = records.values().map(|span| span.trace_id.as_str()).collect();
    assert_eq!(traces.len(), 1, "one upload, one trace");
    let frames = ["render", "validate", "embed", "index"].map(|hop| (hop, units));
    for (hop, expected) in [("discover", 1), ("identify", 1), ("jobs", of_jobs)].into_iter().chain(frames) {
        assert_eq!(told_by(&records, hop), expected, "{hop}");
    }
    for span in records.values() {
        assert_eq!(span.attribute("frameline.job_id").as_deref(), Some(job.as_str()), "{span:?}");
        assert_eq!(span.attribute("frameline.origin").as_deref(), Some("live"));
        assert_eq!(span.kind, if span.name == "discover" { PRODUCER } else { CONSUMER });
        assert_eq!(span.status.code, 0, "{span:?}");
        let parent = span.parent_span_id.as_ref().map(|parent| records[parent].name.as_str());
        let expected = before(&span.name);
        assert!(
            parent.map_or(expected.is_empty(), |parent| expected.contains(&parent)),
            "{} after {parent:?}",
            span.name
        );
    }
    let searchable: Vec<f64> = records
        .values()
        .filter_map(|span| span.attribute("frameline.searchable_seconds"))
        .map(|seconds| seconds.parse().unwrap())
        .collect();
    assert!(matches!(searchable[..], [seconds] if seconds > 0.0 && seconds < 300.0), "{searchable:?}");

    for batch in &batches {
        assert!(batch.parent_span_id.is_none() && !traces.contains(batch.trace_id.as_str()), "{batch:?}");
        assert!(!batch.links.is_empty() && batch.dropped_links_count == 0, "{batch:?}");
        for link in &batch.links {
            let linked = &records[&link.span_id];
            assert_eq!((&linked.trace_id, format!("{} batch", linked.name)), (&link.trace_id, batch.name.clone()));
        }
    }
    assert!(receiver.headers().contains(&"authorization: bearer s3cret".to_owned()));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn the_span_of_a_dead_letter_says_what_went_wrong() {
    let product = Product::new();
    let receiver = Receiver::start(0);
    let settings = format!("[telemetry]\notlp_endpoint = \"{}\"\n", receiver.endpoint());
    let mut service = up_with(&product, &settings, &[]);
    let broken = product.file("broken.png", BROKEN_PICTURE);
    assert_eq!(product.run(["add", "--wait", broken.to_str().unwrap()]).status, Some(1));
    let (records, _) = wait_for(&receiver, |records| told_by(records, "jobs") >= 1);
    let failed: Vec<_> = records.values().filter(|span| span.name == "identify").collect();
    let [failed] = failed[..] else { panic!("{failed:?}") };
    assert_eq!((failed.status.code, failed.status.message.is_empty()), (ERROR, false), "{failed:?}");
    assert_eq!(failed.attribute("frameline.outcome").as_deref(), Some("dead_lettered"));
    assert_eq!(failed.attribute("frameline.failure.class").as_deref(), Some("permanent"));
    assert!(failed.attribute("error.type").is_some());
    assert_eq!(failed.attribute("messaging.destination.name").as_deref(), Some("files"));
    let told = records.values().find(|span| span.name == "jobs").unwrap();
    assert_eq!(told.parent_span_id.as_ref(), Some(&failed.span_id), "what its job is told follows from it");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_receiver_that_is_away_costs_spans_that_are_counted_and_no_work() {
    let product = Product::new();
    // Nobody listens on this port, and nobody is ever given it when any free one is asked for.
    let settings = "[telemetry]\notlp_endpoint = \"http://127.0.0.1:1\"\nqueue_spans = 4\n";
    let mut service = up_with(&product, settings, &[]);
    let screens = product.file("screens.svg", SCREENS);
    let added = product.json(["add", "--wait", screens.to_str().unwrap()]);
    assert_eq!(added["counts"]["done"], 1, "{added}");
    until("spans that did not arrive are counted", || {
        let families = super::exposition::read(&super::get(&service, "/metrics").1);
        let spans = families.get("frameline_trace_spans_total")?;
        (spans.sum("outcome", "dropped") + spans.sum("outcome", "failed") > 0.0).then_some(())
    });
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn of_a_share_of_nothing_nothing_is_sent() {
    let product = Product::new();
    let receiver = Receiver::start(0);
    let settings = format!("[telemetry]\notlp_endpoint = \"{}\"\nsample_ratio = 0.0\n", receiver.endpoint());
    let mut service = up_with(&product, &settings, &[]);
    let screens = product.file("screens.svg", SCREENS);
    assert_eq!(product.json(["add", "--wait", screens.to_str().unwrap()])["counts"]["done"], 1);
    // What was queued is sent before the process ends.
    assert_eq!(service.stop(), Some(0));
    assert_eq!(receiver.spans().len(), 0);
}

//! The table of metrics and a scrape of the product are held to each other.

use std::collections::{BTreeMap, BTreeSet};

use frameline_runtime::metric::{self, Kind};

use super::exposition::{self, Family};
use super::receiver::Receiver;
use super::{BROKEN_PICTURE, SCREENS, get, up_with};
use crate::process::{Product, Running, until};

fn scrape(service: &Running) -> BTreeMap<String, Family> {
    let (status, text) = get(service, "/metrics");
    assert_eq!(status, 200);
    exposition::read(&text)
}

#[test]
fn every_metric_of_the_table_is_published_and_every_published_one_is_in_the_table() {
    let product = Product::new();
    let receiver = Receiver::start(0);
    let settings = format!("[telemetry]\notlp_endpoint = \"{}\"\n", receiver.endpoint());
    let mut service = up_with(&product, &settings, &[]);
    let broken = product.file("files/broken.png", BROKEN_PICTURE);
    product.file("files/screens.svg", SCREENS);
    product.file("files/notes.md", "# Kelp\n\nThe otter files its report.\n");
    let folder = broken.parent().unwrap().to_str().unwrap();
    assert_eq!(product.run(["add", "--wait", folder]).status, Some(1), "one of three files is broken");

    let is_of_canary = |name: &str| name.starts_with("frameline_canary_");
    let mut families = until("every metric of the table is published", || {
        let families = scrape(&service);
        let mut missing = metric::ALL.iter().filter(|metric| !families.contains_key(metric.name));
        missing.all(|metric| is_of_canary(metric.name)).then_some(families)
    });
    check_counts(&families);
    let mut canary = Running::start(product.command(["canary", "--json", "--listen", "127.0.0.1:0"]));
    families.extend(scrape(&canary).into_iter().filter(|(name, _)| is_of_canary(name)));
    assert_eq!(families.len(), metric::ALL.len());
    for (name, family) in &families {
        let known = metric::ALL.iter().find(|metric| metric.name == name);
        let known = known.unwrap_or_else(|| panic!("{name} is not in the table of metrics"));
        assert_eq!((family.kind.as_str(), family.help.as_str()), (known.kind.as_str(), known.about), "{name}");
        assert_eq!(family.labels(), known.labels.iter().copied().collect(), "{name}");
        if let Kind::Histogram(bounds) = known.kind {
            check_bounds(name, family, bounds);
        }
    }
    check_probes(&service);
    assert_eq!((canary.stop(), service.stop()), (Some(0), Some(0)));
}

fn check_bounds(name: &str, family: &Family, bounds: &[f64]) {
    let told = family.samples.iter().filter_map(|sample| sample.labels.get("le")).map(|le| le.parse::<f64>().unwrap());
    let told: BTreeSet<u64> = told.filter(|bound| bound.is_finite()).map(f64::to_bits).collect();
    assert_eq!(told, bounds.iter().map(|bound| bound.to_bits()).collect(), "{name}");
}

/// What three files, one of them broken, leave in the counts.
fn check_counts(families: &BTreeMap<String, Family>) {
    let total = |name: &str, label: &str, value: &str| families[name].sum(label, value);
    let of_identify =
        families["frameline_records_total"].samples.iter().filter(|sample| sample.labels["stage"] == "identify");
    let by_outcome: BTreeMap<_, _> =
        of_identify.map(|sample| (sample.labels["outcome"].as_str(), sample.value)).collect();
    assert_eq!(by_outcome, BTreeMap::from([("dead_lettered", 1.0), ("done", 2.0), ("skipped", 0.0)]));
    assert_eq!(total("frameline_dead_letters_total", "class", "permanent"), 1.0);
    let searchable = &families["frameline_file_searchable_seconds"];
    let counted = searchable.samples.iter().filter(|sample| sample.name.ends_with("_count"));
    let by_origin: BTreeMap<_, _> = counted.map(|sample| (sample.labels["origin"].as_str(), sample.value)).collect();
    assert_eq!(by_origin, BTreeMap::from([("backfill", 0.0), ("live", 2.0), ("replay", 0.0)]));
    assert_eq!(total("frameline_ready", "stage", "index"), 1.0);
    assert!(families["frameline_limiter_limit"].samples.iter().all(|sample| sample.value >= 1.0));
    for name in ["frameline_paused", "frameline_halted"] {
        assert!(families[name].samples.iter().all(|sample| sample.value == 0.0), "{name}");
    }
    let labels = families.values().flat_map(|family| &family.samples).flat_map(|sample| sample.labels.values());
    let of_a_file: Vec<_> = labels.filter(|value| value.contains(".svg") || value.len() >= 36).collect();
    assert!(of_a_file.is_empty(), "labels that name files: {of_a_file:?}");
}

fn check_probes(service: &Running) {
    assert_eq!(get(service, "/healthz"), (200, "ok\n".to_owned()));
    let (status, body) = get(service, "/readyz");
    let readiness: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &readiness["ready"]), (200, &true.into()));
    let stages: Vec<_> = readiness["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].clone()).collect();
    assert_eq!(stages, ["identify", "render", "validate", "embed", "index", "jobs"]);
}

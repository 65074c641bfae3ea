//! The way to CloudWatch: what of the collector's configuration can be held to something here.

use std::collections::BTreeSet;
use std::fs;

use frameline_tests::promql::promtool;
use serde_json::Value;

use super::{assert_metrics_are_known, chart, read};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_collector_scrapes_as_prometheus_does_and_sends_metrics_that_there_are() {
    let text = read(chart().join("cloudwatch/collector.yaml"));
    assert_metrics_are_known(&text, "the collector");
    let configuration: Value = serde_yaml_ng::from_str(&text).unwrap();
    let pipelines = configuration["service"]["pipelines"].as_object().unwrap();
    for kind in ["receivers", "processors", "exporters"] {
        let used = pipelines.values().flat_map(|pipeline| pipeline[kind].as_array().unwrap());
        let used: BTreeSet<&str> = used.map(|name| name.as_str().unwrap()).collect();
        assert_eq!(used, keys(&configuration[kind]), "{kind} that no pipeline uses, or that there are not");
    }

    // Debian's Prometheus knows nothing of Kubernetes: how pods are found is left out, the rest is held to it.
    let mut scrapes = configuration["receivers"]["prometheus"]["config"].clone();
    let job = scrapes["scrape_configs"][0].as_object_mut().unwrap();
    let pods = serde_json::json!([{"role": "pod", "namespaces": {"names": ["${env:FRAMELINE_NAMESPACE}"]}}]);
    assert_eq!(job.remove("kubernetes_sd_configs"), Some(pods));
    job.insert("static_configs".to_owned(), serde_json::json!([{"targets": ["127.0.0.1:8470"]}]));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("prometheus.yaml"), serde_yaml_ng::to_string(&scrapes).unwrap()).unwrap();
    promtool(folder.path(), &["check", "config", "prometheus.yaml"]).unwrap_or_else(|error| panic!("{error:#}"));
}

//! What watches the product: alerts, dashboards, the canary, and the way to CloudWatch.

mod alerts;
mod canary;
mod collector;
mod dashboards;
mod firing;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use frameline_runtime::metric::{self, Kind};
use frameline_tests::helm::chart;
use frameline_tests::prometheus::Prometheus;
use frameline_tests::promql::hastened;
use frameline_tests::server::free_port;

/// Rules go so many times faster here: what takes a quarter of an hour takes 15 seconds.
const HASTE: u64 = 60;

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A Prometheus that looks at these addresses every second, under the chart's rules at another pace, and tells these
/// Alertmanagers.
fn prometheus(targets: &[String], alertmanagers: &[String]) -> Prometheus {
    let rules = hastened(&read(chart().join("alerts/frameline.yaml")), HASTE);
    let [targets, alertmanagers] = [targets, alertmanagers].map(|addresses| serde_json::to_string(addresses).unwrap());
    let configuration = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 500ms}}\nrule_files: [rules.yaml]\nscrape_configs:\n  \
         - job_name: frameline\n    static_configs:\n      - targets: {targets}\nalerting:\n  alertmanagers:\n    \
         - static_configs:\n      - targets: {alertmanagers}\n"
    );
    let prepare = |folder: &Path| Ok(fs::write(folder.join("rules.yaml"), rules)?);
    Prometheus::start(&configuration, prepare).unwrap_or_else(|error| panic!("no Prometheus to test on: {error:#}"))
}

/// An address that nobody listens on yet.
fn free_address() -> String {
    format!("127.0.0.1:{}", free_port().unwrap())
}

/// All names in a text that begin so.
fn names<'a>(text: &'a str, beginning: &str) -> BTreeSet<&'a str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    text.split(|letter| !is_part(letter)).filter(|word| word.starts_with(beginning)).collect()
}

/// Holds the metrics that a text names to the table of metrics.
fn assert_metrics_are_known(text: &str, whose: &str) {
    for name in names(text, "frameline_").into_iter().filter(|name| !name.ends_with('_')) {
        let is_known = metric::ALL.iter().any(|metric| match metric.kind {
            Kind::Histogram(_) => {
                ["", "_bucket", "_sum", "_count"].iter().any(|end| name == format!("{}{end}", metric.name))
            }
            Kind::Counter | Kind::Gauge => name == metric.name,
        });
        assert!(is_known, "{whose} names {name}, which is not in the table of metrics");
    }
}

//! What the chart adds up before there is a pod comes out as in the product.

use std::time::Duration;

use frameline_runtime::retry::Backoff;
use frameline_runtime::settings::duration;
use frameline_tests::helm::{render, values};
use serde_json::Value;

use super::contradictions::refused;
use crate::process::Product;

/// Those that a file passes until it is searchable.
const WAY: [&str; 5] = ["identify", "render", "validate", "embed", "index"];

/// What the product has by default.
struct Defaults(Value);

impl Defaults {
    fn of(product: &Product) -> Self {
        Self(product.json(["config", "show"]))
    }

    fn of_key(&self, key: &str) -> &Value {
        let keys = self.0["keys"].as_array().unwrap();
        &keys.iter().find(|found| found["name"] == key).unwrap_or_else(|| panic!("no key {key}"))["default"]
    }

    fn number(&self, key: &str) -> u64 {
        self.of_key(key).as_u64().unwrap()
    }

    fn duration(&self, key: &str) -> Duration {
        duration::parse(self.of_key(key).as_str().unwrap()).unwrap()
    }
}

#[track_caller]
fn taken(set: &[&str]) {
    render(&[&values("minimal")], set).unwrap();
}

#[test]
fn what_a_stage_may_hold_fits_into_its_container() {
    let defaults = Defaults::of(&Product::new());
    for stage in WAY.into_iter().chain(["jobs"]) {
        let of = |key: &str| defaults.number(&format!("stages.{stage}.{key}"));
        // The chart's values have two of them.
        let in_children = match stage {
            "identify" | "render" => 2 * defaults.number(&format!("{stage}.worker_memory_bytes")),
            _ => 0,
        };
        let need = of("in_flight_bytes") + of("batch_bytes") * of("concurrency") + in_children;
        let limit = |bytes: u64| format!("stages.{stage}.resources.limits.memory={bytes}");
        taken(&[&limit(need)]);
        let less = limit(need - 1);
        let words = [format!("stages.{stage} may hold {need} bytes"), format!("limits.memory is {}:", need - 1)];
        refused("minimal", &[&less], &[&words[0], &words[1]]);
    }
    let workers = ["with 4 config.identify.workers of 1610612736 bytes", "limits.memory is 4Gi"];
    refused("minimal", &["config.identify.workers=4"], &workers);
    let batches = ["stages.embed may hold 2267108864 bytes", "limits.memory is 2Gi"];
    refused("minimal", &["stages.embed.settings.batch_bytes=1100000000"], &batches);
    for quantity in ["500m", "much", "2GB"] {
        let words = format!("stages.embed.resources.limits.memory is {quantity}, which is no memory");
        refused("minimal", &[&format!("stages.embed.resources.limits.memory={quantity}")], &[&words]);
    }
}

#[test]
fn a_record_that_needs_every_attempt_is_in_time() {
    let defaults = Defaults::of(&Product::new());
    let waits = |stage: &str| {
        let of = |key: &str| format!("stages.{stage}.{key}");
        let backoff = Backoff { base: defaults.duration(&of("retry_base")), cap: defaults.duration(&of("retry_cap")) };
        backoff.longest(defaults.number(&of("retry_attempts")).try_into().unwrap())
    };
    let others: Duration = WAY.into_iter().filter(|stage| *stage != "render").map(waits).sum();
    for (attempts, base, cap) in [(5, "100ms", "30s"), (0, "1s", "1s"), (12, "50ms", "1m"), (100, "1ms", "10m")] {
        let backoff = Backoff { base: duration::parse(base).unwrap(), cap: duration::parse(cap).unwrap() };
        let sum = others + backoff.longest(attempts);
        let set = |key: &str, value: &str| format!("stages.render.settings.retry_{key}={value}");
        let render = [set("attempts", &attempts.to_string()), set("base", base), set("cap", cap)].join(",");
        let promised = |ms: u128| format!("config.service.searchable_within={ms}ms");
        let words = format!("waits between attempts are {} s in all stages", sum.as_secs());
        refused("minimal", &[&render, &promised(sum.as_millis())], &[&words]);
        taken(&[&render, &promised(sum.as_millis() + 1)]);
    }
    // Half an hour is what the product promises where nothing is said.
    let words =
        ["2751 s of them by stages.render.settings.retry_attempts, which is 100", "searchable_within, which is 30m"];
    refused("minimal", &["stages.render.settings.retry_attempts=100"], &words);
}

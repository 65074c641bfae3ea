//! The Helm chart: what it makes of values, and what it refuses.

mod configuration;
mod contradictions;
mod readme;
mod schema;
mod snapshots;
mod valid;

use frameline_tests::helm::{document, documents, render, values};
use serde_json::Value;

/// The files of values that the chart has for its tests.
const FILES: [&str; 4] = ["minimal", "production", "confluent", "everything"];

/// What the chart makes of one of them, and of more as `--set` takes it.
fn rendered(name: &str, set: &[&str]) -> Vec<Value> {
    documents(&render(&[&values(name)], set).unwrap()).unwrap()
}

/// The configurations in it: the name of the ConfigMap, and the file.
fn configurations(documents: &[Value]) -> Vec<(&str, &str)> {
    let is_one = |document: &&Value| document["kind"] == "ConfigMap" && document["data"]["frameline.toml"].is_string();
    let named = |document| {
        let document: &Value = document;
        (document["metadata"]["name"].as_str().unwrap(), document["data"]["frameline.toml"].as_str().unwrap())
    };
    documents.iter().filter(is_one).map(named).collect()
}

/// The pod template of a stage.
fn pod<'a>(documents: &'a [Value], deployment: &str) -> &'a Value {
    &document(documents, "Deployment", deployment)["spec"]["template"]
}

//! The Helm chart: what it makes of values, and what it refuses.

mod configuration;
mod contradictions;
mod hooks;
mod limits;
mod readme;
mod schema;
mod snapshots;
mod valid;

use std::path::Path;

use frameline_tests::helm::{document, documents, render, values};
use serde_json::Value;

use crate::process::Product;

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

/// The product takes this configuration, once the files lie there that the pod would mount.
#[track_caller]
fn is_taken(product: &Product, toml: &str) {
    const MOUNTED: &str = "/run/secrets/frameline/";
    for name in toml.split(MOUNTED).skip(1).filter_map(|rest| rest.split('"').next()) {
        product.file(Path::new("mounted").join(name), "a=secret\n");
    }
    let mounted = product.file("mounted/any", "");
    let toml = toml.replace(MOUNTED, &format!("{}/", mounted.parent().unwrap().display()));
    let file = product.file("frameline.toml", &toml);
    let ended = product.run(["config", "check", "--config", file.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{}\n{toml}", ended.err);
}

/// The pod template of a stage.
fn pod<'a>(documents: &'a [Value], deployment: &str) -> &'a Value {
    &document(documents, "Deployment", deployment)["spec"]["template"]
}

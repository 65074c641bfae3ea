//! One configuration, and each stage's own part of it.

use std::collections::BTreeMap;
use std::fs;

use frameline_tests::helm::{chart, documents, render, values};
use serde_json::{Value, json};

use super::{FILES, configurations, is_taken, pod, rendered};
use crate::process::Product;

#[test]
fn the_product_takes_the_configuration_of_every_pod() {
    let product = Product::new();
    for name in FILES {
        let documents = rendered(name, &[]);
        let configurations = configurations(&documents);
        assert!(configurations.len() > 6, "{configurations:?}");
        configurations.iter().for_each(|(_, toml)| is_taken(&product, toml));
    }
}

#[test]
fn numbers_texts_and_names_with_dots_come_out_as_they_were_said() {
    let said = r#"
config:
  service: { tenant: 'a "<b>" c' }
  kafka: { properties: { compression.type: zstd } }
  telemetry: { sample_ratio: 0.25 }
stages: { embed: { settings: { batch_bytes: 4194304 } } }
"#;
    let product = Product::new();
    let file = product.file("said.yaml", said);
    let documents = documents(&render(&[&values("minimal"), &file], &[]).unwrap()).unwrap();
    let (_, toml) = configurations(&documents).into_iter().find(|(map, _)| *map == "frameline-embed").unwrap();
    for line in [
        "stages.embed.batch_bytes = 4194304",
        "telemetry.sample_ratio = 0.25",
        r#"service.tenant = "a \"\u003cb\u003e\" c""#,
        r#"kafka.properties."compression.type" = "zstd""#,
        "embed.threads = 2",
        // What the pod may use is what the product is told, to be held against its settings.
        "service.memory_limit_bytes = 2147483648",
    ] {
        assert!(toml.lines().any(|found| found == line), "no `{line}` in:\n{toml}");
    }
    assert!(!toml.contains("render."), "{toml}");
}

#[test]
fn a_quantity_of_memory_is_told_in_bytes() {
    for (quantity, bytes) in [
        ("4e9", 4_000_000_000_u64),
        ("3G", 3_000_000_000),
        ("1.5Gi", 1_610_612_736),
        ("1T", 1_000_000_000_000),
        ("1Ti", 1 << 40),
        ("1P", 1_000_000_000_000_000),
        ("1Pi", 1 << 50),
        ("1E", 1_000_000_000_000_000_000),
        ("2Ei", 2 << 60),
        ("4000000000000m", 4_000_000_000),
    ] {
        let documents = rendered("minimal", &[&format!("stages.index.resources.limits.memory={quantity}")]);
        let (_, toml) = configurations(&documents).into_iter().find(|(map, _)| *map == "frameline-index").unwrap();
        let line = format!("service.memory_limit_bytes = {bytes}");
        assert!(toml.lines().any(|found| found == line), "{quantity} is not {bytes}:\n{toml}");
    }
}

#[test]
fn a_stages_own_variable_takes_the_place_of_the_whole() {
    let own = "stages.embed.env.PROXY.valueFrom.secretKeyRef";
    let (name, key) = (format!("{own}.name=proxy"), format!("{own}.key=url"));
    let documents = rendered("minimal", &["stageDefaults.env.PROXY.value=http://proxy", &name, &key]);
    let variable = |deployment: &str| {
        let env = pod(&documents, deployment)["spec"]["containers"][0]["env"].as_array().unwrap();
        env.iter().find(|variable| variable["name"] == "PROXY").unwrap()
    };
    let of_secret = json!({"name": "PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}});
    assert_eq!(*variable("frameline-embed"), of_secret);
    assert_eq!(*variable("frameline-render"), json!({"name": "PROXY", "value": "http://proxy"}));
}

/// The Deployments whose pods are other ones than before.
fn rolled(set: &[&str]) -> Vec<String> {
    let templates = |documents: &[Value]| -> BTreeMap<String, Value> {
        let deployments = documents.iter().filter(|document| document["kind"] == "Deployment");
        let named = |document: &Value| {
            let name = document["metadata"]["name"].as_str().unwrap().to_owned();
            (name, document["spec"]["template"].clone())
        };
        deployments.map(named).collect()
    };
    let (before, after) = (templates(&rendered("production", &[])), templates(&rendered("production", set)));
    assert_eq!(before.len(), 7);
    let changed = before.into_iter().filter(|(name, template)| after[name] != *template);
    changed.map(|(name, _)| name.trim_start_matches("frameline-").to_owned()).collect()
}

#[test]
fn a_change_in_one_stages_settings_rolls_that_stage_alone() {
    assert_eq!(rolled(&["stages.embed.settings.batch_records=32"]), ["embed"]);
    assert_eq!(rolled(&["config.render.longest_side_px=640"]), ["render"]);
    for of_identify in ["workers=1", "worker_memory_bytes=1000000000", "frames_per_file=100", "passage_tokens=100"] {
        assert_eq!(rolled(&[&format!("config.identify.{of_identify}")]), ["identify"]);
    }
    assert_eq!(rolled(&["config.jobs.retention=30d"]), ["jobs"]);
    assert_eq!(rolled(&["config.discover.changing_attempts=5"]), ["canary", "jobs"]);
    // What is taken in, and what is opened, are held against each other.
    assert_eq!(rolled(&["config.identify.file_limit_bytes=300000000"]), ["canary", "identify", "jobs"]);
    assert_eq!(rolled(&["config.discover.largest_file_bytes=100000000"]), ["canary", "identify", "jobs"]);
    assert_eq!(rolled(&["stages.index.resources.limits.memory=3Gi"]), ["index"]);
    assert_eq!(rolled(&["stages.index.autoscaling.maxReplicas=3"]), [] as [&str; 0]);
    assert_eq!(rolled(&["config.vectors.timeout=20s"]).len(), 7);
}

#[test]
fn secrets_are_named_and_never_shown() {
    let documents = rendered("production", &[]);
    let pod = &pod(&documents, "frameline-embed")["spec"];
    let files = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "files").unwrap();
    let sources = files["projected"]["sources"].to_string();
    assert!(sources.contains(r#""name":"frameline-stores""#) && sources.contains("kafka.sasl.password_file"));
    let (_, toml) = configurations(&documents).into_iter().find(|(map, _)| *map == "frameline-embed").unwrap();
    assert!(toml.contains("jobs.password_file = \"/run/secrets/frameline/jobs.password_file\""), "{toml}");
    assert!(documents.iter().all(|document| document["kind"] != "Secret"));
}

#[test]
fn the_charts_copy_of_the_topics_is_current() {
    let ours = fs::read_to_string(chart().join("../../topics/topics.yaml")).unwrap();
    let copy = fs::read_to_string(chart().join("files/topics.yaml")).unwrap();
    assert!(ours == copy, "Helm sees nothing outside of the chart: cp topics/topics.yaml helm/frameline/files/");
}

#[test]
fn pods_keep_to_the_restricted_standard() {
    for name in FILES {
        for document in rendered(name, &[]) {
            let spec = match document["kind"].as_str().unwrap() {
                "Deployment" | "Job" => &document["spec"]["template"]["spec"],
                "Pod" => &document["spec"],
                _ => continue,
            };
            // A token is for who puts stages back.
            let component = document["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap();
            let rewinds = ["production", "everything"].contains(&name) && ["jobs", "canary"].contains(&component);
            assert_eq!(spec["automountServiceAccountToken"], rewinds, "{component} of {name}");
            let (pod, container) = (&spec["securityContext"], &spec["containers"][0]["securityContext"]);
            assert_eq!(
                (&pod["runAsNonRoot"], &pod["seccompProfile"]["type"]),
                (&true.into(), &"RuntimeDefault".into())
            );
            assert_eq!(container["allowPrivilegeEscalation"], false);
            assert_eq!(container["readOnlyRootFilesystem"], true);
            assert_eq!(container["capabilities"]["drop"], json!(["ALL"]));
        }
    }
}

#[test]
fn replicas_are_said_by_the_chart_or_by_the_scaler_never_by_both() {
    let documents = rendered("everything", &[]);
    let of = |kind: &str| -> Vec<&str> {
        let all = documents.iter().filter(|document| document["kind"] == kind);
        all.map(|document| document["metadata"]["name"].as_str().unwrap()).collect()
    };
    let scaled = [of("ScaledObject"), of("HorizontalPodAutoscaler")].concat();
    assert_eq!(scaled.len(), 5);
    for document in documents.iter().filter(|document| document["kind"] == "Deployment") {
        let is_scaled = scaled.contains(&document["metadata"]["name"].as_str().unwrap());
        assert_eq!(document["spec"].get("replicas").is_some(), !is_scaled, "{document:#}");
    }
}

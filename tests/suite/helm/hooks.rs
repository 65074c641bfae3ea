//! What is done around the stages of a version: by hooks before them, by a job beside them, by `helm test`.

use frameline_tests::helm::{document, documents, render_upgrade, values};
use serde_json::{Value, json};

use super::{FILES, rendered};

const HOOK: &str = "helm.sh/hook";

/// What the chart makes of it where the release is there already.
fn upgraded(name: &str) -> Vec<Value> {
    documents(&render_upgrade(&[&values(name)]).unwrap()).unwrap()
}

fn annotation<'a>(document: &'a Value, name: &str) -> &'a str {
    document["metadata"]["annotations"][name].as_str().unwrap_or_default()
}

/// The hooks of an event in the order in which Helm makes them, each when the one before is done: by weight, then by
/// name.
fn hooks<'a>(documents: &'a [Value], event: &str) -> Vec<&'a Value> {
    let is_of_event = |document: &&Value| annotation(document, HOOK).split(',').any(|hook| hook == event);
    let mut hooks: Vec<&Value> = documents.iter().filter(is_of_event).collect();
    let weight = |hook: &Value| annotation(hook, "helm.sh/hook-weight").parse::<i32>().unwrap_or(0);
    hooks.sort_by_key(|hook| (weight(hook), hook["metadata"]["name"].as_str()));
    hooks
}

fn named<'a>(documents: impl IntoIterator<Item = &'a Value>, kind: &str) -> Vec<&'a str> {
    let of_kind = documents.into_iter().filter(|document| document["kind"] == kind);
    of_kind.map(|document| document["metadata"]["name"].as_str().unwrap()).collect()
}

#[test]
fn topics_are_there_before_anything_is_put_on_record_in_one() {
    let documents = rendered("confluent", &[]);
    for event in ["pre-install", "pre-upgrade"] {
        let hooks = hooks(&documents, event);
        // What the jobs read and what they may reach is there before the first of them.
        assert_eq!(hooks.iter().map(|hook| &hook["kind"]).filter(|kind| *kind != "Job").count(), 2);
        assert!(hooks[..2].iter().all(|hook| hook["kind"] != "Job"));
        assert_eq!(named(hooks, "Job"), ["frameline-topics", "frameline-migrate", "frameline-schemas"]);
    }
}

#[test]
fn where_strimzi_makes_the_topics_schemas_come_beside_the_stages_and_later_before_them() {
    let installed = rendered("production", &[]);
    assert_eq!(named(hooks(&installed, "pre-install"), "Job"), ["frameline-migrate"]);
    assert_eq!(named(hooks(&installed, "post-install"), "Job"), [] as [&str; 0]);
    let schemas = document(&installed, "Job", "frameline-schemas");
    assert_eq!(annotation(schemas, HOOK), "");
    let pod = &schemas["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["args"], json!(["schemas", "apply", "--execute", "--log", "json"]));
    // By then what is a hook of the install is gone.
    assert_eq!(pod["serviceAccountName"], "frameline");
    let map = pod["volumes"][0]["configMap"]["name"].as_str().unwrap();
    let map = document(&installed, "ConfigMap", map);
    assert!(annotation(map, HOOK).is_empty() && map["data"].to_string().contains("https://registry.kafka:8081"));

    let upgraded = upgraded("production");
    assert_eq!(named(hooks(&upgraded, "pre-upgrade"), "Job"), ["frameline-migrate", "frameline-schemas"]);
    assert_eq!(named(&upgraded, "Job").len(), 2);
}

/// The pods of a document, with what they are labelled and annotated by.
fn pod(document: &Value) -> Option<&Value> {
    match document["kind"].as_str()? {
        "Deployment" | "Job" => Some(&document["spec"]["template"]),
        "Pod" => Some(document),
        _ => None,
    }
}

#[test]
fn what_is_said_for_all_pods_holds_for_those_that_do_one_thing_and_end() {
    let documents = rendered("everything", &[]);
    let tasks: Vec<&Value> = documents.iter().filter(|document| document["kind"] != "Deployment").collect();
    let pods: Vec<&Value> = tasks.into_iter().filter_map(pod).collect();
    assert_eq!(pods.len(), 3, "topics, schemas, doctor");
    for pod in pods {
        assert_eq!(pod["metadata"]["labels"]["azure.workload.identity/use"], "true");
        assert_eq!(annotation(pod, "sidecar.istio.io/inject"), "false");
        // It is there already.
        assert_eq!(pod["spec"]["serviceAccountName"], "search");
    }
}

#[test]
fn a_hook_needs_no_account_that_comes_after_it() {
    let documents = rendered("minimal", &[]);
    let account =
        |kind: &str, name: &str| pod(document(&documents, kind, name)).unwrap()["spec"]["serviceAccountName"].clone();
    assert_eq!(account("Job", "frameline-topics"), "default");
    assert_eq!(account("Pod", "frameline-doctor"), "frameline");
}

/// Whether the policy is for pods with these labels.
fn selects(policy: &Value, labels: &Value) -> bool {
    let selector = &policy["spec"]["podSelector"];
    let is_among = |expression: &Value| {
        assert_eq!(expression["operator"], "In");
        let label = &labels[expression["key"].as_str().unwrap()];
        expression["values"].as_array().unwrap().contains(label)
    };
    selector["matchLabels"].as_object().unwrap().iter().all(|(name, value)| labels[name.as_str()] == *value)
        && selector["matchExpressions"].as_array().into_iter().flatten().all(is_among)
}

#[test]
fn every_pod_has_a_policy_when_it_runs_and_may_reach_what_the_stages_may() {
    let mut all: Vec<Vec<Value>> = FILES.iter().map(|name| rendered(name, &[])).collect();
    all.push(upgraded("production"));
    for documents in all {
        let policies = || documents.iter().filter(|document| document["kind"] == "NetworkPolicy");
        let egress = &policy_of_embed(&documents)["spec"]["egress"];
        assert!(policies().all(|policy| policy["spec"]["egress"] == *egress));
        for (runs, pod) in documents.iter().filter_map(|document| Some((document, pod(document)?))) {
            // Those of the release are there for whatever comes after it, as `helm test` does.
            let hook = annotation(runs, HOOK);
            let hook = if hook == "test" { "" } else { hook };
            let mut own = policies().filter(|policy| annotation(policy, HOOK) == hook);
            assert!(own.any(|policy| selects(policy, &pod["metadata"]["labels"])), "{runs:#}");
        }
    }
}

fn policy_of_embed(documents: &[Value]) -> &Value {
    let embed = json!({"app.kubernetes.io/name": "frameline", "app.kubernetes.io/instance": "frameline", "app.kubernetes.io/component": "embed"});
    documents.iter().find(|document| document["kind"] == "NetworkPolicy" && selects(document, &embed)).unwrap()
}

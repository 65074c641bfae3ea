//! A release is installed, upgraded, rolled back and uninstalled.

use std::collections::{BTreeMap, BTreeSet};

use frameline_tests::helm::{documents, render, values};
use frameline_tests::release::{RELEASE, Release};
use serde_json::Value;

use super::release::release;
use crate::process::until;

const DEPLOYMENTS: &str = "apis/apps/v1/deployments";
const PODS: &str = "api/v1/pods";
/// Of these something is left: topics have records.
const KEPT: &str = "helm.sh/resource-policy";

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Where the API has objects of a document's kind, such as `apis/apps/v1/deployments`.
fn place(document: &Value) -> String {
    let version = document["apiVersion"].as_str().unwrap();
    let kind = document["kind"].as_str().unwrap().to_lowercase();
    let group = if version.contains('/') { "apis" } else { "api" };
    let plural = kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |kind| format!("{kind}ies"));
    format!("{group}/{version}/{plural}")
}

/// The kinds of which nothing may be left.
fn kinds() -> BTreeSet<String> {
    let all = documents(&render(&[&values("production")], &[]).unwrap()).unwrap();
    let goes = |document: &&Value| document["metadata"]["annotations"][KEPT].is_null();
    let kinds: BTreeSet<String> = all.iter().filter(goes).map(place).collect();
    let of_keda = ["scaledobjects", "triggerauthentications"].map(|kind| format!("apis/keda.sh/v1alpha1/{kind}"));
    assert!(of_keda.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    kinds
}

/// The stages' pods by name; those of hooks aside.
fn pods(release: &Release) -> BTreeMap<String, BTreeSet<String>> {
    let mut pods = BTreeMap::<String, BTreeSet<String>>::new();
    for pod in release.all(PODS) {
        let owner = pod["metadata"]["ownerReferences"][0]["kind"].as_str().unwrap_or_default();
        let component = pod["metadata"]["labels"]["app.kubernetes.io/component"].as_str();
        if let (true, Some(component), true) =
            (owner == "ReplicaSet", component, pod["metadata"]["deletionTimestamp"].is_null())
        {
            pods.entry(component.to_owned()).or_default().insert(name(&pod));
        }
    }
    pods
}

#[test]
fn it_is_installed_upgraded_rolled_back_and_uninstalled_where_pods_are_restricted() {
    let (release, production) = (release("lifecycle"), values("production"));
    release.apply("install", &production, &[]);
    let installed = pods(&release);
    for stage in ["identify", "render", "validate", "embed", "index", "jobs"] {
        assert!(installed.contains_key(stage), "{installed:?}");
    }
    let is_available = |deployment: &Value| frameline_tests::control_plane::condition(deployment, "Available");
    assert!(release.all(DEPLOYMENTS).iter().all(is_available));

    // One stage's setting is changed: its pods are others, all the others' are the same.
    release.apply("upgrade", &production, &["stages.render.settings.batch_records=7"]);
    let settled = || {
        let upgraded = pods(&release);
        let fresh = upgraded["render"].is_disjoint(&installed["render"]);
        fresh.then_some(upgraded)
    };
    let upgraded = until("render rolls", settled);
    for (stage, pods) in &installed {
        assert!(stage == "render" || upgraded[stage] == *pods, "{stage}: {pods:?}, then {:?}", upgraded[stage]);
    }

    let file = |release: &Release| {
        let maps = release.all("api/v1/configmaps");
        let of_render = maps.iter().find(|map| name(map).ends_with("-render")).unwrap();
        of_render["data"].to_string()
    };
    assert!(file(&release).contains("batch_records = 7"), "{}", file(&release));
    release.helm(&["rollback", RELEASE, "1", "--wait", "--timeout", "3m"]);
    assert!(!file(&release).contains("batch_records = 7"), "{}", file(&release));

    release.helm(&["uninstall", RELEASE, "--wait", "--timeout", "3m"]);
    let is_left = |object: &Value| !["kube-root-ca.crt", "default"].contains(&name(object).as_str());
    let kinds = kinds();
    until("nothing is left", || {
        let mut objects = kinds.iter().flat_map(|kind| release.all(kind));
        (!objects.any(|object| is_left(&object))).then_some(())
    });
}

//! A release is installed, upgraded, rolled back and uninstalled.

use std::collections::{BTreeMap, BTreeSet};

use frameline_tests::helm::values;
use frameline_tests::release::{RELEASE, Release};
use serde_json::Value;

use super::release::release;
use crate::process::until;

const DEPLOYMENTS: &str = "apis/apps/v1/deployments";
const PODS: &str = "api/v1/pods";
/// Kinds of which nothing may be left.
const KINDS: [&str; 9] = [
    DEPLOYMENTS,
    "api/v1/configmaps",
    "api/v1/serviceaccounts",
    "apis/policy/v1/poddisruptionbudgets",
    "apis/networking.k8s.io/v1/networkpolicies",
    "apis/batch/v1/jobs",
    "apis/keda.sh/v1alpha1/scaledobjects",
    "apis/monitoring.coreos.com/v1/podmonitors",
    "apis/monitoring.coreos.com/v1/prometheusrules",
];

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
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

    release.helm(&["rollback", RELEASE, "1", "--wait", "--timeout", "3m"]);
    let file = |release: &Release| {
        let maps = release.all("api/v1/configmaps");
        let of_render = maps.iter().find(|map| name(map).ends_with("-render")).unwrap();
        of_render["data"].to_string()
    };
    assert!(!file(&release).contains("batch_records = 7"), "{}", file(&release));

    release.helm(&["uninstall", RELEASE, "--wait", "--timeout", "3m"]);
    let is_left = |object: &Value| !["kube-root-ca.crt", "default"].contains(&name(object).as_str());
    let left = || {
        let left: Vec<String> = KINDS
            .iter()
            .flat_map(|kind| {
                release.all(kind).into_iter().filter(is_left).map(|object| name(&object)).collect::<Vec<_>>()
            })
            .collect();
        left.is_empty().then_some(())
    };
    until("nothing is left", left);
}

//! A release of the chart in a namespace of its own, which enforces the restricted pod security standard.

use std::path::Path;

use frameline_tests::control_plane::{ControlPlane, User};
use frameline_tests::helm::{chart, helm, values};
use frameline_tests::kubernetes::definitions;
use serde_json::{Value, json};

use crate::process::until;

/// As the release is called.
pub(super) const RELEASE: &str = "frameline";

/// The control plane that tests share, with the resources of KEDA, Prometheus' operator and Strimzi. Nobody acts on them.
pub(super) fn plane() -> &'static ControlPlane {
    static READY: std::sync::OnceLock<ControlPlane> = std::sync::OnceLock::new();
    READY.get_or_init(|| {
        let plane = ControlPlane::start();
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for definition in definitions().unwrap() {
            let name = definition["metadata"]["name"].as_str().unwrap();
            plane.post(path, &definition).unwrap();
            let is_taken = || {
                let taken = plane.get(&format!("{path}/{name}")).unwrap();
                frameline_tests::control_plane::condition(&taken, "Established").then_some(())
            };
            until("a definition is taken", is_taken);
        }
        // Where Strimzi has its topics.
        let kafka = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kafka"}});
        plane.post("/api/v1/namespaces", &kafka).unwrap();
        plane
    })
}

/// A namespace, and the release in it.
pub(super) struct Release {
    pub(super) namespace: String,
}

impl Release {
    /// In a fresh namespace; nothing is installed.
    pub(super) fn new(namespace: &str) -> Self {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels},
        });
        plane().post("/api/v1/namespaces", &object).unwrap();
        Self { namespace: namespace.to_owned() }
    }

    /// What Helm says to a command on the release, which has to go well.
    pub(super) fn helm(&self, command: &[&str]) -> String {
        let kubeconfig = plane().kubeconfig(User::Admin);
        let about = ["--namespace", &self.namespace, "--kubeconfig", kubeconfig.to_str().unwrap()];
        let output = helm(command.iter().chain(&about));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "helm {}: {said}", command.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Installs or upgrades it with one of the chart's own files of values, and more; waits until it is ready.
    pub(super) fn apply(&self, verb: &str, name: &str, set: &[&str]) {
        let (chart, values) = (chart(), values(name));
        let path = |path: &'_ Path| path.to_str().unwrap().to_owned();
        let (chart, values) = (path(&chart), path(&values));
        let mut command = vec![verb, RELEASE, &chart, "--values", &values, "--wait", "--timeout", "3m"];
        command.extend(set.iter().flat_map(|value| ["--set", value]));
        self.helm(&command);
    }

    /// The objects of a kind in the namespace, such as `apis/apps/v1/deployments`.
    pub(super) fn all(&self, kind: &str) -> Vec<Value> {
        let (group, kind) = kind.rsplit_once('/').unwrap();
        let list = plane().get(&format!("/{group}/namespaces/{}/{kind}", self.namespace)).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// One of them.
    pub(super) fn one(&self, kind: &str, name: &str) -> Value {
        let named = |object: &Value| object["metadata"]["name"] == name;
        self.all(kind).into_iter().find(named).unwrap_or_else(|| panic!("no {name} among {kind}"))
    }
}

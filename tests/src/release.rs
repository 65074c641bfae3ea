//! A release of the chart on a control plane, in a namespace of its own, which enforces the restricted pod security
//! standard.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, User};
use crate::helm::{chart, helm};

/// As the release is called.
pub const RELEASE: &str = "frameline";

/// A namespace, and the release in it.
#[derive(Clone)]
pub struct Release {
    plane: Arc<ControlPlane>,
    /// The namespace.
    pub namespace: String,
}

impl Release {
    /// In a fresh namespace; nothing is installed.
    ///
    /// # Panics
    /// Where the namespace is there already.
    pub fn new(plane: &Arc<ControlPlane>, namespace: &str) -> Self {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels},
        });
        plane.post("/api/v1/namespaces", &object).unwrap();
        Self { plane: Arc::clone(plane), namespace: namespace.to_owned() }
    }

    /// What Helm says to a command on the release.
    ///
    /// # Panics
    /// Where it does not go well, with what Helm says.
    pub fn helm(&self, command: &[&str]) -> String {
        let kubeconfig = self.plane.kubeconfig(User::Admin);
        let about = ["--namespace", &self.namespace, "--kubeconfig", kubeconfig.to_str().unwrap()];
        let output = helm(command.iter().chain(&about));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "helm {}: {said}", command.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Installs or upgrades it with a file of values, and more; waits until it is ready.
    ///
    /// # Panics
    /// As [`Self::helm`].
    pub fn apply(&self, verb: &str, values: &Path, set: &[&str]) {
        let chart = chart();
        let (chart, values) = (chart.to_str().unwrap(), values.to_str().unwrap());
        let mut command = vec![verb, RELEASE, chart, "--values", values, "--wait", "--timeout", "3m"];
        command.extend(set.iter().flat_map(|value| ["--set", value]));
        self.helm(&command);
    }

    /// The objects of a kind in the namespace, such as `apis/apps/v1/deployments`.
    ///
    /// # Panics
    /// Where the API does not answer.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        let (group, kind) = kind.rsplit_once('/').unwrap();
        let list = self.plane.get(&format!("/{group}/namespaces/{}/{kind}", self.namespace)).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// One of them.
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn one(&self, kind: &str, name: &str) -> Value {
        let named = |object: &Value| object["metadata"]["name"] == name;
        self.all(kind).into_iter().find(named).unwrap_or_else(|| panic!("no {name} among {kind}"))
    }
}

//! The control plane that the tests share, and releases of the chart on it.

use std::sync::{Arc, OnceLock};

use frameline_tests::control_plane::ControlPlane;
use frameline_tests::kubernetes::definitions;
use frameline_tests::release::Release;
use serde_json::json;

/// The control plane that tests share, with the resources of KEDA, Prometheus' operator and Strimzi. Nobody acts on them.
pub(super) fn plane() -> &'static Arc<ControlPlane> {
    static READY: OnceLock<Arc<ControlPlane>> = OnceLock::new();
    READY.get_or_init(|| {
        let plane = ControlPlane::start();
        plane.define(&definitions().unwrap()).unwrap();
        // Where Strimzi has its topics.
        let kafka = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kafka"}});
        plane.post("/api/v1/namespaces", &kafka).unwrap();
        Arc::new(plane)
    })
}

/// A fresh namespace on it, with nothing installed.
pub(super) fn release(namespace: &str) -> Release {
    Release::new(plane(), namespace)
}

//! KEDA itself on a control plane: its operator, which makes a horizontal autoscaler of each ScaledObject, and its metrics
//! adapter, which tells that autoscaler what the operator has asked Kafka. Both are built from their Go module once, in
//! eight minutes, and kept in the user's cache folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, User, condition};
use crate::golang::{self, Module};
use crate::helm::documents;
use crate::server::{Folder, Process, free_port};
use crate::tls::Certificates;

/// Its module, with everything that it is made of.
pub const SOURCES: &str = "github.com/kedacore/keda/v2@v2.21.0";

const KEDA: Module = Module {
    name: "keda",
    path: "github.com/kedacore/keda/v2",
    version: "v2.21.0",
    packages: &["cmd/operator", "cmd/adapter"],
    version_in: "github.com/kedacore/keda/v2/version.Version",
};
const NAMESPACE: &str = "keda";
const CERTIFICATES: &str = "certificates";
/// The version of the API of metrics that the adapter serves.
const METRICS: &str = "v1beta1.external.metrics.k8s.io";

/// Operator and adapter; killed when they are dropped.
pub struct Keda {
    folder: Folder,
    processes: Vec<Process>,
}

impl Keda {
    /// Starts both on a control plane that knows nothing of KEDA yet.
    ///
    /// # Errors
    /// Where they cannot be built, or do not get ready, with where to look.
    pub fn start(plane: &ControlPlane) -> Result<Self> {
        let programs = KEDA.install()?;
        plane.define(&definitions()?)?;
        let mut keda = Self { folder: Folder::new("keda")?, processes: Vec::new() };
        keda.lay_out_certificates()?;
        let (between, adapter) = (format!("127.0.0.1:{}", free_port()?), free_port()?);
        register(plane, adapter)?;
        let mut command = keda.command(plane, &programs.join("operator"));
        command.args(["--enable-prometheus-metrics=false", "--health-probe-bind-address=0"]);
        command.arg("--metrics-service-bind-address").arg(&between);
        keda.processes.push(Process::in_folder(command, &keda.folder, "operator")?);
        let mut command = keda.command(plane, &programs.join("adapter"));
        command.args(["--bind-address=127.0.0.1", "--secure-port", &adapter.to_string(), "--port=0"]);
        command.arg("--metrics-service-address").arg(&between);
        for option in ["--lister-kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
            command.arg(option).arg(plane.kubeconfig(User::Admin));
        }
        keda.processes.push(Process::in_folder(command, &keda.folder, "adapter")?);
        keda.wait_until_ready(plane)?;
        Ok(keda)
    }

    /// As it wants them: one certificate, by which operator and adapter show themselves to each other.
    fn lay_out_certificates(&self) -> Result<()> {
        let (certificates, folder) = (Certificates::new()?, self.folder.join(CERTIFICATES));
        fs::create_dir(&folder)?;
        for (from, to) in [("ca.pem", "ca.crt"), ("server.pem", "tls.crt"), ("server.key", "tls.key")] {
            fs::copy(certificates.file(from), folder.join(to))?;
        }
        Ok(())
    }

    fn command(&self, plane: &ControlPlane, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", plane.kubeconfig(User::Admin)).env("WATCH_NAMESPACE", "");
        command.env("POD_NAMESPACE", NAMESPACE).env("KEDA_CLUSTER_OBJECT_NAMESPACE", NAMESPACE);
        command.arg("--cert-dir").arg(self.folder.join(CERTIFICATES));
        command
    }

    fn wait_until_ready(&self, plane: &ControlPlane) -> Result<()> {
        let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{METRICS}");
        let answers = |plane: &ControlPlane| {
            let registered = plane.get(&path).ok()?;
            condition(&registered, "Available").then_some(())
        };
        plane.until("KEDA answers for its metrics", answers).with_context(|| self.last_words())?;
        ensure!(!self.processes.iter().any(Process::has_ended), "KEDA has ended: {}", self.last_words());
        Ok(())
    }

    /// The end of what both have said.
    fn last_words(&self) -> String {
        let end = |name| {
            let said = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let lines: Vec<&str> = said.lines().rev().take(10).collect();
            format!("{name}, last line first:\n{}", lines.join("\n"))
        };
        ["operator.log", "adapter.log"].map(end).join("\n")
    }
}

impl Drop for Keda {
    fn drop(&mut self) {
        self.processes.drain(..).rev().for_each(Process::kill);
    }
}

/// The definitions of all its resources.
fn definitions() -> Result<Vec<Value>> {
    let mut definitions = Vec::new();
    for file in fs::read_dir(golang::module(SOURCES)?.join("config/crd/bases"))? {
        definitions.extend(documents(&fs::read_to_string(file?.path())?)?);
    }
    Ok(definitions)
}

/// The API server asks for the adapter's metrics at this port of this machine: a Service by another name is the one kind
/// whose address may be the loopback.
fn register(plane: &ControlPlane, port: u16) -> Result<()> {
    let name = "keda-metrics-apiserver";
    plane.post(
        "/api/v1/namespaces",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
    )?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    });
    plane.post(&format!("/api/v1/namespaces/{NAMESPACE}/services"), &service)?;
    let registered = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": METRICS},
        "spec": {
            "group": "external.metrics.k8s.io", "version": "v1beta1",
            "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": {"namespace": NAMESPACE, "name": name, "port": port},
        },
    });
    plane.post("/apis/apiregistration.k8s.io/v1/apiservices", &registered)?;
    Ok(())
}

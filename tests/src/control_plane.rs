//! A real Kubernetes control plane without containers: etcd, the API server, the controller manager and the scheduler,
//! each a process. Its nodes and pods are kwok's: ready at once, and nothing runs in them. The API server passes calls on
//! to servers that register with it, such as the metrics adapter of an autoscaler.
//!
//! etcd is Debian's; the rest is built from its Go modules once, in minutes, and kept in the user's cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::commands::output;
use crate::golang::{Module, Program};
use crate::server::{Folder, Process, free_port};
use crate::tls::Certificates;

const KUBERNETES: Module = Module {
    name: "kubernetes",
    path: "k8s.io/kubernetes",
    version: "v1.35.0",
    packages: &["cmd/kube-apiserver", "cmd/kube-controller-manager", "cmd/kube-scheduler"],
    version_in: "k8s.io/component-base/version.gitVersion",
};
const KWOK: Program = Program { name: "kwok", package: "sigs.k8s.io/kwok/cmd/kwok", version: "v0.7.0" };
/// Who may do everything, and who may do what a role says.
const TOKENS: &str = "admin-token,admin,1,system:masters\noperator-token,operator,2\n";
const READY_TIMEOUT: Duration = Duration::from_secs(90);

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub enum User {
    /// Everything is allowed.
    Admin,
    /// What a role says.
    Operator,
}

impl User {
    fn token(self) -> &'static str {
        match self {
            User::Admin => "admin-token",
            User::Operator => "operator-token",
        }
    }
}

/// The control plane; its processes are killed when it is dropped.
pub struct ControlPlane {
    folder: Folder,
    url: String,
    client: Client,
    /// By which it passes calls on.
    certificates: Certificates,
    processes: Vec<Process>,
}

impl ControlPlane {
    /// Starts one, with three nodes in two zones.
    ///
    /// # Panics
    /// Where it cannot be had, with what is missing.
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|error| panic!("no Kubernetes to test on: {error:#}"))
    }

    fn try_start() -> Result<Self> {
        let (programs, kwok) = (KUBERNETES.install()?, KWOK.install()?);
        let folder = Folder::new("kubernetes")?;
        let url = format!("https://127.0.0.1:{}", free_port()?);
        let client = Client::builder().danger_accept_invalid_certs(true).no_proxy().build()?;
        let mut plane = Self { folder, url, client, certificates: Certificates::new()?, processes: Vec::new() };
        let etcd = plane.start_etcd()?;
        plane.start_api_server(&programs, &etcd)?;
        plane.write_kubeconfig(User::Admin)?;
        plane.write_kubeconfig(User::Operator)?;
        plane.until("the API server is ready", |plane| plane.text("/readyz").ok().filter(|text| text == "ok"))?;
        plane.start_controllers(&programs, &kwok)?;
        for (node, zone) in [("one", "a"), ("two", "b"), ("three", "b")] {
            plane.post("/api/v1/nodes", &fake_node(node, zone))?;
        }
        plane.until("the nodes are ready", |plane| {
            let nodes = plane.get("/api/v1/nodes").ok()?;
            let is_ready = |node: &Value| condition(node, "Ready");
            nodes["items"].as_array()?.iter().all(is_ready).then_some(())
        })?;
        Ok(plane)
    }

    /// A kubeconfig of this user.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        self.folder.join(format!("{user:?}.kubeconfig"))
    }

    /// What the API answers to a GET.
    ///
    /// # Errors
    /// Where it refuses, with its words.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, None)
    }

    /// Makes an object.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post(&self, path: &str, object: &Value) -> Result<Value> {
        self.ask(Method::POST, path, Some(("application/json", object)))
    }

    /// Changes an object by a merge patch.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn patch(&self, path: &str, patch: &Value) -> Result<Value> {
        self.ask(Method::PATCH, path, Some(("application/merge-patch+json", patch)))
    }

    /// Takes an object away.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn delete(&self, path: &str) -> Result<Value> {
        self.ask(Method::DELETE, path, None)
    }

    /// Makes these definitions of resources, and waits until they are taken.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn define(&self, definitions: &[Value]) -> Result<()> {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for definition in definitions {
            self.post(path, definition)?;
            let name = definition["metadata"]["name"].as_str().context("a definition lacks a name")?;
            self.until("a definition is taken", |plane| {
                let taken = plane.get(&format!("{path}/{name}")).ok()?;
                condition(&taken, "Established").then_some(())
            })?;
        }
        Ok(())
    }

    fn text(&self, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.url);
        Ok(self.client.get(url).bearer_auth(User::Admin.token()).send()?.text()?)
    }

    fn ask(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> Result<Value> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(User::Admin.token());
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let answer = request.send()?;
        let status = answer.status();
        let said = answer.text()?;
        ensure!(status.is_success(), "{path}: {status}: {said}");
        Ok(serde_json::from_str(&said)?)
    }

    /// Looks again and again until there is something.
    ///
    /// # Errors
    /// Where that takes too long, or a process of the control plane has ended.
    pub fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(seen) = look(self) {
                return Ok(seen);
            }
            if Instant::now() > deadline || self.processes.iter().any(Process::has_ended) {
                bail!("waited in vain until {what}; see the logs in {}", self.folder.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start_etcd(&mut self) -> Result<String> {
        let (clients, peers) = (free_port()?, free_port()?);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(self.folder.join("etcd"));
        command.args(["--listen-client-urls", &url(clients), "--advertise-client-urls", &url(clients)]);
        command.args(["--listen-peer-urls", &url(peers), "--initial-advertise-peer-urls", &url(peers)]);
        command.args(["--initial-cluster", &format!("default={}", url(peers)), "--unsafe-no-fsync"]);
        self.spawn("etcd", command).context("on Debian: apt-get install etcd-server")?;
        Ok(url(clients))
    }

    fn start_api_server(&mut self, programs: &Path, etcd: &str) -> Result<()> {
        let key = self.folder.join("service-accounts.pem");
        let mut openssl = Command::new("openssl");
        openssl.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]).arg(&key);
        output(&mut openssl).context("openssl made no key; on Debian: apt-get install openssl")?;
        fs::write(self.folder.join("tokens.csv"), TOKENS)?;
        let port = self.url.rsplit(':').next().context("it was written with a port")?;
        let mut command = Command::new(programs.join("kube-apiserver"));
        command.args(["--etcd-servers", etcd, "--bind-address=127.0.0.1", "--secure-port", port]);
        command.arg("--cert-dir").arg(self.folder.join("certificates"));
        command.arg("--token-auth-file").arg(self.folder.join("tokens.csv"));
        command.arg("--service-account-issuer=https://kubernetes").arg("--authorization-mode=RBAC");
        command.arg("--service-account-key-file").arg(&key).arg("--service-account-signing-key-file").arg(&key);
        command.args(["--service-cluster-ip-range=10.9.0.0/24", "--disable-admission-plugins=ServiceAccount"]);
        // Debian's etcd is too old for lists in a stream. Asked for one, each watch of kwok's would end at once, and it would
        // look for pods ever more seldom.
        command.arg("--feature-gates=WatchList=false");
        self.pass_on(&mut command);
        self.spawn("kube-apiserver", command)
    }

    /// Who asks is told to a registered server in headers, which it believes for the certificate that comes with them.
    fn pass_on(&self, command: &mut Command) {
        command.arg("--requestheader-client-ca-file").arg(self.certificates.file("ca.pem"));
        command.arg("--requestheader-username-headers=X-Remote-User");
        command.arg("--requestheader-group-headers=X-Remote-Group");
        command.arg("--requestheader-extra-headers-prefix=X-Remote-Extra-");
        command.arg("--proxy-client-cert-file").arg(self.certificates.file("client.pem"));
        command.arg("--proxy-client-key-file").arg(self.certificates.file("client.key"));
    }

    fn start_controllers(&mut self, programs: &Path, kwok: &Path) -> Result<()> {
        let kubeconfig = self.kubeconfig(User::Admin);
        for program in ["kube-controller-manager", "kube-scheduler"] {
            let mut command = Command::new(programs.join(program));
            command.arg("--kubeconfig").arg(&kubeconfig).args(["--leader-elect=false", "--secure-port=0"]);
            if program == "kube-controller-manager" {
                // As often as a test looks.
                command.arg("--horizontal-pod-autoscaler-sync-period=2s");
                // Nodes that do not run need no sign of life.
                command.arg("--node-monitor-grace-period=24h");
            }
            self.spawn(program, command)?;
        }
        let mut command = Command::new(kwok);
        command
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(["--manage-all-nodes=true", "--node-lease-duration-seconds=0"]);
        self.spawn("kwok", command)
    }

    fn spawn(&mut self, name: &str, command: Command) -> Result<()> {
        self.processes.push(Process::in_folder(command, &self.folder, name)?);
        Ok(())
    }

    fn write_kubeconfig(&self, user: User) -> Result<()> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "insecure-skip-tls-verify": true}}],
            "users": [{"name": "test", "user": {"token": user.token()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        // What is JSON is YAML.
        Ok(fs::write(self.kubeconfig(user), config.to_string())?)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // The last one first: nobody complains about who is gone.
        self.processes.drain(..).rev().for_each(Process::kill);
    }
}

/// Whether a condition of an object's status holds.
pub fn condition(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn fake_node(name: &str, zone: &str) -> Value {
    let capacity = json!({"cpu": "64", "memory": "256Gi", "pods": "200"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "kubernetes.io/os": "linux"},
        },
        "status": {"allocatable": capacity, "capacity": capacity},
    })
}

//! What Kubernetes and its operators take, as JSON schemas, and `kubeconform`, which holds documents against them.
//!
//! Schemas of Kubernetes come from PyPI, definitions of resources (CRDs) from the operators' own modules and artifacts.
//! They are brought into the shape that kubeconform reads, closed to fields that nobody knows, and kept in the user's
//! cache folder.

mod definitions;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::golang::{self, Program};
use crate::helm::documents;
use crate::keda;
use crate::python;
use crate::server::{cache_folder, lock};

/// The versions of Kubernetes that the chart is for.
pub const VERSIONS: [&str; 3] = ["1.33.0", "1.34.0", "1.35.0"];

const KUBECONFORM: Program =
    Program { name: "kubeconform", package: "github.com/yannh/kubeconform/cmd/kubeconform", version: "v0.8.0" };
/// PyPI's package of Kubernetes' schemas.
const SCHEMAS: &str = "kubernetes-validate==1.37.0";
/// `KafkaTopic` as Strimzi 1.2.0 defines it (Apache-2.0): its generator needs a newer Java than Kafka does.
const STRIMZI: &str = include_str!("kubernetes/kafkatopics.yaml");
/// Counts the shapes that schemas have had in the cache folder.
const SHAPE: &str = "kubernetes-schemas-1";
/// Modules, and the files in them that define the resources.
const OPERATORS: [(&str, &[&str]); 2] = [
    (
        keda::SOURCES,
        &["config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"],
    ),
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        &[
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ],
    ),
];

/// What was found out about a text of documents.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    /// Each document that is not as it should be.
    pub resources: Vec<Value>,
    /// How many there are of each kind.
    pub summary: Summary,
}

/// Documents, counted.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Summary {
    /// As they should be.
    pub valid: usize,
    /// Not as they should be.
    pub invalid: usize,
    /// Of which nothing could be said.
    pub errors: usize,
    /// Not looked at.
    pub skipped: usize,
}

/// Holds documents, as one text of YAML, against a version of Kubernetes and the operators' resources.
///
/// # Errors
/// Where what is needed for it cannot be had, with what is missing.
pub fn validate(yaml: &str, version: &str) -> Result<Verdict> {
    let (program, schemas) = (KUBECONFORM.install()?, schemas()?);
    let of_kubernetes = schemas.join(version).join("{{.ResourceKind}}{{.KindSuffix}}.json");
    let of_operators = schemas.join("operators/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json");
    let mut command = Command::new(program);
    command.args(["-strict", "-summary", "-output", "json"]);
    command.arg("-schema-location").arg(of_kubernetes).arg("-schema-location").arg(of_operators);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("it was piped")?;
    // It reads to the end before it says anything.
    input.write_all(yaml.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    serde_json::from_slice(&output.stdout).context("kubeconform said nothing that can be read")
}

/// The folder of all schemas, made where it is not there yet.
fn schemas() -> Result<PathBuf> {
    let folder = cache_folder()?.join(SHAPE);
    let _lock = lock(SHAPE)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let fresh = tempfile::Builder::new().prefix("kubernetes-").tempdir_in(cache_folder()?)?;
    let package = package()?;
    for version in VERSIONS {
        let local = package.join(format!("kubernetes-json-schema/v{version}-local-strict/_definitions.json"));
        let text = fs::read_to_string(&local).with_context(|| format!("{} cannot be read", local.display()))?;
        definitions::write(&serde_json::from_str(&text)?, &fresh.path().join(version))?;
    }
    let operators = fresh.path().join("operators");
    definitions()?.into_iter().try_for_each(|definition| write_resource(definition, &operators))?;
    fs::rename(fresh.keep(), &folder)?;
    Ok(folder)
}

/// The definitions of the operators' resources, as the API server takes them.
///
/// # Errors
/// Where they cannot be fetched.
pub fn definitions() -> Result<Vec<Value>> {
    let mut definitions = documents(STRIMZI)?;
    for (module, files) in OPERATORS {
        let sources = golang::module(module)?;
        for file in files {
            definitions.extend(documents(&fs::read_to_string(sources.join(file))?)?);
        }
    }
    Ok(definitions)
}

/// Where pip has put the schemas.
fn package() -> Result<PathBuf> {
    let programs = python::environment("kubernetes-validate-1.37.0", &[SCHEMAS])?;
    let libraries = programs.with_file_name("lib");
    let python = fs::read_dir(&libraries)?.flatten().map(|entry| entry.path());
    let mut packages = python.map(|folder| folder.join("site-packages/kubernetes_validate"));
    packages.find(|folder| folder.is_dir()).context("pip has put kubernetes-validate somewhere else")
}

/// A schema for each version of the resource that is defined.
fn write_resource(mut definition: Value, folder: &Path) -> Result<()> {
    let spec = definition["spec"].take();
    let (group, kind) = (text(&spec["group"])?, text(&spec["names"]["kind"])?.to_lowercase());
    let folder = folder.join(group);
    fs::create_dir_all(&folder)?;
    for version in spec["versions"].as_array().context("a definition has no versions")? {
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        close(&mut schema);
        for (field, of) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
            schema["properties"][field] = json!({"type": of});
        }
        fs::write(folder.join(format!("{kind}_{}.json", text(&version["name"])?)), schema.to_string())?;
    }
    Ok(())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("a definition lacks a name")
}

/// A field that is not named is not taken; Kubernetes itself would drop it in silence.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let is_open = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            if fields.get("properties").is_some_and(Value::is_object) && !is_open {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            if fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                fields.remove("type");
                fields.entry("anyOf").or_insert_with(|| json!([{"type": "integer"}, {"type": "string"}]));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(parts) => parts.iter_mut().for_each(close),
        _ => {}
    }
}

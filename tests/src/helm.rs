//! The chart `helm/frameline`, rendered by Helm.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::golang::Program;
use crate::kubernetes::VERSIONS;

/// Helm.
pub const HELM: Program = Program { name: "helm", package: "helm.sh/helm/v3/cmd/helm", version: "v3.22.0" };

/// The namespace that the chart is rendered for.
pub const NAMESPACE: &str = "search";

/// The chart.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/frameline")
}

/// A file of values that the chart has for its tests.
pub fn values(name: &str) -> PathBuf {
    chart().join("ci").join(format!("{name}-values.yaml"))
}

/// What Helm answers to these words.
///
/// # Panics
/// Where it cannot be had, with what is missing.
pub fn helm(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let program = HELM.install().unwrap_or_else(|error| panic!("no Helm {} to test with: {error:#}", HELM.version));
    Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("it was installed")
}

/// The chart's documents with these files of values, the later over the earlier, and more of them as `--set` takes
/// them: as YAML, in one text.
///
/// # Errors
/// Where Helm refuses it, with what it says.
pub fn render(values: &[&Path], set: &[&str]) -> Result<String> {
    template(&[], values, set)
}

/// The same for a release that is there already.
///
/// # Errors
/// As [`render`].
pub fn render_upgrade(values: &[&Path]) -> Result<String> {
    template(&["--is-upgrade"], values, &[])
}

fn template(more: &[&str], values: &[&Path], set: &[&str]) -> Result<String> {
    let mut arguments = vec!["template".into(), "frameline".into(), chart().into_os_string()];
    arguments.extend(more.iter().map(OsString::from));
    // Helm asks no cluster here, and built from source it knows no version.
    arguments.extend(["--namespace", NAMESPACE, "--kube-version", VERSIONS[0]].map(OsString::from));
    arguments.extend(values.iter().flat_map(|file| ["--values".into(), file.into()]));
    arguments.extend(set.iter().flat_map(|value| ["--set".into(), value.into()]));
    let output = helm(arguments);
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The documents of a text of YAML; empty ones are none.
///
/// # Errors
/// Where it is no YAML.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let read = serde_yaml_ng::Deserializer::from_str(yaml).map(Value::deserialize);
    let documents = read.collect::<Result<Vec<_>, _>>()?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The one document of this kind and name.
///
/// # Panics
/// Where there is none.
pub fn document<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let named = |document: &&Value| document["kind"] == kind && document["metadata"]["name"] == name;
    documents.iter().find(named).unwrap_or_else(|| panic!("no {kind} {name}"))
}

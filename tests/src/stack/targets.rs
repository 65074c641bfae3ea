//! `compose/config/prometheus.yaml` on a machine where no name leads to a service: everything in it holds, but its
//! targets come from files, one a job, which are written as processes come and go.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_yaml_ng::{Mapping, Value};

/// Prometheus' own label for the name by which a target was found.
const NAME: &str = "__meta_dns_name";
/// The job of all stages.
pub const STAGES: &str = "frameline";

/// The configuration with its targets in `targets/JOB.yaml` beside it, and Alertmanager's in
/// `targets/alertmanagers.yaml`.
///
/// # Errors
/// Where it is none.
pub fn from_files(configuration: &str) -> Result<String> {
    let mut document: Value = serde_yaml_ng::from_str(configuration)?;
    for job in list(&mut document["scrape_configs"])? {
        let name = job.get("job_name").and_then(Value::as_str).context("a job has no name")?.to_owned();
        take_from(job, &name);
    }
    for managers in list(&mut document["alerting"]["alertmanagers"])? {
        take_from(managers, "alertmanagers");
    }
    Ok(serde_yaml_ng::to_string(&document)?)
}

fn list(value: &mut Value) -> Result<impl Iterator<Item = &mut Mapping>> {
    Ok(value
        .as_sequence_mut()
        .context("it has no list where one belongs")?
        .iter_mut()
        .filter_map(Value::as_mapping_mut))
}

fn take_from(section: &mut Mapping, name: &str) {
    section.retain(|key, _| !key.as_str().is_some_and(|key| key == "static_configs" || key.ends_with("_sd_configs")));
    let files = Value::from(vec![Value::from(format!("targets/{name}.yaml"))]);
    let source = Mapping::from_iter([(Value::from("files"), files)]);
    section.insert("file_sd_configs".into(), Value::from(vec![Value::from(source)]));
}

/// Writes the targets of a job, each with the name of its service, beside the configuration in `folder`.
///
/// # Errors
/// Where they cannot be written.
pub fn write(folder: &Path, job: &str, targets: &[(String, String)]) -> Result<()> {
    let folder = folder.join("targets");
    fs::create_dir_all(&folder)?;
    let group = |(service, address): &(String, String)| serde_json::json!({"targets": [address], "labels": BTreeMap::from([(NAME, service)])});
    let groups: Vec<_> = targets.iter().map(group).collect();
    // Prometheus may read at any moment.
    let (fresh, path) = (folder.join(format!("{job}.new")), folder.join(format!("{job}.yaml")));
    fs::write(&fresh, serde_yaml_ng::to_string(&groups)?)?;
    Ok(fs::rename(fresh, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_targets_are_replaced() {
        let text = from_files(
            "global: {scrape_interval: 15s}
alerting: {alertmanagers: [{static_configs: [{targets: ['alertmanager:9093']}]}]}
scrape_configs:
  - job_name: frameline
    dns_sd_configs: [{names: [embed], type: A, port: 8470}]
    relabel_configs: [{source_labels: [__meta_dns_name], target_label: service}]
",
        )
        .unwrap();
        let document: Value = serde_yaml_ng::from_str(&text).unwrap();
        let expected: Value = serde_yaml_ng::from_str(
            "global: {scrape_interval: 15s}
alerting: {alertmanagers: [{file_sd_configs: [{files: [targets/alertmanagers.yaml]}]}]}
scrape_configs:
  - job_name: frameline
    relabel_configs: [{source_labels: [__meta_dns_name], target_label: service}]
    file_sd_configs: [{files: [targets/frameline.yaml]}]
",
        )
        .unwrap();
        assert_eq!(document, expected);
    }
}

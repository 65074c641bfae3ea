//! Each file of values, and all that the chart makes of it.

use std::path::{Path, PathBuf};

use frameline_tests::expected::is_as_expected;
use frameline_tests::helm::{chart, helm, render, values};

use super::FILES;

const COPIES: [&str; 2] = ["dashboards", "prometheusrule"];

#[test]
fn the_chart_is_as_helm_wants_it() {
    for name in FILES {
        let output =
            helm(["lint", "--strict", "--values"].map(PathBuf::from).into_iter().chain([values(name), chart()]));
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn what_is_made_of_values_is_what_was_looked_at() {
    for name in FILES {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("suite/helm/snapshots/{name}.yaml"));
        let yaml = render(&[&values(name)], &[]).unwrap();
        // Alerts and dashboards are copies of files that have tests of their own.
        let is_copy =
            |document: &&str| COPIES.iter().any(|copy| document.contains(&format!("templates/{copy}.yaml\n")));
        let documents: Vec<&str> = yaml.split("---\n").filter(|document| !is_copy(document)).collect();
        is_as_expected(&file, &documents.join("---\n"));
    }
}

#[test]
fn the_values_for_ones_own_machine_are_taken() {
    render(&[&chart().join("values-dev.yaml")], &[]).unwrap();
}

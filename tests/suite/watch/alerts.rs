//! The alert rules, their own tests, and the sections of the runbook that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use frameline_tests::promql::promtool;
use serde::Deserialize;

use super::{assert_metrics_are_known, chart, names, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    #[serde(rename = "interval")]
    _interval: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Rule {
    Record {
        record: String,
        #[serde(rename = "expr")]
        _expr: String,
    },
    Alert {
        alert: String,
        #[serde(rename = "expr")]
        _expr: String,
        r#for: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    },
}

/// What `promtool test rules` reads, as far as it matters here.
#[derive(Deserialize)]
struct Tests {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    #[serde(default)]
    exp_alerts: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    exp_labels: BTreeMap<String, String>,
}

fn rules() -> Vec<Rule> {
    let rules: Rules = serde_yaml_ng::from_str(&read(chart().join("alerts/frameline.yaml"))).unwrap();
    assert!(rules.groups.iter().all(|group| group.name.starts_with("frameline.")));
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// The tests of the rules, by the names of their files.
fn files_of_tests() -> Vec<String> {
    let folder = fs::read_dir(chart().join("alerts/tests")).unwrap();
    let mut names: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn promtool_takes_the_rules_and_their_tests_pass() {
    let folder = chart().join("alerts");
    promtool(&folder, &["check", "rules", "frameline.yaml"]).unwrap_or_else(|error| panic!("{error:#}"));
    let files = files_of_tests();
    let arguments: Vec<&str> = ["test", "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
    promtool(&folder.join("tests"), &arguments).unwrap_or_else(|error| panic!("{error:#}"));
}

/// Alerts of one name are told apart by their label `burn`.
fn variant(alert: &str, labels: &BTreeMap<String, String>) -> String {
    labels.get("burn").map_or_else(|| alert.to_owned(), |burn| format!("{alert} {burn}"))
}

#[test]
fn every_alert_is_seen_to_fire_and_to_stay_quiet() {
    let (mut fires, mut is_quiet) = (BTreeSet::new(), BTreeSet::new());
    for file in files_of_tests() {
        let tests: Tests = serde_yaml_ng::from_str(&read(chart().join("alerts/tests").join(file))).unwrap();
        for AlertTest { alertname, exp_alerts } in tests.tests.into_iter().flat_map(|test| test.alert_rule_test) {
            if exp_alerts.is_empty() {
                is_quiet.insert(alertname);
            } else {
                fires.extend(exp_alerts.iter().map(|expected| variant(&alertname, &expected.exp_labels)));
            }
        }
    }
    for rule in rules() {
        let Rule::Alert { alert, labels, .. } = rule else { continue };
        let variant = variant(&alert, &labels);
        assert!(fires.contains(&variant), "no test sees {variant} fire");
        assert!(is_quiet.contains(&alert), "no test sees {alert} stay quiet");
    }
}

#[test]
fn every_alert_says_what_it_is_and_names_its_section_of_the_runbook() {
    let runbook = read(chart().join("RUNBOOK.md"));
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut alerts = BTreeSet::new();
    for rule in rules() {
        let Rule::Alert { alert, r#for, labels, annotations, .. } = rule else { continue };
        assert!(!r#for.is_empty() && ["critical", "warning"].contains(&labels["severity"].as_str()), "{alert}");
        assert!(!annotations["summary"].is_empty() && annotations["description"].ends_with('.'), "{alert}");
        // As GitHub names a heading in an address.
        let section = format!("/helm/frameline/RUNBOOK.md#{}", alert.to_lowercase());
        assert!(annotations["runbook_url"].ends_with(&section), "{alert}: {}", annotations["runbook_url"]);
        assert!(sections.contains(alert.as_str()), "the runbook has no section {alert}");
        alerts.insert(alert);
    }
    for section in sections.iter().filter(|section| section.starts_with("Frameline")) {
        assert!(alerts.contains(*section), "the runbook has a section {section}, and there is no such alert");
    }
    for (section, text) in runbook.split("\n## Frameline").skip(1).map(|part| part.split_once('\n').unwrap()) {
        for part in ["**Means:**", "**Look first:**", "**Do:**", "```sh"] {
            let is_elsewhere = part == "```sh" && text.contains("as for Frameline");
            assert!(text.contains(part) || is_elsewhere, "{part} is missing in the section Frameline{section}");
        }
    }
}

#[test]
fn rules_name_metrics_and_sums_that_there_are() {
    let text = read(chart().join("alerts/frameline.yaml"));
    assert_metrics_are_known(&text, "a rule");
    let rules = rules();
    let recorded: BTreeSet<&str> = rules
        .iter()
        .filter_map(|rule| match rule {
            Rule::Record { record, .. } => Some(record.as_str()),
            Rule::Alert { .. } => None,
        })
        .collect();
    // The key of the YAML is not part of the name.
    let named: BTreeSet<&str> = names(&text, "frameline:").iter().map(|name| name.trim_end_matches(':')).collect();
    assert_eq!(named.difference(&recorded).collect::<Vec<_>>(), Vec::<&&str>::new(), "sums that nobody makes");
}

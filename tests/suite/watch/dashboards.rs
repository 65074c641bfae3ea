//! Grafana's dashboards: of Grafana's own types, complete, and with data in every panel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use frameline_tests::node;
use frameline_tests::prometheus::Prometheus;
use serde_json::Value;

use super::{assert_metrics_are_known, chart, read};
use crate::operate::site::Site;
use crate::process::{BROKEN_PICTURE, Running, samples, until};

/// What Grafana puts in for a query by itself, and what it is here.
const PUT_IN: [(&str, &str); 2] = [("$__rate_interval", "5m"), ("$__range", "10m")];
/// Grafana's type of a dashboard, with its enumerations as they stand in JSON.
const TYPES: &str = "\
import type { Dashboard } from '@grafana/schema';
type Json<T> = T extends string
  ? `${T}`
  : T extends (infer U)[] ? Json<U>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
";
/// What it knows in addresses.
const BUILT_IN: [&str; 4] = ["__rate_interval", "__range", "__field", "__url_time_range"];

fn dashboards() -> BTreeMap<String, Value> {
    let files = fs::read_dir(chart().join("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let name = |file: &Path| file.file_stem().unwrap().to_str().unwrap().to_owned();
    files.map(|file| (name(&file), serde_json::from_str(&read(&file)).unwrap())).collect()
}

/// The panels that show something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("{what} is missing"))
}

fn expressions(dashboard: &Value) -> Vec<&str> {
    let targets = panels(dashboard).flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap()).collect()
}

#[test]
fn every_dashboard_is_of_the_types_of_grafana() {
    let packages = ["@grafana/schema@13.2.3", "typescript@5.9.3"];
    let packages = node::packages("grafana-schema-13.2.3", &packages).unwrap_or_else(|error| panic!("{error:#}"));
    let checked = |dashboards: &BTreeMap<String, Value>| {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(packages.join("node_modules"), folder.path().join("node_modules")).unwrap();
        let mut files: Vec<PathBuf> = Vec::new();
        for (name, dashboard) in dashboards {
            let file = folder.path().join(format!("{name}.ts"));
            fs::write(&file, format!("{TYPES}export const dashboard: Json<Dashboard> = {dashboard};\n")).unwrap();
            files.push(file);
        }
        let options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"];
        let mut tsc = Command::new(packages.join("node_modules/.bin/tsc"));
        let output = tsc.args(options).args(files).current_dir(&folder).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut dashboards = dashboards();
    let (is_well, said) = checked(&dashboards);
    assert!(is_well, "{said}");
    dashboards.get_mut("files").unwrap()["panels"][1]["titel"] = "a field that there is not".into();
    let (is_well, said) = checked(&dashboards);
    assert!(!is_well && said.contains("titel"), "nothing is checked: {said}");
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_its_links_lead_somewhere() {
    let dashboards = dashboards();
    assert_eq!(dashboards.keys().collect::<Vec<_>>(), ["files", "pipeline", "stage"]);
    let uids: BTreeMap<&str, BTreeSet<&str>> =
        dashboards.values().map(|dashboard| (text(&dashboard["uid"], "uid"), variables(dashboard))).collect();
    assert_eq!(uids.len(), dashboards.len(), "two with the same uid");
    for (name, dashboard) in &dashboards {
        assert_metrics_are_known(&dashboard.to_string(), name);
        for variable in used_variables(&dashboard.to_string()) {
            let is_known =
                BUILT_IN.contains(&variable.as_str()) || uids[text(&dashboard["uid"], "uid")].contains(&*variable);
            assert!(is_known, "{name} uses ${variable}");
        }
        for link in dashboard["links"].as_array().unwrap() {
            let tag = &link["tags"][0];
            assert!(dashboards.values().all(|other| other["tags"].as_array().unwrap().contains(tag)), "{link}");
        }
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_i64().unwrap()), "{name} has a panel twice: {panel}");
            text(&panel["title"], "a title");
        }
        panels(dashboard).for_each(|panel| check_panel(panel, &uids));
    }
}

fn check_panel(panel: &Value, uids: &BTreeMap<&str, BTreeSet<&str>>) {
    let title = text(&panel["title"], "a title");
    assert!(text(&panel["description"], title).ends_with('.'), "{title}");
    let defaults = &panel["fieldConfig"]["defaults"];
    text(&defaults["unit"], title);
    for target in panel["targets"].as_array().unwrap() {
        assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        text(&target["legendFormat"], title);
        assert!(text(&target["expr"], title).contains("namespace=~\"$namespace\""), "{title}: {target}");
    }
    for link in defaults["links"].as_array().into_iter().flatten() {
        let (uid, parameters) = text(&link["url"], title).strip_prefix("/d/").unwrap().split_once('?').unwrap();
        for variable in parameters.split('&').filter_map(|parameter| parameter.strip_prefix("var-")) {
            let variable = variable.split('=').next().unwrap();
            assert!(uids[uid].contains(variable), "{title} links to a dashboard without the variable {variable}");
        }
    }
}

fn variables(dashboard: &Value) -> BTreeSet<&str> {
    dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| text(&variable["name"], "a name"))
        .collect()
}

/// `$name`, `${name}`, `${name:format}` and `${name.field}`.
fn used_variables(text: &str) -> BTreeSet<String> {
    let is_part = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    let behind = text.split('$').skip(1).map(|rest| rest.strip_prefix('{').unwrap_or(rest));
    let names = behind.map(|rest| rest.chars().take_while(is_part).collect::<String>());
    // `$$__all` and the like are values of Grafana's own.
    names.filter(|name| !name.is_empty() && name != "__all").collect()
}

/// All stages on Kafka, a second process for two of them, the canary, and a load with all that may become of a file.
struct Scene {
    prometheus: Prometheus,
    _processes: [Running; 3],
    _site: Site,
}

impl Scene {
    fn set() -> Self {
        let site = Site::kafka();
        let listen = super::free_address();
        let service = site.serve(&[]);
        let canary = Running::start(site.command(&["canary", "--json", "--every", "2s", "--listen", "127.0.0.1:0"]));
        let address = |running: &Running| running.ready["address"].as_str().unwrap().to_owned();
        let prometheus = super::prometheus(&[address(&service), address(&canary), listen.clone()], &[]);
        until("it is scraped", || {
            let is_ready = prometheus.query("count(frameline_ready == 1)").unwrap();
            is_ready.iter().any(|sample| sample.value == 6.0).then_some(())
        });
        site.product.file("load/broken.png", BROKEN_PICTURE);
        let load = site.product.file("load/slides.pdf", "%PDF-1.7 ");
        assert_eq!(site.say(&["add", samples().to_str().unwrap()]).status, Some(0));
        let more = ["run", "render", "index", "--json", "--listen", listen.as_str(), "--instance", "second"];
        let second = Running::start(site.command(&more));
        assert_eq!(site.say(&["add", "--wait", load.parent().unwrap().to_str().unwrap()]).status, Some(1));
        assert_eq!(site.say(&["add", "--wait", samples().to_str().unwrap()]).status, Some(0));
        Self { prometheus, _processes: [service, canary, second], _site: site }
    }
}

#[test]
fn every_query_of_every_dashboard_has_data() {
    let scene = Scene::set();
    for (name, dashboard) in dashboards() {
        let variables: Vec<String> = variables(&dashboard).into_iter().map(|name| format!("${name}")).collect();
        for expression in expressions(&dashboard) {
            let mut query = expression.to_owned();
            for (put_in, value) in PUT_IN {
                query = query.replace(put_in, value);
            }
            for variable in &variables {
                query = query.replace(variable, ".*");
            }
            until(&format!("a panel of {name} has data: {query}"), || {
                let samples =
                    scene.prometheus.query(&query).unwrap_or_else(|error| panic!("{name}: {query}: {error:#}"));
                samples.iter().any(|sample| !sample.value.is_nan()).then_some(())
            });
        }
    }
}

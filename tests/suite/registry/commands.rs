//! `schemas check` and `schemas apply`, and a service beside a registry.

use frameline_runtime::log::Log;
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_runtime::{Headers, Output, TopicPartition};
use frameline_schemas::{RELEASES, current};
use frameline_tests::apicurio::Apicurio;
use frameline_tests::http::get;
use frameline_tests::proxy::{Proxy, Weather};
use serde_json::Value;

use super::{config, registry};
use crate::process::{Ended, Product, Running, samples, until};

fn states(report: &Value) -> Vec<(String, String)> {
    let rows = report["schemas"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| (text(&row["schema"]), text(&row["state"]))).collect()
}

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("no report: {ended:?}"))
}

#[test]
fn a_fresh_registry_is_filled_by_apply_and_nothing_is_done_without_execute() {
    let (registry, product) = (Apicurio::start(), Product::new());
    let config = config(&product, &registry.url(), "");
    let schemas =
        |arguments: &[&str]| product.run([&["schemas"], arguments, &["--json", "--config", &config]].concat());

    let (check, plan) = (schemas(&["check"]), schemas(&["apply"]));
    assert_eq!((check.status, plan.status), (Some(1), Some(0)), "{check:?} {plan:?}");
    for missing in [report(&check), report(&plan), report(&schemas(&["apply"]))] {
        assert!(states(&missing).iter().all(|(_, state)| state == "missing"), "{missing}");
        assert_eq!(missing["executed"], false);
    }
    product.run(["up", "--config", &config]).refuses(&["lacks", "file v1", "schemas apply --execute"]);

    let done = report(&schemas(&["apply", "--execute"]));
    assert_eq!(done["executed"], true);
    assert!(done["rules"].as_array().unwrap().is_empty(), "every subject is FULL_TRANSITIVE: {done}");
    let ids: Vec<u64> = done["schemas"].as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), RELEASES.len());
    let again = schemas(&["apply", "--execute"]);
    assert_eq!(report(&again)["schemas"], done["schemas"], "the second time changes nothing");
    assert_eq!(schemas(&["check"]).status, Some(0));
    let text = product.run(["schemas", "check", "--config", &config]);
    assert!(text.out.contains("has what this version needs"), "{text:?}");
    assert_eq!(product.up().stop(), Some(0));
    let audit = product.json(["audit"]);
    let [begun, ended] = &audit["records"].as_array().unwrap()[..] else { panic!("once there was something: {audit}") };
    assert_eq!((&begun["outcome"], &ended["outcome"]), (&"begun".into(), &"done".into()), "{audit}");
    assert_eq!((&begun["plan"], &begun["command"][0]), (&report(&plan), &"schemas".into()), "{audit}");
}

#[test]
fn a_version_that_ours_does_not_go_with_is_refused_with_the_field() {
    let (registry, product) = (Apicurio::start(), Product::new());
    let renamed = current("manifest").unwrap().text.replace(r#""name": "frames""#, r#""name": "pictures""#);
    registry.register("frameline.Manifest", &renamed);
    let config = config(&product, &registry.url(), "");
    let applied = product.run(["schemas", "apply", "--execute", "--json", "--config", &config]);
    assert_eq!(applied.status, Some(1), "{applied:?}");
    let report = report(&applied);
    for (schema, state) in states(&report) {
        assert_eq!(state, if schema == "manifest" { "refused" } else { "registered" }, "{schema}: {report}");
    }
    let refused = report["schemas"].as_array().unwrap().iter().find(|row| row["state"] == "refused").unwrap();
    assert!(refused["reason"].as_str().unwrap().contains("frames"), "{refused}");
    assert_eq!(report["others"][0]["subject"], "frameline.Manifest");
    assert!(report["others"][0]["reason"].as_str().unwrap().contains("frames"), "{report}");

    let text = product.run(["schemas", "check", "--config", &config]);
    assert_eq!(text.status, Some(1));
    assert!(text.out.contains("refused  manifest v1: ") && text.out.contains("version 1 there"), "{text:?}");
}

#[test]
fn the_whole_chain_runs_on_the_ids_of_a_registry() {
    let (registry, product) = (registry(), Product::new());
    let config = config(&product, &registry.url(), "");
    let mut service = Running::start(product.command(["up", "--json", "--listen", "127.0.0.1:0", "--config", &config]));
    let samples = samples();
    let (screen, document) = (samples.join("screens/checkout.svg"), samples.join("documents/interview-notes.txt"));
    let added =
        product.json(["add", "--wait", screen.to_str().unwrap(), document.to_str().unwrap(), "--config", &config]);
    assert_eq!(added["counts"]["done"], 2, "{added}");
    until("every lag is 0", || (product.json(["lag", "--config", &config])["lag"] == 0).then_some(()));
    assert!(product.found("checkout delivery")[0].ends_with("checkout.svg"));
    assert_eq!(service.stop(), Some(0));

    let checked = product.json(["schemas", "check", "--config", &config]);
    let rows = checked["schemas"].as_array().unwrap();
    let id = rows.iter().find(|row| row["schema"] == "file").unwrap()["id"].as_u64().unwrap();
    assert_ne!(id, u64::from(current("file").unwrap().id), "the same id in registry and files proves nothing");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ids = runtime.block_on(ids_on_the_wire(&product, "files"));
    assert_eq!(ids, [id, id]);
}

#[test]
fn a_registry_is_neither_switched_on_nor_off_over_records_with_other_ids() {
    let (registry, product) = (registry(), Product::new());
    let config = config(&product, &registry.url(), "");
    let up = |product: &Product, more: &[&str]| {
        Running::start(product.command([&["up", "--json", "--listen", "127.0.0.1:0"], more].concat()))
    };
    let note = product.file("note.md", "# Zeppelins\n\nHow an airship is moored.");
    let (note, with_registry) = (note.to_str().unwrap(), ["--config", config.as_str()]);

    let mut service = up(&product, &[]);
    product.json(["add", "--wait", note]);
    assert_eq!(service.stop(), Some(0));
    let on = ["registry", "the topic", "under id", "schemas.registry"];
    product.run([&["up"][..], &with_registry].concat()).refuses(&on);
    product.run([&["add", note][..], &with_registry].concat()).refuses(&on);
    assert_eq!(up(&product, &[]).stop(), Some(0), "as it was, it goes on");

    let other = Product::new();
    let mut service = up(&other, &with_registry);
    other.json([&["add", "--wait", note][..], &with_registry].concat());
    assert_eq!(service.stop(), Some(0));
    other.run(["up"]).refuses(&["this version's own files", "the topic", "under id", "schemas.registry"]);
    // Bytes of somebody else at the end of a topic are no reason.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let log = SqliteLog::open(&other.data().join("log.db")).await.unwrap();
        let value = Some(bytes::Bytes::from_static(&[0, 0, 61, 9, 0, 7]));
        let foreign = Output { topic: "files".into(), key: None, value, headers: Headers::new() };
        log.append(vec![foreign]).await.unwrap();
    });
    assert_eq!(up(&other, &with_registry).stop(), Some(0));
}

/// Records that wait were written under the ids of the files; then comes a registry that does not answer at first.
#[test]
fn a_registry_that_is_down_at_the_start_gives_no_ids_that_are_not_those_of_the_log() {
    let (registry, product, proxy) = (registry(), Product::new(), Proxy::start().unwrap());
    proxy.lead_to(registry.port());
    proxy.set(Weather::Cut);
    let note = product.file("note.md", "# Zeppelins\n\nHow an airship is moored.");
    let mut service = product.up();
    product.json(["add", "--wait", note.to_str().unwrap()]);
    assert_eq!(service.stop(), Some(0));
    product.json(["rewind", "identify", "--to-earliest", "--execute"]);

    let url = registry.url().replace(&registry.port().to_string(), &proxy.port().to_string());
    let config = config(&product, &url, "");
    let mut service = Running::start(product.command(["up", "--json", "--listen", "127.0.0.1:0", "--config", &config]));
    let address = service.ready["address"].as_str().unwrap().to_owned();
    let told = |what: &str| {
        let states = get(&address, "/readyz").unwrap().1;
        states.contains(what).then_some(())
    };
    until("a stage that waits for the registry", || told("paused"));
    proxy.set(Weather::Fair);
    until("why its ids are not taken", || told("not under the schema ids"));
    assert_eq!(service.stop(), Some(0));

    let mut service = product.up();
    until("every lag is 0", || (product.json(["lag"])["lag"] == 0).then_some(()));
    assert_eq!(product.json(["dlq", "list", "identify"])["letters"], 0, "no record was read as what it is not");
    assert_eq!(service.stop(), Some(0));
}

/// The schema ids of the records of a topic.
async fn ids_on_the_wire(product: &Product, topic: &str) -> Vec<u64> {
    let log = SqliteLog::open(&product.data().join("log.db")).await.unwrap();
    let partitions = log.topics().await.unwrap().into_iter().find(|state| state.name == topic).unwrap().partitions;
    let mut ids = Vec::new();
    for partition in 0..partitions {
        let records = log.read(&TopicPartition::new(topic, partition), 0, 100).await.unwrap();
        let id = |record: &frameline_runtime::Record| frameline_schemas::schema_id(record.value.as_deref().unwrap());
        ids.extend(records.iter().map(|record| u64::from(id(record).unwrap())));
    }
    ids
}

#[test]
fn without_a_registry_or_with_one_that_is_down_a_command_says_so() {
    let product = Product::new();
    product.run(["schemas", "check"]).refuses(&["no schema registry is configured", "schemas.registry"]);
    let config = config(&product, "http://127.0.0.1:1", "timeout = \"1s\"\n");
    let down = product.run(["schemas", "check", "--config", &config]);
    assert_eq!(down.status, Some(1), "{down:?}");
    assert!(down.err.contains("http://127.0.0.1:1 is unavailable"), "{down:?}");
}

//! What an operator looks at: the lag, and the doctor's findings.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use super::site::{Site, path, screen};
use crate::process::until;

#[test]
fn the_lag_is_told_with_its_age_its_pace_and_its_members_embedded() {
    lag(&Site::embedded());
}

#[test]
fn the_lag_is_told_with_its_age_its_pace_and_its_members_on_kafka() {
    lag(&Site::kafka());
}

fn lag(site: &Site) {
    let file = site.product.file("marmalade.svg", screen("Marmalade subscription"));
    let mut service = site.serve(&["identify"]);
    site.ask(&["add", path(&file)]);
    let render = || site.ask(&["lag", "render", "--every", "100ms"])["stages"][0].clone();
    let waiting = until("render has something before it", || Some(render()).filter(is_behind));
    assert_eq!((&waiting["stage"], &waiting["members"]), (&"render".into(), &Value::Array(vec![])), "{waiting}");
    assert!((0..300_000).contains(&waiting["oldest_ms"].as_i64().unwrap()), "{waiting}");
    assert_eq!((&waiting["rate_per_s"], &waiting["drain_s"]), (&0.0.into(), &Value::Null), "{waiting}");
    let older = until("it grows older", || {
        Some(render()).filter(|now| is_behind(now) && now["oldest_ms"].as_i64() > waiting["oldest_ms"].as_i64())
    });
    assert!(older["lag"].as_i64() >= waiting["lag"].as_i64(), "{older}");
    let behind: Vec<&Value> =
        waiting["partitions"].as_array().unwrap().iter().filter(|partition| partition["lag"] != 0).collect();
    assert_eq!(behind.len(), 1, "the records of one file: {waiting}");
    assert_eq!((&behind[0]["oldest_ms"].is_i64(), &behind[0]["member"]), (&true, &Value::Null), "{waiting}");
    assert_eq!((&behind[0]["rate_per_s"], &behind[0]["drain_s"]), (&0.0.into(), &Value::Null), "{waiting}");
    assert_eq!(site.ask(&["lag", "--every", "0s"])["stages"][1]["rate_per_s"], Value::Null);
    assert!(site.say(&["lag"]).out.contains("not at this rate"));

    let mut renders = site.serve(&["render"]);
    site_has_no_lag(site, "render");
    let at_work = site.ask(&["lag", "render"])["stages"][0].clone();
    assert_eq!(at_work["members"].as_array().unwrap().len(), 1, "{at_work}");
    let member = &at_work["members"][0];
    assert!(
        at_work["partitions"].as_array().unwrap().iter().all(|partition| partition["member"] == *member),
        "{at_work}"
    );
    assert_eq!((&at_work["oldest_ms"], &at_work["rate_per_s"]), (&Value::Null, &Value::Null), "{at_work}");
    assert_eq!((renders.stop(), service.stop()), (Some(0), Some(0)));
    it_is_watched(site);
}

/// While a transaction is open, what it wrote counts and cannot be read yet.
fn is_behind(stage: &Value) -> bool {
    stage["lag"] != 0 && stage["oldest_ms"].is_i64()
}

fn site_has_no_lag(site: &Site, stage: &str) {
    until("the stage has nothing before it", || (site.ask(&["lag", stage])["lag"] == 0).then_some(()));
}

/// A document a look, with rates from the second on.
fn it_is_watched(site: &Site) {
    let mut watching =
        site.command(&["lag", "--watch", "--every", "200ms", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let looks: Vec<Value> = lines.take(3).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    watching.kill().unwrap();
    watching.wait().unwrap();
    let rates: Vec<bool> = looks.iter().map(|look| look["stages"][2]["rate_per_s"].is_f64()).collect();
    assert_eq!(rates, [false, true, true], "{looks:?}");
}

/// It goes on where it was, from the look before the trouble.
#[test]
fn a_watch_goes_on_once_the_trouble_of_the_log_is_over() {
    let site = Site::kafka();
    assert_eq!(site.serve(&[]).stop(), Some(0));
    let mut command = site.command(&["lag", "--watch", "--every", "200ms", "--json"]);
    let mut watching = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut looks = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut told = BufReader::new(watching.stderr.take().unwrap()).lines();
    assert!(looks.next().unwrap().unwrap().contains("\"lag\":0"));
    site.broker().kill();
    assert!(told.any(|line| line.unwrap().contains("the lag cannot be told just now")), "it says nothing of it");

    site.broker().resume().unwrap();
    site.ask(&["add", path(&site.product.file("marmalade.svg", screen("Marmalade subscription")))]);
    let mut looks = looks.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let look = looks.find(|look| look["lag"] != 0).expect("it has ended");
    assert!(look["stages"][0]["rate_per_s"].is_f64(), "{look}");
    watching.kill().unwrap();
    watching.wait().unwrap();
}

fn findings<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check).collect()
}

/// The doctor's report, and whether it found that all works.
fn doctor(site: &Site) -> (Value, Option<i32>) {
    let ended = site.say(&["doctor", "--json"]);
    (serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}")), ended.status)
}

#[test]
fn the_doctor_finds_what_is_well_and_what_is_not_embedded() {
    let site = Site::embedded();
    examined(&site, "embedded log");
    for store in ["vectors.db", "jobs.db"] {
        for beside in ["-wal", "-shm"] {
            // What was written last may lie beside it.
            let _ = fs::remove_file(site.product.data().join(format!("{store}{beside}")));
        }
        fs::write(site.product.data().join(store), [0x5a; 40_000]).unwrap();
    }
    let (report, status) = doctor(&site);
    assert_eq!((&report["ok"], status), (&false.into(), Some(1)), "{report}");
    for (check, store) in [("vectors", "vectors.db"), ("jobs", "jobs.db")] {
        let [finding] = findings(&report, check)[..] else { panic!("{report}") };
        assert_eq!(finding["severity"], "error", "{report}");
        assert!(finding["what"].as_str().unwrap().contains(store) && finding["remedy"].is_string(), "{report}");
    }
}

#[test]
fn the_doctor_finds_what_is_well_and_what_is_not_on_kafka() {
    let site = Site::kafka();
    examined(&site, "Apache Kafka at 127.0.0.1");
    let known = doctor(&site).0;
    let what = findings(&known, "log")[0]["what"].as_str().unwrap();
    assert!(what.contains(": 1 broker of the cluster "), "{known}");
    site.broker().kill();
    let (report, status) = doctor(&site);
    assert_eq!((&report["ok"], status), (&false.into(), Some(1)), "{report}");
    let [finding] = findings(&report, "log")[..] else { panic!("{report}") };
    assert_eq!(finding["severity"], "error", "{report}");
    assert!(finding["remedy"].as_str().unwrap().contains(&site.broker().bootstrap_servers()), "{report}");
    assert_eq!(findings(&report, "vectors")[0]["severity"], "ok", "the others are looked at all the same: {report}");
}

fn examined(site: &Site, log: &str) {
    let (fresh, status) = doctor(site);
    assert_eq!(findings(&fresh, "data")[0]["severity"], "warning", "{fresh}");
    assert_eq!(status, if log.starts_with("embedded") { Some(0) } else { Some(1) }, "no topics yet: {fresh}");
    assert!(!site.product.data().exists(), "it changes nothing");

    let mut service = site.serve(&[]);
    let (well, status) = doctor(site);
    assert_eq!((&well["ok"], status), (&true.into(), Some(0)), "{well}");
    for check in [
        "version", "models", "disk", "data", "log", "topics", "groups", "letters", "clock", "schemas", "services",
        "jobs", "vectors", "blobs",
    ] {
        assert!(!findings(&well, check).is_empty(), "{check} is missing in: {well}");
    }
    assert!(findings(&well, "log")[0]["what"].as_str().unwrap().contains(log), "{well}");
    let groups = findings(&well, "groups");
    assert!(groups.len() == 6 && groups.iter().all(|group| group["severity"] == "ok"), "{well}");
    assert!(groups.iter().all(|group| group["what"].as_str().unwrap().contains("1 member")), "{well}");
    assert_eq!(service.stop(), Some(0));

    let file = site.product.file("marmalade.svg", screen("Marmalade subscription"));
    site.ask(&["add", path(&file)]);
    let (waiting, status) = doctor(site);
    assert_eq!((&waiting["ok"], status), (&true.into(), Some(0)), "{waiting}");
    let identify = findings(&waiting, "groups")[0].clone();
    assert_eq!(identify["severity"], "warning", "{waiting}");
    assert!(identify["what"].as_str().unwrap().starts_with("nobody works on identify; records: "), "{waiting}");
    assert!(identify["remedy"].as_str().unwrap().contains("frameline run identify"), "{waiting}");
    let text = site.say(&["doctor"]).out;
    assert!(text.contains("WARNING  groups    nobody works on identify") && text.contains("→ start it"), "{text}");
}

#[test]
fn the_doctor_finds_a_transaction_that_hangs_and_none_that_is_at_work() {
    let site = Site::kafka_with("properties = { \"transaction.timeout.ms\" = \"1000\" }\n");
    assert_eq!(site.serve(&[]).stop(), Some(0));
    let servers = site.broker().bootstrap_servers();
    let owner: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .set("transactional.id", "somebody")
        .set("transaction.timeout.ms", "600000")
        .create()
        .unwrap();
    owner.init_transactions(Duration::from_secs(30)).unwrap();
    owner.begin_transaction().unwrap();
    owner.send(BaseRecord::<(), str>::to("files").partition(3).payload("half")).unwrap();
    owner.flush(Duration::from_secs(30)).unwrap();

    let held = || findings(&doctor(&site).0, "held")[0].clone();
    assert_eq!(held()["severity"], "ok", "it may be at work still");
    let hanging = until("it is older than any may be", || Some(held()).filter(|held| held["severity"] == "error"));
    let what = hanging["what"].as_str().unwrap();
    assert!(what.contains("files/3") && what.contains("readers stop at 0, and the end is 1"), "{hanging}");
    let tool = format!("kafka-transactions.sh --bootstrap-server {servers} abort --topic files --partition 3");
    assert!(hanging["remedy"].as_str().unwrap().contains(&tool), "{hanging}");
    assert_eq!(doctor(&site).1, Some(1));

    let arguments = ["abort", "--topic", "files", "--partition", "3", "--start-offset", "0"];
    site.broker().tool("org.apache.kafka.tools.TransactionsCommand", &arguments);
    until("nobody waits any longer", || (held()["severity"] == "ok").then_some(()));
}

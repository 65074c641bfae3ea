//! A stage had a bug, and is put back: the records are done again, and everything ends as if it never had one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use frameline_runtime::rewind::backup;
use frameline_runtime::{Headers, Output, TopicPartition};
use serde_json::Value;

use super::site::{Site, path, screen};
use crate::process::samples;

/// With this every frame is too small for `validate`, which skips it.
const BUG: (&str, &str) = ("FRAMELINE__VALIDATE__TINY_SIDE_PX", "100000");
/// All that `validate` feeds.
const FED: [&str; 3] = ["units", "progress", "embeddings"];
const TOPICS: [&str; 6] = ["files", "frames", "thumbnails", "units", "embeddings", "progress"];

fn files() -> Vec<PathBuf> {
    ["screens/checkout.svg", "screens/settings.svg", "documents/privacy-faq.html"]
        .map(|name| samples().join(name))
        .into()
}

fn add(site: &Site) {
    let files = files();
    let arguments: Vec<&str> = ["add", "--wait"].into_iter().chain(files.iter().map(|file| path(file))).collect();
    assert_eq!(site.ask(&arguments)["counts"]["done"], 3);
    site.settle();
}

#[test]
fn a_stage_that_had_a_bug_is_put_back_embedded() {
    story(&Site::embedded());
}

#[test]
fn a_stage_that_had_a_bug_is_put_back_on_kafka() {
    let site = Site::kafka();
    story(&site);
    kafkas_own_tool_reads_the_backup(&site);
}

fn story(site: &Site) {
    let calm = Site::embedded();
    let mut service = calm.serve(&[]);
    add(&calm);
    assert_eq!(service.stop(), Some(0));

    let mut service = site.serve_with(&[BUG]);
    add(site);
    assert_ne!(site.state(), calm.state());
    assert!(site.found("card number").iter().all(|file| !file.ends_with("checkout.svg")));
    it_is_refused_while_the_stage_is_at_work(site, service.pid());
    assert_eq!(service.stop(), Some(0));

    let plan = a_plan_changes_nothing(site);
    let backup = it_is_done_and_undone_and_done_again(site, &plan);
    let before = ends(site);
    let mut service = site.serve(&[]);
    site.settle();
    assert_eq!(service.stop(), Some(0));
    assert_eq!(site.state(), calm.state());
    assert!(site.found("card number")[0].ends_with("checkout.svg"));
    let after = ends(site);
    let fed: Vec<&str> = TOPICS.into_iter().filter(|topic| after[topic] > before[topic]).collect();
    assert_eq!(fed.len(), FED.len(), "{fed:?}");
    assert!(fed.iter().all(|topic| FED.contains(topic)), "{fed:?}");
    assert!(backup.is_file());
    it_is_on_record(site);
}

fn it_is_refused_while_the_stage_is_at_work(site: &Site, pid: u32) {
    let lag = site.ask(&["lag", "validate"]);
    let member = lag["stages"][0]["members"][0].as_str().unwrap().to_owned();
    let refused = site.say(&["rewind", "validate", "--to-earliest", "--execute"]);
    refused.refuses(&[&member, "validate is at work", &format!("process {pid}"), "stop it"]);
    assert!(!site.product.data().join("backups").exists(), "a refused rewind leaves no backup");
    let plan = site.ask(&["rewind", "validate", "--to-earliest"]);
    assert_eq!(plan["members"][0], member.as_str(), "{plan}");
    assert_eq!(site.ask(&["lag"])["lag"], 0);
}

fn a_plan_changes_nothing(site: &Site) -> Value {
    let plan = site.ask(&["rewind", "validate", "--to-earliest"]);
    assert_eq!((&plan["stage"], &plan["executed"]), (&"validate".into(), &false.into()), "{plan}");
    assert_eq!((&plan["members"], &plan["backup"]), (&Value::Array(vec![]), &Value::Null), "{plan}");
    let fed: Vec<&str> = plan["feeds"].as_array().unwrap().iter().map(|feed| feed["topic"].as_str().unwrap()).collect();
    assert_eq!(fed, FED);
    let moves = plan["moves"].as_array().unwrap();
    assert!(!moves.is_empty() && moves.iter().all(|step| step["to"] == 0 && step["clamped"].is_null()), "{plan}");
    assert!(moves.iter().all(|step| step["oldest_at_ms"].as_i64().unwrap() > 1_700_000_000_000), "{plan}");
    let again: i64 = moves.iter().map(|step| step["again"].as_i64().unwrap()).sum();
    assert_eq!(plan["again"], again);
    assert_eq!(site.ask(&["rewind", "validate", "--by", "1d"])["moves"], plan["moves"]);
    assert_eq!(site.ask(&["rewind", "validate", "--to-time", "2020-01-01"])["moves"], plan["moves"]);
    assert_eq!(site.ask(&["rewind", "validate", "--to-time", "2100-01-01"])["moves"], Value::Array(vec![]));
    assert_eq!(site.ask(&["lag"])["lag"], 0, "a plan moves nothing");
    plan
}

fn it_is_done_and_undone_and_done_again(site: &Site, plan: &Value) -> PathBuf {
    let lag = || site.ask(&["lag", "validate"])["lag"].clone();
    let done = site.ask(&["rewind", "validate", "--to-earliest", "--execute"]);
    assert_eq!((&done["executed"], &done["moves"]), (&true.into(), &plan["moves"]), "{done}");
    assert_eq!(lag(), plan["again"]);
    assert_eq!(site.ask(&["rewind", "validate", "--to-earliest", "--execute"])["moves"], Value::Array(vec![]));

    let backup = done["backup"].as_str().unwrap();
    let offsets = backup::parse(&fs::read_to_string(backup).unwrap()).unwrap();
    for step in plan["moves"].as_array().unwrap() {
        let number = i32::try_from(step["partition"].as_i64().unwrap()).unwrap();
        assert_eq!(offsets[&TopicPartition::new("thumbnails", number)], step["from"].as_i64().unwrap());
    }
    let undo = site.ask(&["rewind", "--undo", backup]);
    assert_eq!(
        (&undo["executed"], &undo["passed"], &undo["again"]),
        (&false.into(), &plan["again"], &0.into()),
        "{undo}"
    );
    assert_eq!((&undo["stage"], lag()), (&"validate".into(), plan["again"].clone()), "{undo}");
    let undone = site.ask(&["rewind", "--undo", backup, "--execute"]);
    assert_eq!((&undone["executed"], lag()), (&true.into(), 0.into()), "{undone}");

    // The backup of the undoing is the way back once more.
    let kept = site.product.file("kept/again.csv", "");
    fs::remove_file(&kept).unwrap();
    site.ask(&["rewind", "--undo", undone["backup"].as_str().unwrap(), "--execute", "--backup", path(&kept)]);
    assert_eq!(lag(), plan["again"]);
    let somewhere = &plan["moves"][0]["partition"];
    let there = site.say(&["rewind", "validate", "--to-offset", &format!("{somewhere}:999999")]);
    there.refuses(&[&format!("thumbnails/{somewhere}"), "999999", "would never be done"]);
    site.say(&["rewind", "validate", "--to-offset", "99:0"]).refuses(&["no partition thumbnails/99"]);
    let taken = site.say(&["rewind", "--undo", backup, "--execute", "--backup", path(&kept)]);
    taken.refuses(&["again.csv cannot be written, so nothing was moved", "--backup FILE"]);
    assert_eq!(lag(), plan["again"]);
    kept
}

fn it_is_on_record(site: &Site) {
    let audit = site.ask(&["audit"]);
    let records = audit["records"].as_array().unwrap();
    let outcomes: Vec<&str> = records.iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["begun", "done"].repeat(3), "{audit}");
    let first = &records[0];
    assert_eq!(first["command"].as_array().unwrap()[..3], ["rewind", "validate", "--to-earliest"]);
    assert_eq!((&first["plan"]["stage"], &first["id"]), (&"validate".into(), &records[1]["id"]), "{audit}");
    assert!(first["who"].as_str().unwrap().contains('@'), "{audit}");
    assert_eq!(audit["unreadable"], 0, "{audit}");

    let value = Some("{\"id\": 7}".into());
    site.append(Output { topic: "audit".into(), key: None, value, headers: Headers::new() });
    let with_another = site.ask(&["audit"]);
    assert_eq!((&with_another["records"], &with_another["unreadable"]), (&audit["records"], &1.into()));
    assert!(site.say(&["audit"]).out.contains("1 record that cannot be read"));
}

/// The sums of the topics' ends.
fn ends(site: &Site) -> BTreeMap<&'static str, i64> {
    TOPICS.map(|topic| (topic, site.records(topic).len().try_into().unwrap())).into()
}

fn kafkas_own_tool_reads_the_backup(site: &Site) {
    let mut arguments = vec!["--group", "validate", "--reset-offsets", "--dry-run", "--from-file"];
    let moved = site.ask(&["rewind", "validate", "--to-earliest", "--execute"]);
    arguments.push(moved["backup"].as_str().unwrap());
    let said = site.broker().tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &arguments);
    for step in moved["moves"].as_array().unwrap() {
        let words =
            ["validate", "thumbnails", &step["partition"].to_string(), &step["from"].to_string()].map(str::to_owned);
        let is_there = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().starts_with(&words);
        assert!(said.lines().any(is_there), "{words:?} is missing in: {said}");
    }
}

#[test]
fn what_retention_has_taken_is_not_gone_back_to_embedded() {
    clamped(&Site::embedded());
}

#[test]
fn what_retention_has_taken_is_not_gone_back_to_on_kafka() {
    clamped(&Site::kafka());
}

/// `render` cannot go back before what `frames` still has; the plan says so.
fn clamped(site: &Site) {
    let file = site.product.file("marmalade.svg", screen("Marmalade subscription"));
    let mut service = site.serve(&[]);
    for words in ["Marmalade subscription", "Marmalade in glasses"] {
        fs::write(&file, screen(words)).unwrap();
        assert_eq!(site.add(&file)["state"], "done");
    }
    site.settle();
    assert_eq!(service.stop(), Some(0));
    // All records of one file lie in one partition: a frame and a manifest for each of the two revisions.
    let place = site.ask(&["lag", "render"])["stages"][0]["partitions"].as_array().unwrap().iter().find_map(|at| {
        at["committed"]
            .as_i64()
            .filter(|committed| *committed > 1)
            .map(|committed| (at["partition"].clone(), committed))
    });
    let (partition, committed) = place.unwrap();
    let records = site.records("frames");
    let (gone, second) = (&records[1], &records[2]);
    site.forget("frames", i32::try_from(partition.as_i64().unwrap()).unwrap(), gone, second);
    let rewind = |target: &[&str]| site.ask(&[&["rewind", "render"], target].concat());
    let plan = rewind(&["--to-offset", &format!("{partition}:0")]);
    let step = &plan["moves"][0];
    assert_eq!(
        (&step["to"], &step["clamped"], &step["wanted"]),
        (&second.offset.into(), &"retention".into(), &0.into()),
        "{plan}"
    );
    assert_eq!(step["again"], committed - second.offset, "{plan}");
    assert_eq!(rewind(&["--to-time", "2020-01-01"])["moves"][0]["clamped"], "retention");
    assert_eq!(rewind(&["--to-earliest"])["moves"][0]["clamped"], Value::Null);
    let text = site.say(&["rewind", "render", "--to-offset", &format!("frames/{partition}:0")]).out;
    assert!(text.contains(&format!("to {} and not to 0: retention has deleted", second.offset)), "{text}");

    let backup = site.product.file("backup.csv", format!("frames,{partition},0\n"));
    let undo = site.ask(&["rewind", "--undo", path(&backup), "--execute"]);
    assert_eq!((&undo["moves"][0]["to"], &undo["moves"][0]["clamped"]), (&second.offset.into(), &"retention".into()));
    let state = site.state();
    let mut service = site.serve(&[]);
    site.settle();
    assert_eq!(service.stop(), Some(0));
    assert_ne!(site.state(), state, "the lag is gone");
    let found = site.found("marmalade in glasses");
    assert_eq!(found.iter().filter(|name| Path::new(name).ends_with("marmalade.svg")).count(), 1, "{found:?}");
}

#[test]
fn what_is_no_backup_or_no_place_is_refused_with_what_to_do() {
    let site = Site::embedded();
    let mut service = site.serve(&[]);
    assert_eq!(service.stop(), Some(0));
    let file = |text: &str| path(&site.product.file("backup.csv", text)).to_owned();
    site.say(&["rewind", "--undo", &file("frames,0\n")]).refuses(&["is no backup", "line 1", "topic,partition,offset"]);
    site.say(&["rewind", "--undo", &file("nowhere,0,1\n")]).refuses(&["does not say whose", "name the stage"]);
    site.say(&["rewind", "index", "--undo", &file("frames,0,1\n")]).refuses(&["no backup of index", "frames/0"]);
    assert_eq!(site.ask(&["rewind", "render", "--to-earliest"])["moves"], Value::Array(vec![]));
    for wrong in [&["rewind", "render"][..], &["rewind", "--to-earliest"], &["rewind", "render", "--to-offset", "x"]] {
        assert_eq!(site.say(wrong).status, Some(2), "{wrong:?}");
    }
}

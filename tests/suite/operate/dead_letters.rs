//! The dead letters after an outage: they are looked at, and redriven once the cause is mended.

use std::fs;
use std::path::Path;

use frameline_runtime::{Headers, Output};
use serde_json::Value;

use super::site::{Site, path, screen};
use crate::process::until;

#[test]
fn dead_letters_are_redriven_after_an_outage_embedded() {
    story(&Site::embedded());
}

#[test]
fn dead_letters_are_redriven_after_an_outage_on_kafka() {
    story(&Site::kafka());
}

const WORDS: [(&str, &str); 3] =
    [("anchovy.svg", "Anchovy pizza"), ("bergamot.svg", "Bergamot tea"), ("cardamom.svg", "Cardamom buns")];

fn story(site: &Site) {
    let files = WORDS.map(|(name, words)| site.product.file(Path::new("screens").join(name), screen(words)));
    let [anchovy, bergamot, _] = &files;
    an_outage_makes_dead_letters(site, anchovy.parent().unwrap());
    let mut service = site.serve(&[]);
    WORDS.iter().for_each(|(name, _)| site.wait_for(name, "failed"));
    the_doctor_counts(site, "warning", "render has 3 dead letters of the last day");
    they_are_listed_and_shown(site, anchovy);
    one_that_is_redriven_too_soon_comes_back_and_is_limited(site, anchovy);
    fs::write(bergamot, screen("Bergamot soap")).unwrap();
    assert_eq!(site.add(bergamot)["state"], "done");
    assert_eq!(service.stop(), Some(0));

    the_cause_is_mended(site);
    they_are_redriven_once(site);
    let mut service = site.serve(&[]);
    for (name, words) in [WORDS[0], WORDS[2]] {
        site.wait_for(name, "done");
        assert!(site.found(words)[0].ends_with(name), "{words}");
    }
    site.settle();
    the_doctor_counts(site, "ok", "no dead letter");
    bytes_that_are_no_record_come_back_with_a_count(site);
    assert_eq!(service.stop(), Some(0));
}

/// `render` finds nothing to draw: the files are away with the disk that they were on.
fn an_outage_makes_dead_letters(site: &Site, folder: &Path) {
    let mut service = site.serve(&["identify", "jobs"]);
    let added = site.ask(&["add", path(folder)]);
    assert_eq!(added["counts"]["queued"], 3, "{added}");
    until("all files are identified", || {
        let lag = site.ask(&["lag"]);
        let identify = lag["stages"].as_array()?.iter().find(|stage| stage["stage"] == "identify")?;
        (identify["lag"] == 0).then_some(())
    });
    assert_eq!(service.stop(), Some(0));
    fs::rename(site.blobs("files"), site.product.data().join("away")).unwrap();
}

fn the_cause_is_mended(site: &Site) {
    let away = site.product.data().join("away");
    let copied =
        std::process::Command::new("cp").arg("-r").arg(away.join(".")).arg(site.blobs("files")).status().unwrap();
    assert!(copied.success());
}

fn they_are_listed_and_shown(site: &Site, anchovy: &Path) {
    let list = |more: &[&str]| site.ask(&[&["dlq", "list", "render"], more].concat());
    let all = list(&[]);
    assert_eq!((&all["letters"], &all["redriven"]), (&3.into(), &0.into()), "{all}");
    let groups = all["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "they failed for one reason: {all}");
    assert_eq!((&groups[0]["class"], &groups[0]["most_redrives"]), (&"permanent".into(), &0.into()), "{all}");
    let job = site.jobs()["anchovy.svg"]["id"].as_str().unwrap().to_owned();
    let code = groups[0]["code"].as_str().unwrap();
    for (filter, letters) in [
        (["--file", path(anchovy)], 1),
        (["--job", &job[..13]], 1),
        (["--class", "permanent"], 3),
        (["--class", "transient"], 0),
        (["--error", &code.to_uppercase()], 3),
        (["--error", "no such words"], 0),
        (["--since", "2020-01-01"], 3),
        (["--until", "2020-01-01"], 0),
    ] {
        assert_eq!(list(&filter)["letters"], letters, "{filter:?}");
    }
    assert_eq!(site.ask(&["dlq", "list", "embed"])["letters"], 0);

    let of_anchovy = list(&["--file", path(anchovy)]);
    let place = of_anchovy["groups"][0]["last"].as_str().unwrap();
    let shown = site.ask(&["dlq", "show", "render", place]);
    assert_eq!((&shown["record"], &shown["topic"]), (&"frame".into(), &"frames".into()), "{shown}");
    assert!(shown["decoded"]["head"]["file_name"].as_str().unwrap().ends_with("anchovy.svg"), "{shown}");
    assert_eq!(shown["headers"]["frameline-job"], job, "{shown}");
    assert!(site.say(&["dlq", "show", "render", place]).out.contains("a frame of "));
    site.say(&["dlq", "show", "render", "2:999999"]).refuses(&["2:999999"]);
}

fn one_that_is_redriven_too_soon_comes_back_and_is_limited(site: &Site, anchovy: &Path) {
    let redrive = |more: &[&str]| site.ask(&[&["dlq", "redrive", "render", "--file", path(anchovy)], more].concat());
    let done = redrive(&["--execute"]);
    assert_eq!((&done["redrive"], &done["put_back"]), (&1.into(), &1.into()), "{done}");
    let back = until("it has failed again", || {
        let list = site.ask(&["dlq", "list", "render", "--file", path(anchovy)]);
        (list["letters"] == 1).then_some(list)
    });
    assert_eq!((&back["redriven"], &back["groups"][0]["most_redrives"]), (&1.into(), &1.into()), "{back}");
    site.wait_for("anchovy.svg", "failed");
    let refused = redrive(&["--most-redrives", "1", "--execute"]);
    assert_eq!((&refused["redrive"], &refused["executed"]), (&0.into(), &false.into()), "{refused}");
    assert_eq!(refused["left_out"], serde_json::json!({"redriven": 1, "exhausted": 1}), "{refused}");
    assert!(refused["named"][0]["reason"].as_str().unwrap().contains("failed again"), "{refused}");
}

fn they_are_redriven_once(site: &Site) {
    let redrive = |more: &[&str]| site.ask(&[&["dlq", "redrive", "render"], more].concat());
    let left_out = serde_json::json!({"redriven": 1, "superseded": 1});
    let (input, plan) = (site.records("frames"), redrive(&[]));
    assert_eq!((&plan["letters"], &plan["redrive"]), (&4.into(), &2.into()), "{plan}");
    assert_eq!((&plan["left_out"], &plan["executed"]), (&left_out, &false.into()), "{plan}");
    assert!(plan["named"][0]["file"].as_str().unwrap().ends_with("bergamot.svg"), "{plan}");
    assert_eq!(site.records("frames"), input, "a plan writes nothing");

    let first = redrive(&["--limit", "1", "--execute"]);
    assert_eq!(first["put_back"], 1, "{first}");
    let rest = redrive(&["--execute"]);
    assert_eq!(rest["put_back"], 1, "{rest}");
    let again = redrive(&["--execute"]);
    assert_eq!((&again["redrive"], &again["left_out"]["redriven"]), (&0.into(), &3.into()), "{again}");

    let mut jobs = site.serve(&["jobs"]);
    for (name, _) in WORDS.iter().filter(|(name, _)| *name != "bergamot.svg") {
        site.wait_for(name, "running");
    }
    assert_eq!(jobs.stop(), Some(0));
    let commands = site.ask(&["audit"]);
    let is_redrive = |record: &&Value| record["command"][1] == "redrive" && record["outcome"] == "done";
    assert_eq!(commands["records"].as_array().unwrap().iter().filter(is_redrive).count(), 3, "{commands}");
}

fn bytes_that_are_no_record_come_back_with_a_count(site: &Site) {
    let poison = Output {
        topic: "frames".into(),
        key: Some("poison".into()),
        value: Some(bytes::Bytes::from_static(b"\x07poison")),
        headers: Headers::new(),
    };
    site.append(poison);
    let list = |letters: u64| {
        until("the poison is given up", || {
            let list = site.ask(&["dlq", "list", "render", "--error", "undecodable"]);
            (list["letters"] == 1 && list["redriven"] == letters).then_some(list)
        })
    };
    let place = list(0)["groups"][0]["last"].as_str().unwrap().to_owned();
    let shown = site.ask(&["dlq", "show", "render", &place]);
    assert_eq!((&shown["base64"], &shown["decoded"]), (&"B3BvaXNvbg==".into(), &Value::Null), "{shown}");
    assert!(site.say(&["dlq", "show", "render", &place]).out.contains("07 70 6f 69 73 6f 6e"));

    let done = site.ask(&["dlq", "redrive", "render", "--error", "undecodable", "--execute"]);
    assert_eq!(done["put_back"], 1, "{done}");
    let back = list(1);
    assert_eq!(back["groups"][0]["most_redrives"], 1, "{back}");
    let place = back["groups"][0]["last"].as_str().unwrap();
    let shown = site.ask(&["dlq", "show", "render", place]);
    assert_eq!((&shown["base64"], &shown["redrives"]), (&"B3BvaXNvbg==".into(), &1.into()), "{shown}");
    the_doctor_counts(site, "warning", "render has 1 dead letter of the last day");
}

/// Letters that wait for somebody: not those that were redriven, nor the one whose file has a newer revision.
fn the_doctor_counts(site: &Site, severity: &str, words: &str) {
    let report = site.ask(&["doctor"]);
    let is_letters = |finding: &&Value| finding["check"] == "letters";
    let found: Vec<&Value> = report["findings"].as_array().unwrap().iter().filter(is_letters).collect();
    let [letters] = found[..] else { panic!("{report}") };
    assert_eq!(letters["severity"], severity, "{report}");
    assert!(letters["what"].as_str().unwrap().contains(words), "{report}");
}

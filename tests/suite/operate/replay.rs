//! One file looks wrong: its records are put back on a stage's input while the service runs.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use frameline_runtime::{Record, headers};
use rustix::process::{Pid, Signal, kill_process};

use super::site::{Site, path, screen};
use crate::process::{Ended, until};

#[test]
fn a_file_is_replayed_while_the_service_runs_embedded() {
    story(&Site::embedded());
}

#[test]
fn a_file_is_replayed_while_the_service_runs_on_kafka() {
    story(&Site::kafka());
}

fn story(site: &Site) {
    let mut service = site.serve(&[]);
    let marmalade = site.product.file("marmalade.svg", screen("Marmalade subscription"));
    let notes = site.product.file("notes.md", "# Harvest\n\nThe beekeeper counts eleven hives.\n");
    assert_eq!([&marmalade, &notes].map(|file| site.add(file)["state"].clone()), ["done", "done"]);
    site.settle();

    a_replay_of_a_file_changes_nothing_but_is_seen(site, &marmalade);
    a_lost_thumbnail_comes_back(site, &marmalade);
    an_older_revision_is_left_out(site, &marmalade);
    what_is_not_known_is_refused(site);
    one_that_is_interrupted_has_a_part_done(site);
    assert_eq!(service.stop(), Some(0));
}

fn origin(record: &Record) -> Option<&str> {
    record.headers.text(headers::ORIGIN)
}

fn trace(record: &Record) -> &str {
    record.headers.text(headers::TRACEPARENT).and_then(|parent| parent.get(3..35)).unwrap()
}

fn a_replay_of_a_file_changes_nothing_but_is_seen(site: &Site, file: &Path) {
    let (state, units, embeddings) = (site.state(), site.records("units"), site.records("embeddings"));
    let ask = |more: &[&str]| site.ask(&[&["replay", "embed", "--file", path(file)], more].concat());
    let plan = ask(&[]);
    assert_eq!(
        (&plan["records"], &plan["put_back"], &plan["executed"]),
        (&2.into(), &0.into(), &false.into()),
        "{plan}"
    );
    assert_eq!((&plan["files"][0]["records"], &plan["files"][0]["revision"]), (&2.into(), &1.into()), "{plan}");
    assert_eq!(plan["partitions"].as_array().unwrap().len(), 1, "{plan}");
    assert_eq!(site.records("units"), units, "a plan writes nothing");

    let begun = Instant::now();
    let done = ask(&["--execute", "--rate", "2"]);
    assert_eq!((&done["put_back"], &done["executed"]), (&2.into(), &true.into()), "{done}");
    assert!(begun.elapsed() > Duration::from_millis(450), "two records at two a second took {:?}", begun.elapsed());
    until("the copies are through", || (site.records("embeddings").len() == embeddings.len() + 2).then_some(()));
    site.settle();
    assert_eq!(site.state(), state);

    let copies: Vec<Record> =
        site.records("units").into_iter().filter(|record| origin(record) == Some("replay")).collect();
    let originals: Vec<&Record> = units.iter().filter(|record| record.key == copies[0].key).collect();
    assert_eq!(
        copies.iter().map(|copy| &copy.value).collect::<Vec<_>>(),
        originals.iter().map(|one| &one.value).collect::<Vec<_>>()
    );
    for (copy, original) in copies.iter().zip(originals) {
        assert_eq!(trace(copy), trace(original));
        assert_eq!(copy.headers.text(headers::JOB), original.headers.text(headers::JOB));
    }
    let seen = site.records("embeddings").iter().filter(|record| origin(record) == Some("replay")).count();
    assert_eq!(seen, 2, "what follows from a copy has its origin");

    let again = ask(&[]);
    assert_eq!((&again["records"], &again["left_out"]["copies"]), (&2.into(), &2.into()), "{again}");
    let audit = site.ask(&["audit"]);
    let last = audit["records"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["command"][0], &last["outcome"]), (&"replay".into(), &"done".into()), "{last}");
}

fn a_lost_thumbnail_comes_back(site: &Site, file: &Path) {
    let hits = site.ask(&["search", "marmalade"]);
    let thumbnail = hits["hits"][0]["thumbnail"].as_str().unwrap().to_owned();
    let picture = fs::read(&thumbnail).unwrap();
    fs::remove_file(&thumbnail).unwrap();
    let done = site.ask(&["replay", "render", "--file", path(file), "--execute"]);
    assert_eq!(done["put_back"], 2, "{done}");
    until("the thumbnail is there again", || (fs::read(&thumbnail).ok()? == picture).then_some(()));
    site.settle();
}

fn an_older_revision_is_left_out(site: &Site, file: &Path) {
    let old_job = site.jobs()["marmalade.svg"]["id"].as_str().unwrap().to_owned();
    fs::write(file, screen("Quince jelly")).unwrap();
    assert_eq!(site.add(file)["state"], "done");
    site.settle();
    let state = site.state();
    let done = site.ask(&["replay", "index", "--file", path(file), "--execute"]);
    assert_eq!((&done["put_back"], &done["files"][0]["revision"]), (&2.into(), &2.into()), "{done}");
    assert!(done["left_out"]["superseded"].as_u64() >= Some(2), "{done}");
    site.settle();
    assert_eq!(site.state(), state);

    let of_job = site.ask(&["replay", "index", "--job", &old_job]);
    assert_eq!(of_job["records"], 0, "{of_job}");
    let later = site.ask(&["replay", "index", "--since", "2100-01-01"]);
    assert_eq!((&later["records"], &later["left_out"]["superseded"]), (&0.into(), &0.into()), "{later}");
    let until_then = site.ask(&["replay", "index", "--since", "2020-01-01", "--until", "2100-01-01"]);
    assert!(until_then["files"].as_array().unwrap().len() == 2, "{until_then}");
}

fn what_is_not_known_is_refused(site: &Site) {
    site.say(&["replay", "embed", "--file", "/nowhere/x.svg"]).refuses(&["/nowhere/x.svg"]);
    site.say(&["replay", "embed", "--job", "ffff"]).refuses(&["ffff"]);
    assert_eq!(site.say(&["replay", "embed"]).status, Some(2), "it has to be said of what");
}

fn one_that_is_interrupted_has_a_part_done(site: &Site) {
    let progress = site.records("progress").len();
    let mut command = site.command(&["replay", "jobs", "--since", "2020-01-01", "--rate", "1", "--execute"]);
    let replay = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("some are put back", || (site.records("progress").len() > progress).then_some(()));
    let pid = Pid::from_raw(i32::try_from(replay.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = Ended::of(replay.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(130), "{ended:?}");
    assert!(ended.err.contains("stopped with a part of it done"), "{ended:?}");
    let audit = site.ask(&["audit"]);
    assert_eq!(audit["records"].as_array().unwrap().last().unwrap()["outcome"], "failed", "{audit}");
    site.settle();
}

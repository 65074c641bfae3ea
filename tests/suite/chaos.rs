//! The fault harness in its short form: faults of a fixed seed on each log, and stages that break a promise. The long
//! form is `cargo xtask chaos`.

use std::process::Command;

use serde_json::Value;

/// A run of the harness.
struct Run {
    is_good: bool,
    /// What it told on the way.
    told: String,
    /// Its line for scripts.
    report: Value,
}

fn chaos(arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos")).args(arguments).arg("--json").output().unwrap();
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned());
    println!("{told}{out}");
    // Anything but a verdict is a fault of the harness.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", output.status);
    Run { is_good: output.status.success(), told, report: serde_json::from_str(out.lines().last().unwrap()).unwrap() }
}

fn keeps_every_promise(log: &str) {
    let run = chaos(&["--log", log, "--faults", "25", "--seed", "1"]);
    let expected = serde_json::json!({"faults": 25, "lost": 0, "duplicates": 0, "reordered": 0, "seed": 1, "ok": true});
    assert_eq!(run.report, expected);
    assert!(run.is_good);
}

#[test]
fn twenty_five_faults_leave_what_an_undisturbed_run_leaves_embedded() {
    keeps_every_promise("sqlite");
}

#[test]
fn twenty_five_faults_leave_what_an_undisturbed_run_leaves_on_kafka_and_qdrant() {
    keeps_every_promise("kafka");
}

/// What the harness makes of stages that break a promise: it has to be at odds with it.
fn broken(promise: &str, log: &str, faults: u8) -> Run {
    let run = chaos(&["--log", log, "--faults", &faults.to_string(), "--seed", "1", "--breach", promise]);
    assert_eq!((run.is_good, &run.report["ok"]), (false, &Value::Bool(false)));
    run
}

#[test]
fn positions_that_are_committed_before_the_work_is_done_are_noticed() {
    assert!(broken("completion", "sqlite", 2).report["lost"].as_u64() > Some(0));
}

#[test]
fn a_zombie_that_may_commit_is_noticed() {
    assert!(broken("fencing", "kafka", 1).report["duplicates"].as_u64() > Some(0));
}

#[test]
fn records_of_a_key_that_are_worked_on_at_once_are_noticed() {
    assert!(broken("lanes", "sqlite", 2).report["reordered"].as_u64() > Some(0));
}

#[test]
fn a_stop_without_a_drain_is_noticed() {
    assert!(broken("drain", "sqlite", 2).told.contains("was told to stop, and did not drain"));
}

#[test]
fn an_older_revision_that_overwrites_a_newer_one_is_noticed() {
    assert!(broken("revisions", "sqlite", 1).told.contains("a unit is missing"));
}

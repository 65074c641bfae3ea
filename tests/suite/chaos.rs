//! The fault harness in its short form: 25 faults of a fixed seed on each log, and what it says of stages that break
//! a promise. The long form is `cargo xtask chaos`.

use std::process::Command;

use serde_json::Value;

/// The harness with these arguments: whether all was well, and its line for scripts.
fn chaos(arguments: &[&str]) -> (bool, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos")).args(arguments).arg("--json").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{err}{out}");
    // Anything but a verdict is a fault of the harness.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", output.status);
    (output.status.success(), serde_json::from_str(out.lines().last().unwrap()).unwrap())
}

fn keeps_every_promise(log: &str, seed: &str) {
    let (is_good, report) = chaos(&["--log", log, "--faults", "25", "--seed", seed]);
    let expected = serde_json::json!({
        "faults": 25, "lost": 0, "duplicates": 0, "reordered": 0, "seed": seed.parse::<u64>().unwrap(), "ok": true
    });
    assert_eq!(report, expected);
    assert!(is_good);
}

/// Stages that break the promise are noticed.
fn notices(promise: &str, log: &str, faults: &str, seed: &str) -> Value {
    let (is_good, report) = chaos(&["--log", log, "--faults", faults, "--seed", seed, "--breach", promise]);
    assert_eq!((is_good, &report["ok"]), (false, &Value::Bool(false)), "{report}");
    report
}

#[test]
fn twenty_five_faults_leave_what_an_undisturbed_run_leaves_embedded() {
    keeps_every_promise("sqlite", "1");
}

#[test]
fn twenty_five_faults_leave_what_an_undisturbed_run_leaves_on_kafka() {
    keeps_every_promise("kafka", "1");
}

#[test]
fn a_commit_before_completion_is_noticed_as_lost() {
    assert!(notices("completion", "sqlite", "8", "2")["lost"].as_u64() > Some(0));
}

#[test]
fn work_without_lanes_is_noticed_as_another_order() {
    assert!(notices("lanes", "sqlite", "8", "2")["reordered"].as_u64() > Some(0));
}

#[test]
fn a_stop_without_a_drain_is_noticed() {
    notices("drain", "sqlite", "8", "2");
}

#[test]
fn an_older_revision_over_a_newer_one_is_noticed() {
    notices("revisions", "sqlite", "8", "2");
}

#[test]
fn a_zombie_that_is_not_fenced_is_noticed_by_what_it_doubles() {
    assert!(notices("fencing", "kafka", "12", "2")["duplicates"].as_u64() > Some(0));
}

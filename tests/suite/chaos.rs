//! The fault harness in its short form: faults of a fixed seed on each log, and stages that break a promise. The long
//! form is `cargo xtask chaos`.

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

fn keeps_every_promise(log: &str, faults: u64, seed: u64) {
    let (is_good, report) = chaos(&["--log", log, "--faults", &faults.to_string(), "--seed", &seed.to_string()]);
    let expected = serde_json::json!({
        "faults": faults, "lost": 0, "duplicates": 0, "reordered": 0, "seed": seed, "ok": true
    });
    assert_eq!(report, expected);
    assert!(is_good);
}

#[test]
fn twenty_five_faults_leave_what_an_undisturbed_run_leaves_embedded() {
    keeps_every_promise("sqlite", 25, 1);
}

#[test]
fn twelve_faults_leave_what_an_undisturbed_run_leaves_on_kafka_and_qdrant() {
    keeps_every_promise("kafka", 12, 1);
}

#[test]
fn a_stop_without_a_drain_is_noticed() {
    let (is_good, report) = chaos(&["--log", "sqlite", "--faults", "12", "--seed", "3", "--breach", "drain"]);
    assert_eq!((is_good, &report["ok"]), (false, &Value::Bool(false)), "{report}");
}

//! The stack at work, from `up` to `down`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use frameline_tests::http;
use frameline_tests::stack::compose::Compose;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::program;
use crate::process::{Ended, samples, until};

/// A stack of the test's own; taken down at the end, however that comes.
struct Stack {
    folder: TempDir,
}

impl Stack {
    /// Nothing runs yet.
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn up() -> Self {
        let stack = Self::new();
        let up = stack.say(&["up"]);
        assert_eq!(up.status, Some(0), "{up:?}");
        stack
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("stack")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
        command.args(arguments).arg("--folder").arg(self.folder());
        command
    }

    fn say(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// What `status` tells, well or not.
    fn status(&self) -> Value {
        let told = self.say(&["status", "--json"]);
        serde_json::from_str(&told.out).unwrap_or_else(|_| panic!("{told:?}"))
    }

    fn part(&self, name: &str) -> Value {
        let status = self.status();
        let part = status["parts"].as_array().unwrap().iter().find(|part| part["name"] == name);
        part.unwrap_or_else(|| panic!("no {name} in {status}")).clone()
    }

    /// The product, as a shell has it that has read the stack's environment.
    fn frameline(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", ". \"$0\" && exec \"$@\""]).arg(self.folder().join("environment"));
        Ended::of(command.arg(program()).args(arguments).output().unwrap())
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        let ended = self.frameline(&[arguments, &["--json"]].concat());
        assert_eq!(ended.status, Some(0), "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    /// What Prometheus answers to a query: each result's labels and value.
    fn query(&self, query: &str) -> Vec<(Value, String)> {
        let prometheus = self.part("prometheus")["address"].as_str().unwrap().to_owned();
        let (status, body) = http::get(&prometheus, &format!("/api/v1/query?query={query}")).unwrap();
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let result = answer["data"]["result"].as_array().unwrap().iter();
        result.map(|each| (each["metric"].clone(), each["value"][1].as_str().unwrap().to_owned())).collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Down already, most often.
        self.say(&["down"]);
    }
}

#[test]
fn files_go_through_the_stack_a_killed_stage_comes_back_and_nothing_is_left() {
    let stack = Stack::up();
    let compose = Compose::read().unwrap();
    let stages: Vec<String> = compose.stages().map(|service| service.name.clone()).collect();
    assert_eq!(stages, ["identify", "render", "validate", "embed", "index", "jobs", "canary"]);

    let screens = samples().join("screens");
    let files = ["checkout.svg", "sign-in.svg"].map(|name| screens.join(name).display().to_string());
    let added = stack.ask(&["add", &files[0], &files[1], "--wait"]);
    assert_eq!(added["counts"]["done"], 2, "{added}");
    let found = stack.ask(&["search", "pay by card with expiry date"]);
    assert!(found["hits"][0]["file"].as_str().unwrap().ends_with("checkout.svg"), "{found}");
    assert!(found["hits"][0]["thumbnail"].as_str().unwrap().starts_with("s3://blobs/frameline/"), "{found}");
    until("no stage has anything before it", || (stack.ask(&["lag"])["lag"] == 0).then_some(()));
    let doctor = stack.frameline(&["doctor"]);
    assert_eq!(doctor.status, Some(0), "{doctor:?}");

    is_watched(&stack, &stages);
    comes_back(&stack);
    follows_what_is_wanted(&stack);
    tells_of_a_server_that_is_gone(&stack);

    let pids: Vec<u64> =
        stack.status()["parts"].as_array().unwrap().iter().filter_map(|part| part["pid"].as_u64()).collect();
    assert_eq!(stack.say(&["down"]).status, Some(0));
    for pid in pids {
        assert!(test_kill_process(process(pid)).is_err(), "process {pid} is left");
    }
    assert_eq!(stack.say(&["status"]).status, Some(1));
}

#[test]
fn a_stage_that_keeps_falling_ends_the_start_with_its_last_words() {
    let stack = Stack::new();
    let broken = stack.folder.path().join("broken");
    let script = format!(
        "#!/bin/sh\n[ \"$2\" = render ] && {{ echo 'no pen to draw with' >&2; exit 3; }}\nexec '{}' \"$@\"\n",
        program().display()
    );
    fs::write(&broken, script).unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let up = Ended::of(stack.command(&["up"]).env("FRAMELINE_BIN", &broken).output().unwrap());
    assert_eq!(up.status, Some(1), "{up:?}");
    let log = stack.folder().join("render-0.log");
    for words in ["render-0 has ended 3 times and was never ready", "no pen to draw with", log.to_str().unwrap()] {
        assert!(up.err.contains(words), "`{words}` is missing in: {}", up.err);
    }
    assert_eq!(stack.say(&["down"]).status, Some(0));
}

/// Prometheus has every process of every stage, by the configuration of compose, and an Alertmanager to tell.
fn is_watched(stack: &Stack, stages: &[String]) {
    let up = || -> BTreeSet<String> {
        let up = stack.query("up%7Bjob%3D%22frameline%22%7D").into_iter().filter(|(_, value)| value == "1");
        up.map(|(labels, _)| labels["service"].as_str().unwrap().to_owned()).collect()
    };
    let all: BTreeSet<String> = stages.iter().cloned().collect();
    until("every stage is watched", || (up() == all).then_some(()));
    until("the canary was found", || {
        let flown = stack.query("frameline_canary_seconds_count");
        flown.iter().any(|(_, count)| count != "0").then_some(())
    });
    until("records are counted", || (!stack.query("frameline_records_total").is_empty()).then_some(()));
    let prometheus = stack.part("prometheus")["address"].as_str().unwrap().to_owned();
    let told = || serde_json::from_str::<Value>(&http::get(&prometheus, "/api/v1/alertmanagers").unwrap().1).unwrap();
    until("Alertmanager is known", || {
        (told()["data"]["activeAlertmanagers"].as_array().unwrap().len() == 1).then_some(())
    });
}

fn comes_back(stack: &Stack) {
    let before = stack.part("embed-0");
    kill_process(process(before["pid"].as_u64().unwrap()), Signal::KILL).unwrap();
    let after = until("embed is back", || {
        let part = stack.part("embed-0");
        (part["ok"] == true && part["restarts"] == 1).then_some(part)
    });
    assert_eq!(after["address"], before["address"]);
    assert_ne!(after["pid"], before["pid"]);
    assert!(after["ended"].as_str().unwrap().contains("SIGKILL"), "{after}");
}

fn follows_what_is_wanted(stack: &Stack) {
    assert_eq!(stack.say(&["scale", "rendre=2"]).status, Some(1));
    let has = |wanted: usize| {
        let status = stack.status();
        let ready = status["parts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|part| part["name"].as_str().unwrap().starts_with("render-") && part["ok"] == true);
        (ready.count() == wanted && status["ok"] == true).then_some(())
    };
    for wanted in [2, 1] {
        assert_eq!(stack.say(&["scale", &format!("render={wanted}")]).status, Some(0));
        until(&format!("render has {wanted} processes"), || has(wanted));
    }
}

fn tells_of_a_server_that_is_gone(stack: &Stack) {
    let pid = process(stack.part("alertmanager")["pid"].as_u64().unwrap());
    kill_process(pid, Signal::KILL).unwrap();
    until("its end is told", || (stack.part("alertmanager")["ok"] == false).then_some(()));
    let status = stack.say(&["status"]);
    assert_eq!(status.status, Some(1));
    let line = status.out.lines().find(|line| line.starts_with("alertmanager")).unwrap();
    assert!(line.contains("does not answer"), "{line}");
}

fn process(pid: u64) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

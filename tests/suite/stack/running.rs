//! The stack at work, from `up` to `down`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use frameline_tests::http;
use frameline_tests::stack::compose::Compose;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
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

    fn address(&self, name: &str) -> String {
        self.part(name)["address"].as_str().unwrap().to_owned()
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
        let (status, body) = http::get(&self.address("prometheus"), &format!("/api/v1/query?query={query}")).unwrap();
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

    keeps_its_schemas_in_kafka(&stack);
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
    assert!(!stack.folder().join("data").exists(), "what it has stored goes with it");
}

#[test]
fn told_to_stop_while_its_servers_start_it_leaves_nothing_of_them() {
    let stack = Stack::new();
    // PostgreSQL is another user, and has to come through.
    fs::set_permissions(stack.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let temporary = stack.folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let mut up = stack.command(&["up"]);
    let mut up = up.env("TMPDIR", &temporary).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // For each kind of server a folder, with one for each server in it.
    let servers = || -> Vec<PathBuf> {
        let entries = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries(temporary.clone()).filter(|kind| kind.is_dir()).flat_map(entries).collect()
    };
    until("servers start", || (servers().len() >= 3).then_some(()));
    assert_eq!(stack.say(&["down"]).status, Some(0));
    assert!(!up.wait().unwrap().success(), "it was stopped before it was up");
    assert_eq!(servers(), Vec::<PathBuf>::new());
}

#[test]
fn a_start_without_the_product_makes_nothing_and_says_what_is_missing() {
    let stack = Stack::new();
    let nowhere = stack.folder.path().join("frameline");
    let up = Ended::of(stack.command(&["up"]).env("FRAMELINE_BIN", &nowhere).output().unwrap());
    assert_eq!(up.status, Some(1), "{up:?}");
    assert!(up.err.contains(&format!("{} is missing; build it", nowhere.display())), "{up:?}");
    assert!(!stack.folder().exists());
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

/// Each subject of the registry is in its journal, which is a topic.
fn keeps_its_schemas_in_kafka(stack: &Stack) {
    let (status, subjects) = http::get(&stack.address("registry"), "/apis/ccompat/v7/subjects").unwrap();
    assert_eq!(status, 200, "{subjects}");
    let mut missing: BTreeSet<String> = serde_json::from_str(&subjects).unwrap();
    assert!(!missing.is_empty());
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", stack.address("kafka")).set("group.id", "none").set("enable.auto.commit", "false");
    let journal: BaseConsumer = config.create().unwrap();
    let mut whole = TopicPartitionList::new();
    whole.add_partition_offset("kafkasql-journal", 0, Offset::Beginning).unwrap();
    journal.assign(&whole).unwrap();
    until("the registry's schemas are in Kafka", || {
        let record = journal.poll(Duration::from_secs(1))?.unwrap();
        let text = String::from_utf8_lossy(record.payload()?).into_owned();
        missing.retain(|subject| !text.contains(&format!("\"{subject}\"")));
        missing.is_empty().then_some(())
    });
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
    let prometheus = stack.address("prometheus");
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

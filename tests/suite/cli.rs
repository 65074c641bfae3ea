//! The commands, as a user has them: whole processes beside each other on one data directory.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use frameline_tests::kafka::Broker;
use serde_json::Value;

use crate::process::{BROKEN_PICTURE, Ended, Product, Running, samples, until};

const SCREEN: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300">
  <rect width="400" height="300" fill="#f4f1ea"/><rect x="40" y="60" width="320" height="60" rx="8" fill="#2f5d50"/>
  <circle cx="90" cy="210" r="40" fill="#e07a5f"/><rect x="150" y="180" width="200" height="60" fill="#3d405b"/>
  <text x="60" y="100" font-size="28" fill="white">Marmalade subscription</text></svg>"##;

fn files(report: &Value) -> &Vec<Value> {
    report["files"].as_array().unwrap()
}

fn lag(product: &Product) -> i64 {
    product.json(["lag"])["lag"].as_i64().unwrap()
}

#[test]
fn a_second_up_is_refused_and_told_who_the_first_is() {
    let product = Product::new();
    let mut first = product.up();
    let address = first.ready["address"].as_str().unwrap().to_owned();
    let pid = format!("process {}", first.pid());
    let data = product.data().display().to_string();
    product.run(["up"]).refuses(&[&pid, &address, &data, "--data"]);
    product.run(["run", "render"]).refuses(&[&pid, &data]);
    assert_eq!(first.stop(), Some(0));
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    let product = Product::new();
    let told = |arguments: &[&str]| -> Value {
        let ended = product.run(arguments);
        let told: Value = serde_json::from_str(ended.err.lines().last().unwrap()).unwrap();
        assert_eq!((ended.out.as_str(), &told["status"]), ("", &ended.status.into()), "{ended:?}");
        told["error"].clone()
    };
    let refused = told(&["lag", "--json"]);
    assert!(refused["message"].as_str().unwrap().contains(&product.data().display().to_string()), "{refused}");
    assert!(refused["help"].as_str().unwrap().contains("frameline add"), "{refused}");
    let config = product.file("frameline.toml", "[log]\nkind = \"rabbit\"\n");
    let unsound = told(&["config", "check", "--json", "--config", config.to_str().unwrap()]);
    assert!(unsound["message"].as_str().unwrap().contains("log.kind"), "{unsound}");
    let usage = told(&["add", "--wiat", "--json"]);
    assert!(usage["help"].as_str().unwrap().contains("--wait"), "{usage}");
    let help = product.run(["add", "--help", "--json"]);
    assert_eq!((help.status, help.out.starts_with("Bring files")), (Some(0), true), "{help:?}");
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let product = Product::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = product.run(["up", "--listen", &address.to_string()]);
    refused.refuses(&[&format!("port {}", address.port()), "--listen 127.0.0.1:0"]);
}

#[test]
fn what_is_added_without_a_service_waits_for_one() {
    let product = Product::new();
    let screen = product.file("marmalade.svg", SCREEN);
    let added = product.run(["add", screen.to_str().unwrap()]);
    assert_eq!(added.status, Some(0), "{added:?}");
    assert!(added.out.contains("queued") && added.out.contains("frameline up"), "{added:?}");
    assert!(product.found("marmalade").is_empty());

    let mut service = product.up();
    let again = product.json(["add", "--wait", screen.to_str().unwrap()]);
    let state = files(&again)[0]["state"].as_str().unwrap();
    assert!(["done", "unchanged"].contains(&state), "{again}");
    assert_eq!(again["service"]["pid"], service.pid());
    assert!(product.found("marmalade")[0].ends_with("marmalade.svg"));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_file_is_found_by_words_and_by_its_picture_until_it_is_deleted() {
    let product = Product::new();
    let mut service = product.up();
    let screen = product.file("marmalade.svg", SCREEN);
    let notes = product.file("notes.md", "# Harvest\n\nThe beekeeper counts eleven hives in the orchard.\n");
    let folder = screen.parent().unwrap().to_str().unwrap();
    let added = product.json(["add", folder, "--wait"]);
    assert_eq!(added["counts"]["done"], 2, "{added}");

    let hits = product.json(["search", "marmalade", "subscription"]);
    let hit = &hits["hits"][0];
    assert!(hit["file"].as_str().unwrap().ends_with("marmalade.svg"), "{hits}");
    assert_eq!(hit["kind"], "frame");
    let thumbnail = hit["thumbnail"].as_str().unwrap().to_owned();
    assert!(fs::metadata(&thumbnail).unwrap().len() > 0);
    assert!(product.found("beekeeper hives")[0].ends_with("notes.md"));

    let alike = product.json(["search", "--image", &thumbnail]);
    assert!(alike["hits"][0]["file"].as_str().unwrap().ends_with("marmalade.svg"), "{alike}");
    assert!(alike["hits"][0]["why"].as_array().unwrap().contains(&"picture".into()), "{alike}");

    fs::remove_file(&screen).unwrap();
    let deleted = product.json(["delete", screen.to_str().unwrap()]);
    assert_eq!(files(&deleted)[0]["state"], "queued", "{deleted}");
    until("the file is gone", || {
        let found = product.found("marmalade subscription");
        found.iter().all(|file| !file.ends_with("marmalade.svg")).then_some(())
    });
    let never = notes.with_file_name("never.md");
    product.run(["delete", never.to_str().unwrap()]).refuses(&["never.md"]);
    let records = on_record(&product, &[], "delete");
    assert_eq!(outcomes(&records), ["begun", "done", "begun", "failed"], "{records:?}");
    assert_eq!((&records[0]["plan"]["file"], &records[2]["plan"]["file"]), (&path(&screen), &path(&never)));
    assert!(records[3]["reason"].as_str().unwrap().contains("never.md"), "{records:?}");
    assert_eq!(service.stop(), Some(0));
}

/// What the audit has on this command.
fn on_record(product: &Product, config: &[&str], command: &str) -> Vec<Value> {
    let audit = product.json([&["audit"][..], config].concat());
    let records = audit["records"].as_array().unwrap().iter();
    records.filter(|record| record["command"][0] == command).cloned().collect()
}

fn outcomes(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["outcome"].as_str().unwrap()).collect()
}

fn path(file: &Path) -> Value {
    file.to_str().unwrap().into()
}

#[test]
fn adding_everything_again_changes_nothing_and_leaves_no_lag() {
    let product = Product::new();
    let mut service = product.up();
    let screens = samples().join("screens");
    let first = product.json(["add", "--wait", screens.to_str().unwrap()]);
    let count = files(&first).len();
    assert_eq!(first["counts"]["done"], count, "{first}");
    let hits = product.json(["search", "settings", "--limit", "50"]);

    let second = product.json(["add", "--wait", screens.to_str().unwrap()]);
    assert_eq!(second["counts"]["unchanged"], count, "{second}");
    assert_eq!(product.json(["search", "settings", "--limit", "50"]), hits);
    until("every lag is 0", || (lag(&product) == 0).then_some(()));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_file_that_fails_makes_add_fail_and_say_why() {
    let product = Product::new();
    let mut service = product.up();
    let broken = product.file("broken.png", BROKEN_PICTURE);
    product.file("whole.svg", SCREEN);
    let folder = broken.parent().unwrap().to_str().unwrap();
    let added = product.run(["add", "--wait", folder]);
    assert_eq!(added.status, Some(1), "{added:?}");
    assert!(added.out.contains("broken.png") && added.out.contains("identify"), "{added:?}");

    let jobs = product.json(["jobs"]);
    let job = jobs["jobs"].as_array().unwrap().iter().find(|job| job["state"] == "failed").unwrap();
    assert!(job["file"].as_str().unwrap().ends_with("broken.png"));
    let id = job["id"].as_str().unwrap();
    let detail = product.json(["jobs", &id[..8]]);
    assert_eq!(detail["id"], id);
    assert!(detail["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{detail}");
    assert!(product.found("marmalade")[0].ends_with("whole.svg"));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_reader_that_has_enough_ends_a_command_without_noise() {
    let product = Product::new();
    let mut command = product.command(["config", "show"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!((ended.status, ended.err.as_str()), (Some(0), ""), "{ended:?}");
}

#[test]
fn a_configuration_is_checked_before_anything_starts() {
    let product = Product::new();
    let file = product.file("frameline.toml", "[stages.render]\nconcurency = 3\n");
    let path = file.to_str().unwrap();
    product.run(["up", "--config", path]).refuses(&["stages.render.concurency", "`stages.render.concurrency`"]);
    product.run(["config", "check", "--config", path]).refuses(&["frameline.toml"]);
    assert!(!product.data().exists(), "nothing was started, so nothing was made");

    fs::write(&file, "[log]\ndrain_deadline = \"30s\"\n").unwrap();
    product.run(["config", "check", "--config", path]).refuses(&["30s", "10s"]);
    fs::write(&file, "[stages.render]\nconcurrency = 3\n").unwrap();
    assert_eq!(product.json(["config", "check", "--config", path])["set"], 1);
}

#[test]
fn a_damaged_data_directory_is_told_by_name_and_left_as_it_is() {
    for store in ["log.db", "jobs.db", "vectors.db"] {
        let product = Product::new();
        assert_eq!(product.up().stop(), Some(0));
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(product.data().join(format!("{store}{suffix}")));
        }
        let path = product.data().join(store);
        fs::write(&path, [0x5a; 40_000]).unwrap();
        product.run(["up", "--listen", "127.0.0.1:0"]).refuses(&[store]);
        assert_eq!(fs::read(&path).unwrap(), [0x5a; 40_000], "{store} was changed");
        fs::remove_file(&path).unwrap();
        product.run(["up", "--listen", "127.0.0.1:0"]).refuses(&["damaged", store]);
        assert!(!path.exists(), "{store} was made anew, empty");
    }
}

#[test]
fn commands_that_look_refuse_a_directory_in_which_nothing_ever_was() {
    let product = Product::new();
    for command in [["search", "x"].as_slice(), &["jobs"], &["lag"], &["delete", "x"]] {
        product.run(command).refuses(&[&product.data().display().to_string(), "frameline add"]);
    }
    assert!(!product.data().exists());
}

#[test]
fn a_name_with_a_newline_and_one_that_is_not_utf_8_are_taken_and_shown_safely() {
    use std::os::unix::ffi::OsStrExt;
    let product = Product::new();
    let mut service = product.up();
    product.file("two\nlines.md", "# Zeppelin hangar\n\nAn airship is moored here.\n");
    let strange = std::ffi::OsStr::from_bytes(b"caf\xe9.md");
    let path = product.file(strange, "# Samovar\n\nTea is served from four o'clock.\n");
    let folder = path.parent().unwrap().to_str().unwrap();
    let added = product.json(["add", "--wait", folder]);
    assert_eq!(added["counts"]["done"], 2, "{added}");
    let shown = product.run(["search", "airship"]);
    assert!(shown.out.lines().next().unwrap().contains("/two\\nlines.md"), "{}", shown.out);
    assert!(product.found("samovar tea")[0].contains("caf"));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn the_topics_of_a_fresh_log_are_planned_then_created() {
    let product = Product::new();
    let planned = product.json(["topics", "apply"]);
    assert_eq!(planned["executed"], false);
    let count = planned["changes"].as_array().unwrap().len();
    assert!(count > 6, "{planned}");
    let done = product.json(["topics", "apply", "--execute"]);
    assert_eq!(done["changes"].as_array().unwrap().len(), count);
    assert_eq!(product.json(["topics", "diff"])["changes"].as_array().unwrap().len(), 0);
    product.json(["topics", "apply", "--execute"]);
    assert_eq!(product.up().stop(), Some(0));
    let records = on_record(&product, &[], "topics");
    assert_eq!(outcomes(&records), ["begun", "done"], "where nothing is to be done there is nothing to tell");
    assert_eq!(records[0]["plan"], planned, "the topic of the records is a part of it");
}

#[test]
fn the_demo_answers_three_questions_and_serves_until_it_is_told_to_stop() {
    let product = Product::new();
    let mut demo = Running::start(product.command(["demo", "--json"]));
    assert_eq!(demo.ready["event"], "started");
    assert_eq!(demo.ready["data"], product.data().join("demo").to_str().unwrap());
    let indexed = demo.next_event();
    assert_eq!(indexed["event"], "indexed", "{indexed}");
    for file in ["checkout.svg", "error-page.svg", "brand-guidelines.md"] {
        let answer = demo.next_event();
        assert_eq!(answer["event"], "answer");
        assert_eq!(answer["hits"].as_array().unwrap().len(), 3, "{answer}");
        assert!(answer["hits"][0]["file"].as_str().unwrap().ends_with(file), "{answer}");
    }
    assert_eq!(demo.next_event()["event"], "serving");
    assert_eq!(demo.stop(), Some(0));
}

#[test]
fn on_kafka_the_same_chain_runs_once_its_topics_were_asked_for() {
    let broker = Broker::start();
    let product = Product::new();
    let settings = format!(
        "[log]\nkind = \"kafka\"\n[kafka]\nbootstrap_servers = \"{}\"\nreplication = 1\n",
        broker.bootstrap_servers()
    );
    let config = product.file("kafka/frameline.toml", settings);
    let with = |arguments: &[&str]| -> Vec<String> {
        arguments.iter().copied().chain(["--config", config.to_str().unwrap()]).map(str::to_owned).collect()
    };
    product.run(with(&["up"])).refuses(&["lacks the topics", "embeddings", "frameline topics apply --execute"]);
    product.json(with(&["topics", "apply", "--execute"]));
    assert_eq!(product.json(with(&["topics", "diff"]))["changes"].as_array().unwrap().len(), 0);

    let mut service = Running::start(product.command(with(&["up", "--json", "--listen", "127.0.0.1:0"])));
    let screen = product.file("marmalade.svg", SCREEN);
    let added = product.json(with(&["add", "--wait", screen.to_str().unwrap()]));
    assert_eq!(added["counts"]["done"], 1, "{added}");
    let hits = product.json(with(&["search", "marmalade", "subscription"]));
    assert!(hits["hits"][0]["file"].as_str().unwrap().ends_with("marmalade.svg"), "{hits}");
    until("every lag is 0", || (product.json(with(&["lag"]))["lag"] == 0).then_some(()));
    let records = on_record(&product, &["--config", config.to_str().unwrap()], "topics");
    assert_eq!(outcomes(&records), ["begun", "done"], "{records:?}");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn every_shell_gets_its_completion() {
    let product = Product::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = product.run(["completion", shell]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.out.contains("frameline") && ended.out.contains("search"), "{shell}");
    }
}

#[test]
fn the_health_of_a_service_is_an_exit_status() {
    let product = Product::new();
    let mut service = product.up();
    let address = service.ready["address"].as_str().unwrap().to_owned();
    let health = |more: &[&str]| product.run([&["health", "--address", &address], more].concat());
    let alive = health(&[]);
    assert_eq!((alive.status, alive.out.as_str()), (Some(0), "ok\n"), "{alive:?}");
    let ready = health(&["--ready"]);
    assert!(ready.status == Some(0) && ready.out.contains("\"ready\":true"), "{ready:?}");
    // Where nothing else is said, it is asked where the configuration lets it listen.
    let mut by_config = product.command(["health"]);
    let by_config = Ended::of(by_config.env("FRAMELINE__SERVICE__LISTEN", &address).output().unwrap());
    assert_eq!(by_config.status, Some(0), "{by_config:?}");
    assert_eq!(service.stop(), Some(0));
    health(&[]).refuses(&["nobody answers", &address, "service.listen"]);
}

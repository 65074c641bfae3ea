//! Log lines as programs read them.

use std::fs::File;
use std::process::Stdio;

use serde_json::Value;

use super::BROKEN_PICTURE;
use crate::process::{Product, until};

#[test]
fn a_log_line_about_a_record_says_which_one_it_is() {
    let product = Product::new();
    let lines = product.file("log/lines.json", "");
    let mut command = product.command(["up", "--json", "--log", "json", "--listen", "127.0.0.1:0"]);
    let mut service = command.stdout(Stdio::null()).stderr(File::create(&lines).unwrap()).spawn().unwrap();
    let broken = product.file("broken.png", BROKEN_PICTURE);
    let added = product.run(["add", "--wait", "--json", broken.to_str().unwrap()]);
    assert_eq!(added.status, Some(1), "{added:?}");
    let added: Value = serde_json::from_str(&added.out).unwrap();

    let line = until("the dead letter is logged", || {
        let text = std::fs::read_to_string(&lines).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let all: Vec<Value> = whole.lines().map(read).collect();
        assert!(all.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()), "{all:?}");
        all.into_iter().find(|line| line["message"] == "dead letter")
    });
    assert_eq!((&line["level"], &line["stage"], &line["topic"]), (&"WARN".into(), &"identify".into(), &"files".into()));
    assert!(line["partition"].is_u64() && line["offset"].is_u64(), "{line}");
    assert!(line["file"].as_str().unwrap().ends_with("broken.png"), "{line}");
    assert_eq!(line["job"], added["files"][0]["job"]);
    assert!(line["class"] == "permanent" && line["code"].is_string() && line["error"].is_string(), "{line}");
    service.kill().unwrap();
    service.wait().unwrap();
}

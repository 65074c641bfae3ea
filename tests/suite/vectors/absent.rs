//! The product while Qdrant is not there: it starts, takes files, and waits; and what it does not start with.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};

use frameline_stores::vectors::QdrantVectors;
use frameline_tests::http;
use frameline_tests::qdrant::Qdrant;
use serde_json::Value;

use super::rebuild::{add_files, block_on, first_hit, models, settings, with_qdrant};
use crate::process::{Product, until};

/// All stages at work, what they log in a file; killed when it is dropped.
struct Logged {
    service: Child,
    address: String,
}

impl Logged {
    fn start(product: &Product, config: &[String], lines: &Path) -> Self {
        let arguments = ["up", "--json", "--log", "json", "--listen", "127.0.0.1:0"].map(str::to_owned);
        let mut command = product.command(arguments.into_iter().chain(config.iter().cloned()));
        let ready = product.file("ready.json", "");
        command.stdout(File::create(&ready).unwrap()).stderr(File::create(lines).unwrap()).stdin(Stdio::null());
        let service = command.spawn().unwrap();
        let address = until("it is ready without Qdrant", || {
            let event: Value = serde_json::from_str(fs::read_to_string(&ready).unwrap().lines().next()?).ok()?;
            event["address"].as_str().map(str::to_owned)
        });
        Self { service, address }
    }

    /// The stage `index`, as `/readyz` has it.
    fn index(&self) -> Value {
        let (_, body) = http::get(&self.address, "/readyz").unwrap();
        let report: Value = serde_json::from_str(&body).unwrap();
        report["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "index").unwrap().clone()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

#[test]
fn without_qdrant_the_service_starts_and_once_it_comes_everything_is_searchable() {
    let server = Qdrant::start();
    let port = server.port();
    let (product, config) = with_qdrant(&server, "connect_timeout = \"1s\"\n");
    server.kill();

    let lines = product.file("lines.json", "");
    let service = Logged::start(&product, &config, &lines);
    add_files(&product, &config, &[]);
    let paused = until("the stage is paused", || Some(service.index()).filter(|stage| stage["state"] == "paused"));
    assert!(paused["reason"].as_str().unwrap().contains(&format!("127.0.0.1:{port}")), "{paused}");
    let doctor = product.run(["doctor".to_owned()].into_iter().chain(config.iter().cloned()).collect::<Vec<_>>());
    assert!(doctor.out.contains("index of process ") && doctor.out.contains("is paused: "), "{doctor:?}");
    let text = fs::read_to_string(&lines).unwrap();
    let told: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let at_start = |line: &&Value| line["message"] == "the stage index waits until it answers";
    let [warning] = told.iter().filter(at_start).collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!(warning["level"], "WARN", "{warning}");
    assert!(warning["help"].as_str().unwrap().contains("vectors.url"), "{warning}");

    server.resume(port).unwrap();
    until("all are done", || {
        let jobs = product.json(["jobs".to_owned()].into_iter().chain(config.iter().cloned()).collect::<Vec<_>>());
        let states: Vec<&Value> = jobs["jobs"].as_array().unwrap().iter().map(|job| &job["state"]).collect();
        (states == ["done"; 3]).then_some(())
    });
    assert_eq!(first_hit(&product, &config), "Payment");
    let doctor = product.run(["doctor".to_owned()].into_iter().chain(config.iter().cloned()).collect::<Vec<_>>());
    let vectors = doctor.out.lines().find(|line| line.contains("vectors   Qdrant 1.")).unwrap_or_default();
    assert!(vectors.contains(&format!(" at {}: ", server.url())), "{doctor:?}");
    let index = service.index();
    assert_eq!((&index["state"], &index["failed"]), (&"running".into(), &0.into()), "{index}");
}

#[test]
fn a_wrong_key_and_an_alias_of_somebody_else_end_the_start_with_the_key_to_look_at() {
    let server = Qdrant::with_key("right");
    let (product, config) = with_qdrant(&server, "api_key = \"wr0ng\"\n");
    let up = |product: &Product, config: &[String]| {
        let arguments = ["up".to_owned(), "--listen".to_owned(), "127.0.0.1:0".to_owned()];
        product.run(arguments.into_iter().chain(config.iter().cloned()).collect::<Vec<_>>())
    };
    let refused = up(&product, &config);
    refused.refuses(&["vectors.api_key_file", &server.url()]);
    assert!(!refused.err.contains("wr0ng") && !refused.out.contains("wr0ng"), "{refused:?}");

    let server = Qdrant::start();
    block_on(async {
        let other = QdrantVectors::open(&settings(&server, "somebody"), models()).await.unwrap();
        let collection = other.live().await.unwrap();
        // As if it had been made by hand.
        let ours = QdrantVectors::new(&settings(&server, "designs"), models()).unwrap();
        ours.switch(&collection).await.unwrap();
    });
    let (product, config) = with_qdrant(&server, "");
    up(&product, &config).refuses(&["the alias designs", "vectors.alias"]);
}

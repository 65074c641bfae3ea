//! The whole product with its jobs in PostgreSQL.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use frameline_tests::postgres::{PASSWORD, Postgres};
use serde_json::Value;

use crate::chain::state::EndState;
use crate::process::{Ended, Product, Running, samples, until};

/// The path of a configuration with the jobs in this database, as the user who needs a password.
fn config(product: &Product, server: &Postgres, more: &str) -> String {
    let database = server.database().rsplit('/').next().unwrap().to_owned();
    let password = product.file("password", format!("{PASSWORD}\n"));
    let text = format!(
        "[jobs]\nurl = \"{}\"\npassword_file = \"{}\"\nconnect_timeout = \"1s\"\n{more}",
        server.url_with_login(&database),
        password.display()
    );
    product.file("frameline.toml", text).to_str().unwrap().to_owned()
}

fn up(product: &Product, config: &[&str]) -> Running {
    Running::start(product.command([&["up", "--json", "--listen", "127.0.0.1:0"], config].concat()))
}

fn settled(product: &Product, config: &[&str]) {
    let lag = || product.json([&["lag"], config].concat())["lag"] == 0;
    until("every group's lag is zero", || lag().then_some(()));
}

fn states(report: &Value) -> Vec<&str> {
    report["migrations"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect()
}

#[test]
fn migrations_are_planned_then_done_once_by_two_at_the_same_time_and_services_wait_for_them() {
    let (server, product) = (Postgres::shared(), Product::new());
    let config = config(&product, server, "");
    let with = |command: &[&'static str]| -> Vec<String> {
        command.iter().copied().chain(["--config", &config]).map(str::to_owned).collect()
    };
    assert_eq!(states(&product.json(with(&["migrate"]))), ["pending"]);
    product.run(with(&["up", "--listen", "127.0.0.1:0"])).refuses(&["has version 0", "frameline migrate --execute"]);
    let doctor = product.run(with(&["doctor"]));
    assert!(doctor.status == Some(1) && doctor.out.contains("frameline migrate --execute"), "{doctor:?}");

    let both = [(); 2].map(|()| {
        let mut command = product.command(with(&["migrate", "--execute", "--json"]));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for one in both {
        let ended = Ended::of(one.wait_with_output().unwrap());
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(["applied", "present"].contains(&states(&serde_json::from_str(&ended.out).unwrap())[0]), "{ended:?}");
    }
    assert_eq!(states(&product.json(with(&["migrate"]))), ["present"]);
    let doctor = product.run(with(&["doctor"]));
    let told = ["PostgreSQL", "schema 1", "connections in use", "0 files"];
    assert!(told.iter().all(|word| doctor.out.contains(word)) && !doctor.out.contains(PASSWORD), "{doctor:?}");
}

#[test]
fn a_server_that_is_down_at_the_start_is_waited_for_and_a_wrong_password_is_not() {
    let (server, product) = (Postgres::start(), Product::new());
    let file = config(&product, &server, "");
    let config = ["--config", file.as_str()];
    product.json([&["migrate", "--execute"], &config[..]].concat());
    server.kill();
    let mut command = product.command([&["up", "--json", "--listen", "127.0.0.1:0"], &config[..]].concat());
    let mut waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("the start waits until it answers") {
        line.clear();
        assert_ne!(told.read_line(&mut line).unwrap(), 0, "it did not wait");
    }
    assert!(line.contains("jobs.url"), "{line}");
    server.resume().unwrap();
    let mut ready = String::new();
    BufReader::new(waiting.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("\"ready\""), "{ready}");
    waiting.kill().unwrap();
    waiting.wait().unwrap();

    product.file("password", "wr0ng\n");
    let refused = product.run([&["up", "--listen", "127.0.0.1:0"], &config[..]].concat());
    assert!(refused.status == Some(1) && refused.err.contains("jobs.password"), "{refused:?}");
    assert!(!refused.err.contains("wr0ng"), "{refused:?}");
}

#[test]
fn the_server_killed_and_started_again_in_the_middle_of_an_ingest_ends_as_on_sqlite() {
    let calm = Product::new();
    let mut service = calm.up();
    let added = calm.json(["add", samples().to_str().unwrap(), "--wait"]);
    settled(&calm, &[]);
    assert_eq!(service.stop(), Some(0));
    let expected = EndState::of(&calm, &[]);
    assert!(expected.units() > 100);

    let (server, product) = (Postgres::start(), Product::new());
    let config = config(&product, &server, "migrate = true\n");
    let config = ["--config", config.as_str()];
    let mut service = up(&product, &config);
    let mut adding = product.command([&["add", samples().to_str().unwrap(), "--wait", "--json"], &config[..]].concat());
    let adding = adding.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for finished in [2, 6] {
        let done = || {
            product.json([&["jobs"], &config[..]].concat())["jobs"].as_array().unwrap().iter().filter(is_done).count()
        };
        until("some files are through", || (done() >= finished).then_some(()));
        server.kill();
        server.resume().unwrap();
    }
    let ended = Ended::of(adding.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(!ended.err.contains(PASSWORD), "{}", ended.err);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["counts"], added["counts"]);
    settled(&product, &config);
    assert_eq!(EndState::of(&product, &config), expected);
    assert_eq!(service.stop(), Some(0));
    assert!(!product.data().join("jobs.db").exists());
    let again = product.json([&["add", samples().to_str().unwrap()], &config[..]].concat());
    assert_eq!(again["counts"]["unchanged"], report["files"].as_array().unwrap().len(), "{}", again["counts"]);
}

fn is_done(job: &&Value) -> bool {
    job["state"] == "done"
}

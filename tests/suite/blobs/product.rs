//! The product with its blobs on S3: from a file to a hit, through a server that is killed in the middle; and what
//! it says where the bucket cannot be used.

use frameline_stores::blobs::{Blobs, BucketSettings};
use frameline_tests::s3::{ACCESS_KEY_ID, S3, SECRET_ACCESS_KEY};
use serde_json::Value;

use crate::chain::state::EndState;
use crate::process::{Ended, Product, Running, samples, until};

/// A configuration with its blobs in the bucket of `settings`; `more` goes on with the section.
pub(super) fn config(product: &Product, settings: &BucketSettings, more: &str) -> String {
    let endpoint = settings.endpoint.as_deref().unwrap();
    let section = format!("[blobs]\nurl = \"{}\"\nendpoint = \"{endpoint}\"\nallow_http = true\n{more}", settings.url);
    product.file("s3.toml", section).to_str().unwrap().to_owned()
}

/// The key's secret in a file, as one is mounted.
pub(super) fn login(product: &Product, secret: &str) -> String {
    let file = product.file("secret", format!("{secret}\n"));
    format!("access_key_id = \"{ACCESS_KEY_ID}\"\nsecret_access_key_file = \"{}\"\n", file.display())
}

pub(super) fn add(product: &Product, more: &[&str]) {
    let samples = samples();
    let added = product.run(["add", samples.to_str().unwrap()].iter().chain(more));
    assert_eq!(added.status, Some(0), "{added:?}");
}

pub(super) fn jobs_done(product: &Product, config: &[&str]) -> usize {
    let jobs = product.json(["jobs", "--limit", "10000"].iter().chain(config));
    jobs["jobs"].as_array().unwrap().iter().filter(|job| job["state"] == "done").count()
}

pub(super) fn is_paused(service: &Running) -> bool {
    let address = service.ready["address"].as_str().unwrap();
    let (_, metrics) = frameline_tests::http::get(address, "/metrics").unwrap();
    metrics.lines().any(|line| line.starts_with("frameline_paused{") && line.ends_with(" 1"))
}

pub(super) fn blobs_finding(report: &str) -> Value {
    let report: Value = serde_json::from_str(report).unwrap();
    report["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == "blobs").unwrap().clone()
}

#[test]
fn a_server_that_is_killed_in_the_middle_makes_the_stages_wait_and_nothing_is_lost() {
    let calm = Product::new();
    let mut service = calm.up();
    add(&calm, &["--wait"]);
    assert_eq!(service.stop(), Some(0));
    let expected = EndState::of(&calm, &[]);

    let (server, product) = (S3::start(), Product::new());
    let settings = BucketSettings { tenant: "default".to_owned(), ..server.settings() };
    let file = config(&product, &settings, &login(&product, SECRET_ACCESS_KEY));
    let config = ["--config", file.as_str()];
    let mut service =
        Running::start(product.command(["up", "--json", "--listen", "127.0.0.1:0"].iter().chain(&config)));
    add(&product, &config);
    until("some files are done", || (jobs_done(&product, &config) >= 3).then_some(()));
    server.kill();
    until("a stage waits for the store", || is_paused(&service).then_some(()));
    assert!(jobs_done(&product, &config) < expected.jobs(), "it was too late to be in the middle");
    server.resume().unwrap();
    add(&product, &["--wait", config[0], config[1]]);
    until("every group's lag is zero", || (product.json(["lag"].iter().chain(&config))["lag"] == 0).then_some(()));

    let hits = product.json(["search", "card number"].iter().chain(&config));
    let thumbnail = hits["hits"].as_array().unwrap().iter().find_map(|hit| hit["thumbnail"].as_str()).unwrap();
    let place = format!("{}/default/", settings.url);
    let path = thumbnail.strip_prefix(&place).unwrap_or_else(|| panic!("{thumbnail} is not in {place}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let picture = runtime.block_on(Blobs::bucket(&settings).unwrap().get(&format!("blob:{path}"))).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(service.stop(), Some(0));
    assert!(!product.data().join("blobs").exists(), "nothing of it is on this machine");
    assert_eq!(EndState::of(&product, &config), expected.without_thumbnails());
}

#[test]
fn a_bucket_that_cannot_be_used_ends_the_start_with_the_key_to_look_at() {
    let server = S3::shared();
    let product = Product::new();
    let up = |config: &str| product.run(["up", "--listen", "127.0.0.1:0", "--config", config]);
    let well = config(&product, &server.settings(), &login(&product, SECRET_ACCESS_KEY));
    let text = std::fs::read_to_string(&well).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        product.file("changed.toml", text.replace(from, to)).to_str().unwrap().to_owned()
    };
    up(&changed("s3://blobs/", "s3://no-such-bucket/")).refuses(&["s3://no-such-bucket/", "blobs.url"]);
    up(&changed("allow_http = true", "")).refuses(&["blobs.endpoint", "blobs.allow_http is false"]);

    login(&product, "wr0ng");
    let refused = up(&well);
    refused.refuses(&["does not let us in", "blobs.secret_access_key_file"]);
    assert!(!refused.err.contains("wr0ng"), "{}", refused.err);
}

#[test]
fn a_bucket_that_is_down_at_the_start_is_waited_for() {
    let (server, product) = (S3::start(), Product::new());
    let file = config(&product, &server.settings(), &login(&product, SECRET_ACCESS_KEY));
    let config = ["--config", file.as_str()];
    let up = || Running::start(product.command(["up", "--json", "--listen", "127.0.0.1:0"].iter().chain(&config)));
    let note = product.file("note.md", "# Zeppelins\n\nHow an airship is moored.");
    assert_eq!(up().stop(), Some(0));
    server.kill();
    let mut service = up();
    server.resume().unwrap();
    product.json(["add", "--wait", note.to_str().unwrap()].iter().chain(&config));
    assert_eq!(jobs_done(&product, &config), 1);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn the_doctor_asks_the_bucket_with_a_login_from_the_environment() {
    let server = S3::shared();
    let product = Product::new();
    let file = config(&product, &server.settings(), "");
    let doctor = |secret: &str| {
        let mut command = product.command(["doctor", "--json", "--config", &file]);
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", secret);
        Ended::of(command.output().unwrap())
    };
    let start = || {
        let mut command = product.command(["up", "--json", "--listen", "127.0.0.1:0", "--config", &file]);
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
        Running::start(command)
    };
    let mut service = start();
    let finding = blobs_finding(&doctor(SECRET_ACCESS_KEY).out);
    assert_eq!(finding["severity"], "ok", "{finding}");
    assert!(finding["what"].as_str().unwrap().contains("s3://blobs/"), "{finding}");
    let refused = doctor("wr0ng");
    let finding = blobs_finding(&refused.out);
    assert_eq!((finding["severity"].as_str(), refused.status), (Some("error"), Some(1)), "{finding}");
    assert!(finding["what"].as_str().unwrap().contains("blobs.access_key_id"), "{finding}");
    assert!(!refused.out.contains("wr0ng") && !refused.err.contains("wr0ng"), "{refused:?}");
    assert_eq!(service.stop(), Some(0));
}

//! `frameline vectors rebuild` as its users have it: a file that was lost, a collection beside the live one, a rebuild
//! that was killed.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use frameline_embed::{ImageModel, TextModel};
use frameline_stores::vectors::qdrant::{Models, QdrantSettings};
use frameline_stores::vectors::{QdrantVectors, SqliteVectors, Stored, Vectors};
use frameline_tests::qdrant::Qdrant;
use serde_json::Value;

use crate::process::{Ended, Product, Running, samples, until};

const QUESTION: &str = "payment";

fn files() -> Vec<String> {
    let names = ["documents/privacy-faq.html", "documents/interview-notes.txt", "screens/checkout.svg"];
    names.map(|name| samples().join(name).to_string_lossy().into_owned()).to_vec()
}

/// Adds the three files.
pub(super) fn add_files(product: &Product, config: &[String], options: &[&str]) -> Value {
    let options = options.iter().map(|option| (*option).to_owned());
    let arguments = ["add".to_owned()].into_iter().chain(options).chain(files()).chain(config.iter().cloned());
    product.json(arguments.collect::<Vec<_>>())
}

fn add(product: &Product, config: &[String]) {
    assert_eq!(add_files(product, config, &["--wait"])["counts"]["done"], 3);
}

pub(super) fn first_hit(product: &Product, config: &[String]) -> String {
    let arguments = ["search".to_owned(), QUESTION.to_owned()].into_iter().chain(config.iter().cloned());
    let found = product.json(arguments.collect::<Vec<_>>());
    found["hits"][0]["frame"].as_str().unwrap_or_default().to_owned()
}

pub(super) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work)
}

fn units_in_file(product: &Product) -> Vec<Stored> {
    block_on(async { SqliteVectors::open(&product.data().join("vectors.db")).await.unwrap().dump().await.unwrap() })
}

#[test]
fn a_lost_file_is_made_anew_and_has_what_it_had() {
    let product = Product::new();
    let mut service = product.up();
    add(&product, &[]);
    assert_eq!(service.stop(), Some(0));
    let before = units_in_file(&product);
    assert!(before.len() > 10, "{}", before.len());
    let plan = product.json(["vectors", "rebuild"]);
    assert_eq!((&plan["files"], &plan["missing"], &plan["executed"]), (&3.into(), &0.into(), &false.into()));

    for name in ["vectors.db", "vectors.db-wal", "vectors.db-shm"] {
        // The last two are there only sometimes.
        let _ = fs::remove_file(product.data().join(name));
    }
    product.run(["search", "cart"]).refuses(&["vectors.db is missing", "frameline vectors rebuild --execute"]);
    assert_eq!(product.json(["vectors", "rebuild"])["missing"], 3);
    assert!(!product.data().join("vectors.db").exists());
    let done = product.json(["vectors", "rebuild", "--execute"]);
    assert_eq!((&done["sent"], &done["executed"]), (&3.into(), &true.into()));
    assert_eq!(units_in_file(&product), before);
    assert_eq!(first_hit(&product, &[]), "Payment");
    assert_eq!(product.json(["jobs"])["jobs"][0]["state"], "done");
}

/// A product whose vectors are in this Qdrant, and how it is told so; `more` goes on with the section.
pub(super) fn with_qdrant(server: &Qdrant, more: &str) -> (Product, Vec<String>) {
    let product = Product::new();
    let config = format!("[vectors]\nurl = \"{}\"\nalias = \"designs\"\n{more}", server.url());
    let path = product.file("frameline.toml", config);
    let arguments = vec!["--config".to_owned(), path.to_string_lossy().into_owned()];
    (product, arguments)
}

pub(super) fn up(product: &Product, config: &[String]) -> Running {
    let arguments =
        ["up", "--json", "--listen", "127.0.0.1:0"].map(str::to_owned).into_iter().chain(config.iter().cloned());
    Running::start(product.command(arguments))
}

pub(super) fn settings(server: &Qdrant, alias: &str) -> QdrantSettings {
    QdrantSettings {
        url: server.url(),
        api_key: None,
        alias: alias.to_owned(),
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(5),
        replication: 1,
    }
}

/// The product's.
pub(super) fn models() -> Models {
    Models { text: TextModel::NAME.to_owned(), image: ImageModel::NAME.to_owned() }
}

pub(super) fn live(server: &Qdrant) -> (String, Vec<Stored>) {
    block_on(async {
        let vectors = QdrantVectors::open(&settings(server, "designs"), models()).await.unwrap();
        (vectors.live().await.unwrap(), vectors.dump().await.unwrap())
    })
}

pub(super) fn rebuild(config: &[String], options: &[&str]) -> Vec<String> {
    let words = ["vectors", "rebuild"].iter().chain(options).map(|word| (*word).to_owned());
    words.chain(config.iter().cloned()).collect()
}

#[test]
fn a_collection_is_filled_beside_the_live_one_and_takes_its_place_while_files_come_in() {
    let server = Qdrant::start();
    let (product, config) = with_qdrant(&server, "");
    let mut service = up(&product, &config);
    add(&product, &config);
    assert!(!product.data().join("vectors.db").exists());
    assert_eq!(first_hit(&product, &config), "Payment");
    let (first, before) = live(&server);

    let plan = product.json(rebuild(&config, &[]));
    assert_eq!((&plan["missing"], plan["live"].as_str()), (&3.into(), Some(first.as_str())));
    let add_one = |number: usize| {
        let text = format!("# Zeppelins {number}\n\nHow the airship {number} is moored.");
        let file = product.file(format!("late-{number}.md"), text);
        let arguments = ["add".to_owned(), file.to_string_lossy().into_owned(), "--wait".to_owned()];
        product.json(arguments.into_iter().chain(config.iter().cloned()).collect::<Vec<_>>());
    };
    let mut command = product.command(rebuild(&config, &["--execute", "--remove-old", "--json"]));
    let mut rebuilding = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut added = 0;
    while rebuilding.try_wait().unwrap().is_none() {
        add_one(added);
        added += 1;
    }
    let done = Ended::of(rebuilding.wait_with_output().unwrap());
    assert!(done.status == Some(0) && added > 0, "{added} added: {done:?}");
    let (second, after) = live(&server);
    assert!(done.out.contains(&second), "{done:?}");
    assert_ne!(first, second);
    assert_eq!(after.len(), before.len() + added);

    add_one(added);
    assert_eq!(live(&server).1.len(), before.len() + added + 1);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_rebuild_that_has_begun_is_told_beside_the_lag_until_its_end() {
    let server = Qdrant::start();
    let (product, config) = with_qdrant(&server, "");
    let mut service = up(&product, &config);
    add(&product, &config);
    let lag = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned());
        product.json(words.chain(config.iter().cloned()).collect::<Vec<_>>())
    };
    until("every lag is 0", || (lag(&["lag"])["lag"] == 0).then_some(()));
    assert_eq!(lag(&["lag"])["rebuild"], Value::Null);
    // As a rebuild that was killed before it had done anything leaves it.
    let next = block_on(async {
        let vectors = QdrantVectors::open(&settings(&server, "designs"), models()).await.unwrap();
        let next = vectors.next().await.unwrap().collection;
        vectors.beside(&next, 1).await.unwrap();
        next
    });
    let begun = lag(&["lag"])["rebuild"].clone();
    assert_eq!((begun["index"].as_str(), &begun["files"]), (Some(next.as_str()), &3.into()), "{begun}");
    assert!(begun["records"].as_i64() > Some(10), "{begun}");
    assert_eq!(lag(&["lag", "index"])["rebuild"], begun);
    assert_eq!(lag(&["lag", "render"])["rebuild"], Value::Null);
    product.json(rebuild(&config, &["--execute"]));
    assert_eq!(lag(&["lag"])["rebuild"], Value::Null);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_rebuild_that_is_killed_goes_on_and_the_live_collection_answers_all_the_time() {
    let server = Qdrant::start();
    let (product, config) = with_qdrant(&server, "");
    let mut service = up(&product, &config);
    add(&product, &config);
    let (first, before) = live(&server);
    let mut killed =
        product.command(rebuild(&config, &["--execute"])).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the new collection is there", || {
        let plan = product.json(rebuild(&config, &[]));
        (plan["begun"] == true || live(&server).0 != first).then_some(())
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(first_hit(&product, &config), "Payment");
    if live(&server).0 == first {
        let done = product.json(rebuild(&config, &["--execute"]));
        assert_eq!((&done["begun"], &done["executed"]), (&true.into(), &true.into()));
    }
    let (second, after) = live(&server);
    assert_ne!(first, second);
    assert_eq!(after, before);
    assert_eq!(service.stop(), Some(0));
}

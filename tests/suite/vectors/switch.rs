//! The moment at which a rebuilt collection takes the place of the live one: what holds it up, and a rebuild that was
//! killed in it.

use frameline_runtime::log::sqlite::SqliteLog;
use frameline_stores::vectors::QdrantVectors;
use frameline_tests::qdrant::Qdrant;
use serde_json::{Value, json};

use super::models::taken_out;
use super::rebuild::{add_files, block_on, first_hit, live, models, rebuild, settings, up, with_qdrant};
use crate::process::{Product, until};

fn ask(product: &Product, config: &[String], words: &[&str]) -> Value {
    let words = words.iter().map(|word| (*word).to_owned());
    product.json(words.chain(config.iter().cloned()).collect::<Vec<_>>())
}

#[test]
fn a_rebuild_that_is_killed_right_after_the_switch_reads_the_rest_when_asked_again() {
    let server = Qdrant::start();
    let (product, config) = with_qdrant(&server, "");
    let mut service = up(&product, &config);
    add_files(&product, &config, &["--wait"]);
    until("every lag is 0", || (ask(&product, &config, &["lag"])["lag"] == 0).then_some(()));
    let (first, before) = live(&server);
    // As it leaves it that has read nothing of what came in before the switch.
    let second = block_on(async {
        let vectors = QdrantVectors::open(&settings(&server, "designs"), models()).await.unwrap();
        let second = vectors.next().await.unwrap().collection;
        let fresh = vectors.beside(&second, 1).await.unwrap();
        let note = json!({"positions": {}, "foreign": [], "takes_the_place_of": first});
        fresh.set_note(&note.to_string()).await.unwrap();
        vectors.switch(&second).await.unwrap();
        second
    });
    assert_eq!(live(&server), (second.clone(), Vec::new()));

    let begun = ask(&product, &config, &["lag"])["rebuild"].clone();
    assert_eq!((&begun["index"], &begun["live"]), (&json!(second), &json!(first)), "{begun}");
    let done = product.json(rebuild(&config, &["--execute", "--remove-old"]));
    assert_eq!((&done["begun"], &done["sent"]), (&json!(true), &json!(0)), "{done}");
    assert_eq!(live(&server), (second.clone(), before));
    assert_eq!(ask(&product, &config, &["lag"])["rebuild"], Value::Null);
    assert_eq!(product.json(rebuild(&config, &[]))["live"], json!(second), "the next one is a new one");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_file_that_only_the_live_index_has_keeps_the_alias_until_it_may_be_left_behind() {
    let server = Qdrant::start();
    let (product, config) = with_qdrant(&server, "[discover]\nlargest_file_bytes = 200000\n");
    let mut service = up(&product, &config);
    add_files(&product, &config, &["--wait"]);
    let late = product.file("late.md", "# Zeppelins\n\nHow an airship is moored.");
    ask(&product, &config, &["add", late.to_str().unwrap(), "--wait"]);
    until("every lag is 0", || (ask(&product, &config, &["lag"])["lag"] == 0).then_some(()));
    // Its newest revision is refused, so the one before stays the one that is found.
    let late = product.file("late.md", "Hangar. ".repeat(30_000));
    let words = ["add", late.to_str().unwrap()].map(str::to_owned).into_iter().chain(config.iter().cloned());
    assert_eq!(product.run(words.collect::<Vec<_>>()).status, Some(1));
    assert_eq!(service.stop(), Some(0));
    let (first, before) = live(&server);
    block_on(async { taken_out(&SqliteLog::open(&product.data().join("log.db")).await.unwrap()).await });

    product.run(rebuild(&config, &["--execute"])).refuses(&["1 file (", "late.md)", "--leave-behind"]);
    assert_eq!(live(&server), (first, before.clone()));
    let done = product.json(rebuild(&config, &["--execute", "--leave-behind"]));
    assert_eq!((&done["begun"], &done["sent"]), (&json!(true), &json!(0)), "{done}");
    let (second, after) = live(&server);
    assert_eq!((done["index"].as_str(), after.len()), (Some(second.as_str()), before.len() - 1));
    assert_eq!(first_hit(&product, &config), "Payment");
}

//! A program with other models than those of the live index: nothing is mixed, and a rebuild makes the index anew.

use std::time::Duration;

use frameline_runtime::Output;
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_runtime::log::{Log, NewTopic};
use frameline_schemas::{Embedding, Message, UnitOrEnd};
use frameline_stores::vectors::qdrant::Models;
use frameline_stores::vectors::{Floor, QdrantVectors, Vectors};
use frameline_tests::qdrant::Qdrant;
use frameline_topics::{Catalogue, EMBEDDINGS};

use super::rebuild::{add_files, block_on, first_hit, live, rebuild, settings, up, with_qdrant};
use crate::process::{Product, until};

fn older() -> Models {
    Models { text: "older".to_owned(), image: "oldest".to_owned() }
}

/// The records of `embeddings`, which are taken out of it, by older models.
pub(super) async fn taken_out(log: &SqliteLog) -> Vec<UnitOrEnd<Embedding>> {
    let spans = log.readable(&[EMBEDDINGS.to_owned()]).await.unwrap();
    let (mut scan, mut records) = (log.scan(spans).await.unwrap(), Vec::new());
    while let Some(run) = scan.next().await.unwrap() {
        records.extend(run.records.into_iter().map(|record| Message::decode(&record.value.unwrap()).unwrap()));
    }
    let kept = &Catalogue::shipped().unwrap().topics[EMBEDDINGS];
    for retention in [Some(Duration::ZERO), kept.retention] {
        let topic = NewTopic {
            name: EMBEDDINGS.to_owned(),
            partitions: kept.partitions,
            replication: 1,
            retention,
            compacted: false,
            largest_message_bytes: kept.largest_message_bytes,
        };
        log.create_topic(&topic).await.unwrap();
        log.enforce_retention().await.unwrap();
    }
    let aged = |mut record: UnitOrEnd<Embedding>| {
        if let UnitOrEnd::Unit(point) = &mut record {
            point.text_vector.iter_mut().for_each(|vector| vector.model = older().text);
            point.image_vector.iter_mut().for_each(|vector| vector.model = older().image);
        }
        record
    };
    records.into_iter().map(|message| aged(UnitOrEnd::try_from(message).unwrap())).collect()
}

/// Makes it so that an older program did it all: its models are in the log's records and in the live collection.
async fn age(server: &Qdrant, product: &Product) -> String {
    let log = SqliteLog::open(&product.data().join("log.db")).await.unwrap();
    let records = taken_out(&log).await;
    let output = |record: &UnitOrEnd<Embedding>| match record {
        UnitOrEnd::Unit(point) => Output::of(EMBEDDINGS, point.head.file_id, point).unwrap(),
        UnitOrEnd::End(end) => Output::of(EMBEDDINGS, end.head.file_id, end).unwrap(),
    };
    log.append(records.iter().map(output).collect()).await.unwrap();

    let vectors = QdrantVectors::open(&settings(server, "designs"), older()).await.unwrap();
    let (newer, collection) = (vectors.live().await.unwrap(), vectors.next().await.unwrap().collection);
    let beside = vectors.beside(&collection, 1).await.unwrap();
    for record in &records {
        match record {
            UnitOrEnd::Unit(point) => beside.upsert(std::slice::from_ref(point)).await.unwrap(),
            UnitOrEnd::End(end) => {
                let floor = Floor::after(end.head.revision, end.deleted);
                beside.finish(&[(end.head.file_id, floor)]).await.map(drop).unwrap();
            }
        }
    }
    vectors.switch(&collection).await.unwrap();
    vectors.remove(&newer).await.unwrap();
    collection
}

#[test]
fn after_a_change_of_models_nothing_is_mixed_and_a_rebuild_makes_every_file_anew() {
    let server = Qdrant::start();
    let (product, config) = with_qdrant(&server, "");
    let with_config = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        arguments.chain(config.iter().cloned()).collect::<Vec<_>>()
    };
    let mut service = up(&product, &config);
    assert_eq!(add_files(&product, &config, &["--wait"])["counts"]["done"], 3);
    until("every lag is 0", || (product.json(with_config(&["lag"]))["lag"] == 0).then_some(()));
    assert_eq!(service.stop(), Some(0));
    let (_, before) = live(&server);
    let old = block_on(age(&server, &product));

    let mut service = up(&product, &config);
    let late = product.file("late.md", "# Zeppelins\n\nHow an airship is moored.");
    product.json(with_config(&["add", late.to_str().unwrap(), "--wait"]));
    let searched = product.run(with_config(&["search", "airship"]));
    assert_eq!(searched.status, Some(1), "{searched:?}");
    assert!(searched.err.contains(&old) && searched.err.contains("frameline vectors rebuild"), "{searched:?}");
    let (still, units) = live(&server);
    assert_eq!((&still, units.len()), (&old, before.len()), "what is by our models is not taken into it");

    let plan = product.json(rebuild(&config, &[]));
    assert_eq!((&plan["missing"], plan["live"].as_str()), (&4.into(), Some(old.as_str())), "{plan}");
    let done = product.json(rebuild(&config, &["--execute", "--remove-old"]));
    assert_eq!(done["sent"], 3, "the late one is in the log by our models: {done}");
    let (new, mut after) = live(&server);
    assert_eq!(done["index"].as_str(), Some(new.as_str()));
    assert_eq!(first_hit(&product, &config), "Payment");
    assert_eq!(after.len(), before.len() + 1);
    after.retain(|unit| before.binary_search(unit).is_ok());
    assert_eq!(after, before);
    let another = product.file("another.md", "# Canals\n\nHow a lock is filled.");
    product.json(with_config(&["add", another.to_str().unwrap(), "--wait"]));
    assert_eq!(live(&server).1.len(), before.len() + 2, "the stage writes to the new one");
    assert_eq!(service.stop(), Some(0));
}

//! Both sides find the same: the shipped samples in each, the same questions to both.

use frameline_embed::TextModel;
use frameline_runtime::log::{Log, sqlite::SqliteLog};
use frameline_schemas::{Embedding, Message, UnitOrEnd};
use frameline_stores::vectors::qdrant::Models;
use frameline_stores::vectors::{Floor, Hit, Query, Vectors};

use crate::process::{Product, samples};
use crate::vectors::{Side as _, qdrant, sqlite};

const QUESTIONS: [&str; 15] = [
    "pay by card with expiry date and security code",
    "where can I switch to dark mode or larger text?",
    "an astronaut lost in space",
    "which customers have not paid on time?",
    "wie groß müssen Berührungsflächen sein?",
    "why did the retired sailor struggle with the checkout?",
    "which typeface does the brand use",
    "Payment",
    "checkout.svg",
    // Of words that most units have: there are more candidates than are looked at.
    "the and of",
    "what is it for",
    "how do we do this",
    "to be or not to be",
    "a",
    "in the",
];
/// As many as a page of a search may show.
const HITS: usize = 20;
/// By which the scores of one unit may differ: cosines are summed up in another order.
const SCORE_TOLERANCE: f32 = 2e-3;

/// What `index` was given of the samples.
async fn embeddings() -> Vec<UnitOrEnd<Embedding>> {
    let product = Product::new();
    let mut service = product.up();
    product.json(["add", samples().to_str().unwrap(), "--wait"]);
    assert_eq!(service.stop(), Some(0));
    let log = SqliteLog::open(&product.data().join("log.db")).await.unwrap();
    let mut records = Vec::new();
    for lag in log.lag("index", &["embeddings".to_owned()]).await.unwrap() {
        let found = log.read(&lag.partition, lag.low, 10_000).await.unwrap();
        records.extend(found.into_iter().map(|record| Message::decode(record.value.as_deref().unwrap()).unwrap()));
    }
    records.into_iter().map(|message| UnitOrEnd::try_from(message).unwrap()).collect()
}

async fn fill(vectors: &dyn Vectors, records: &[UnitOrEnd<Embedding>]) {
    for records in records.chunks(100) {
        let (mut points, mut ends) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                UnitOrEnd::Unit(point) => points.push(point.clone()),
                UnitOrEnd::End(end) => ends.push((end.head.file_id, Floor::after(end.head.revision, end.deleted))),
            }
        }
        vectors.upsert(&points).await.unwrap();
        vectors.finish(&ends).await.unwrap();
    }
}

/// Each side has what the other has, with about the same score. Of those about as good as the last that is shown, each
/// may have taken others.
fn compare(left: &[Hit], right: &[Hit], question: &str) {
    assert_eq!(left.len(), right.len(), "{question}");
    let last = |hits: &[Hit]| hits.get(HITS - 1).map_or(0.0, |hit| hit.score + SCORE_TOLERANCE);
    let cut = last(left).max(last(right));
    for (hits, others) in [(left, right), (right, left)] {
        for hit in hits.iter().filter(|hit| hit.score > cut) {
            let other = others.iter().find(|other| other.unit_id == hit.unit_id);
            let other = other.unwrap_or_else(|| panic!("{question}: one side lacks {hit:?}"));
            assert!((hit.score - other.score).abs() < SCORE_TOLERANCE, "{question}: {hit:?} and {other:?}");
            assert_eq!(Hit { score: 0.0, ..hit.clone() }, Hit { score: 0.0, ..other.clone() }, "{question}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_give_the_same_hits_for_the_same_samples() {
    let records = embeddings().await;
    let by = |record: &UnitOrEnd<Embedding>, image: bool| match record {
        UnitOrEnd::Unit(point) if image => point.image_vector.clone(),
        UnitOrEnd::Unit(point) => point.text_vector.clone(),
        UnitOrEnd::End(_) => None,
    };
    let model = |image| records.iter().find_map(|record| by(record, image)).unwrap().model;
    let models = Models { text: model(false), image: model(true) };
    let (embedded, server) = (sqlite::Side::open().await, qdrant::Side::with_models(models).await);
    for side in [embedded.vectors(), server.vectors()] {
        fill(side, &records).await;
    }
    assert_eq!(embedded.vectors().dump().await.unwrap(), server.vectors().dump().await.unwrap());
    assert_eq!(embedded.vectors().counts().await.unwrap(), server.vectors().counts().await.unwrap());

    let texts = TextModel::new().unwrap();
    let mut found = 0;
    for question in QUESTIONS {
        let text_vector = texts.embed(&[question]).unwrap().into_iter().next();
        for text_vector in [None, text_vector] {
            let words = Some(question.to_owned());
            let query = Query { tenant: "default".to_owned(), words, text_vector, image_vector: None, limit: HITS };
            let left = embedded.vectors().search(&query).await.unwrap();
            found += left.len();
            compare(&left, &server.vectors().search(&query).await.unwrap(), question);
        }
    }
    assert!(found > 60, "{found}");
    for picture in records.iter().filter_map(|record| by(record, true)).step_by(7) {
        let image_vector = Some(picture.values);
        let query = Query { tenant: "default".to_owned(), image_vector, limit: HITS, ..Query::default() };
        let left = embedded.vectors().search(&query).await.unwrap();
        assert!(!left.is_empty());
        compare(&left, &server.vectors().search(&query).await.unwrap(), "a picture");
    }
    server.close().await;
}

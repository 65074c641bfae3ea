//! What only a server can do: be down, be slow, be busy, be killed, answer and not be heard; and have an alias.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use frameline_runtime::secret::Secret;
use frameline_schemas::Embedding;
use frameline_stores::vectors::qdrant::{Models, QdrantSettings};
use frameline_stores::vectors::{Floor, QdrantVectors, Vectors, VectorsError, stored};
use frameline_tests::qdrant::Qdrant;
use serde_json::{Value, json};

use crate::vectors::points::{at_revision, by_meaning, by_words, frame, with_text};

/// A collection of the test's own, on the shared server.
pub(super) struct Side {
    vectors: QdrantVectors,
}

impl Side {
    /// Orders that are tried.
    pub(super) const CASES: u32 = 12;

    /// The same for vectors by these models.
    pub(super) async fn with_models(models: Models) -> Self {
        Self { vectors: QdrantVectors::open(&settings(Qdrant::shared()), models).await.unwrap() }
    }
}

impl super::Side for Side {
    async fn open() -> Self {
        Self::with_models(models()).await
    }

    fn vectors(&self) -> &dyn Vectors {
        &self.vectors
    }

    async fn close(self) {
        let collection = self.vectors.live().await.unwrap();
        self.vectors.remove(&collection).await.unwrap();
    }
}

fn models() -> Models {
    Models { text: "text".to_owned(), image: "image".to_owned() }
}

fn settings(server: &Qdrant) -> QdrantSettings {
    settings_at(server.url())
}

fn settings_at(url: String) -> QdrantSettings {
    static ALIASES: AtomicU32 = AtomicU32::new(0);
    QdrantSettings {
        url,
        api_key: None,
        alias: format!("test{}", ALIASES.fetch_add(1, Ordering::Relaxed)),
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(5),
        replication: 1,
    }
}

async fn open(server: &Qdrant) -> QdrantVectors {
    QdrantVectors::open(&settings(server), models()).await.unwrap()
}

fn unavailable(result: Result<impl Sized, VectorsError>) -> String {
    match result.map(drop) {
        Err(VectorsError::Unavailable(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn fails_with(status: &str) -> Value {
    json!({ "fail": status })
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable_and_comes_back_with_all_it_had() {
    let server = Qdrant::start();
    let (vectors, port) = (open(&server).await, server.port());
    let point = frame("a.svg", 0, "Cart", "");
    vectors.upsert(std::slice::from_ref(&point)).await.unwrap();
    let before = vectors.dump().await.unwrap();
    server.kill();
    let text = unavailable(vectors.upsert(std::slice::from_ref(&point)).await);
    assert!(text.contains(&format!("http://127.0.0.1:{port}")), "{text}");
    unavailable(vectors.search(&by_words("cart")).await);
    unavailable(QdrantVectors::open(&settings_at(format!("http://127.0.0.1:{port}")), models()).await);
    server.resume(port).unwrap();
    assert_eq!(vectors.dump().await.unwrap(), before);
    vectors.upsert(&[point]).await.unwrap();
}

#[tokio::test]
async fn each_trouble_is_told_as_what_it_is() {
    let server = Qdrant::start();
    let vectors = open(&server).await;
    let point = [frame("a.svg", 0, "Cart", "")];
    for status in ["UNAVAILABLE", "INTERNAL", "ABORTED", "NOT_FOUND", "DEADLINE_EXCEEDED"] {
        server.set_faults(Some(&fails_with(status)));
        let text = unavailable(vectors.upsert(&point).await);
        assert!(text.contains("told to fail"), "{status}: {text}");
    }
    server.set_faults(Some(&fails_with("RESOURCE_EXHAUSTED")));
    let error = vectors.upsert(&point).await.unwrap_err();
    assert!(matches!(&error, VectorsError::Busy(text) if text.contains("told to fail")), "{error}");
    server.set_faults(Some(&fails_with("INVALID_ARGUMENT")));
    let error = vectors.upsert(&point).await.unwrap_err();
    assert!(matches!(&error, VectorsError::Refused(_)), "{error}");
    server.set_faults(None);
    vectors.upsert(&point).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_unavailable() {
    let server = Qdrant::start();
    let settings = QdrantSettings { timeout: Duration::from_millis(300), ..settings(&server) };
    // Making a collection may take longer than that.
    QdrantVectors::open(&QdrantSettings { timeout: Duration::from_secs(20), ..settings.clone() }, models())
        .await
        .unwrap();
    let vectors = QdrantVectors::open(&settings, models()).await.unwrap();
    server.set_faults(Some(&json!({ "delay_ms": 20_000, "calls": ["UpdateBatch"] })));
    let began = std::time::Instant::now();
    let text = unavailable(vectors.upsert(&[frame("a.svg", 0, "Cart", "")]).await);
    assert!(text.contains("no answer within 300ms") || text.contains("Timeout expired"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_wrong_key_is_told_with_where_it_is_set_and_no_key_is_shown() {
    let server = Qdrant::with_key("right");
    let with = |key: &str| QdrantSettings { api_key: Some(Secret::new(key)), ..settings(&server) };
    let Err(denied @ VectorsError::Denied(_)) = QdrantVectors::open(&with("wr0ng"), models()).await.map(drop) else {
        panic!("a wrong key is taken")
    };
    let text = denied.to_string();
    assert!(text.contains("vectors.api_key_file") && !text.contains("wr0ng"), "{text}");
    assert!(!format!("{:?}", with("wr0ng")).contains("wr0ng"));
    QdrantVectors::open(&with("right"), models()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_server_in_the_middle_loses_no_acknowledged_upsert() {
    let server = Qdrant::start();
    let (vectors, port) = (open(&server).await, server.port());
    let mut acknowledged: Vec<Embedding> = Vec::new();
    for round in 0..3 {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let writer = tokio::spawn({
            let vectors = vectors.clone();
            async move {
                for batch in 0.. {
                    let name = format!("{round}-{batch}.svg");
                    let points: Vec<Embedding> =
                        (0..20).map(|ordinal| with_text(frame(&name, ordinal, "Card", "words"), 1.0)).collect();
                    if vectors.upsert(&points).await.is_err() {
                        break;
                    }
                    told.send(points).unwrap();
                }
            }
        });
        for _ in 0..3 {
            acknowledged.extend(heard.recv().await.unwrap());
        }
        server.kill();
        writer.await.unwrap();
        while let Some(points) = heard.recv().await {
            acknowledged.extend(points);
        }
        server.resume(port).unwrap();
        let kept = vectors.dump().await.unwrap();
        let lost = acknowledged.iter().map(stored).filter(|unit| kept.binary_search(unit).is_err()).count();
        assert_eq!(lost, 0, "of {} in round {round}", acknowledged.len());
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing() {
    let server = Qdrant::start();
    let vectors = open(&server).await;
    let points = [with_text(frame("a.svg", 0, "Cart", ""), 1.0), frame("a.svg", 1, "Map", "")];
    let ends = [(points[0].head.file_id, Floor::after(1, false))];
    server.set_faults(Some(&json!({ "fail": "UNAVAILABLE", "after": true, "calls": ["UpdateBatch", "Delete"] })));
    unavailable(vectors.upsert(&points).await);
    unavailable(vectors.finish(&ends).await);
    server.set_faults(None);
    vectors.upsert(&points).await.unwrap();
    vectors.finish(&ends).await.unwrap();
    let mut expected: Vec<_> = points.iter().map(stored).collect();
    expected.sort();
    assert_eq!(vectors.dump().await.unwrap(), expected);
}

#[tokio::test]
async fn what_a_killed_writer_left_below_the_floor_is_never_found_and_goes_with_the_next_write() {
    let server = Qdrant::start();
    let vectors = open(&server).await;
    let old = with_text(frame("a.svg", 0, "Cart", ""), 0.0);
    let end = [(old.head.file_id, Floor::after(2, true))];
    vectors.upsert(std::slice::from_ref(&old)).await.unwrap();
    // The floor is raised, and then nothing more is done.
    server.set_faults(Some(&json!({ "fail": "UNAVAILABLE", "calls": ["Count", "Delete"] })));
    unavailable(vectors.finish(&end).await);
    assert_eq!(vectors.counts().await.unwrap().frames, 1);
    assert_eq!(vectors.search(&by_meaning("cart")).await.unwrap(), []);
    assert_eq!(vectors.dump().await.unwrap(), []);
    server.set_faults(None);
    vectors.upsert(&[at_revision(old, 1)]).await.unwrap();
    assert_eq!(vectors.counts().await.unwrap().frames, 0);
}

#[tokio::test]
async fn an_older_revision_that_is_slow_on_its_way_never_comes_back() {
    let server = Qdrant::start();
    let settings = settings(&server);
    let vectors = QdrantVectors::open(&settings, models()).await.unwrap();
    let other = QdrantVectors::open(&settings, models()).await.unwrap();
    let old = with_text(frame("a.svg", 0, "Old", ""), 0.0);
    let new = at_revision(with_text(frame("a.svg", 1, "New", ""), 0.0), 2);
    for share in [0.3, 0.5, 0.7, 0.5, 0.5] {
        server.set_faults(Some(
            &json!({ "fail": null, "delay_ms": 120, "calls": ["UpdateBatch", "Get"], "share": share }),
        ));
        let late = vectors.upsert(std::slice::from_ref(&old));
        let ahead = async {
            other.upsert(std::slice::from_ref(&new)).await?;
            other.finish(&[(new.head.file_id, Floor::after(2, false))]).await
        };
        let (late, ahead) = tokio::join!(late, ahead);
        late.unwrap();
        ahead.unwrap();
        assert_eq!(vectors.dump().await.unwrap(), [stored(&new)]);
        assert_eq!(vectors.counts().await.unwrap().frames, 1);
    }
}

#[tokio::test]
async fn the_alias_moves_in_one_step_and_writers_follow_it() {
    let server = Qdrant::start();
    let settings = settings(&server);
    let vectors = QdrantVectors::open(&settings, models()).await.unwrap();
    let other = QdrantVectors::open(&settings, models()).await.unwrap();
    vectors.upsert(&[frame("a.svg", 0, "Cart", "")]).await.unwrap();
    let first = vectors.live().await.unwrap();
    assert!(first.starts_with(&settings.alias) && first.ends_with("-text-384-image-1280-1"), "{first}");

    let next = vectors.next().await.unwrap();
    assert!(next.collection.ends_with("-2") && !next.is_begun, "{next:?}");
    let beside = vectors.beside(&next.collection, 1).await.unwrap();
    assert!(vectors.next().await.unwrap().is_begun);
    let fresh = frame("b.svg", 0, "Map", "");
    beside.upsert(std::slice::from_ref(&fresh)).await.unwrap();
    assert_eq!(other.search(&by_words("map")).await.unwrap(), []);
    vectors.switch(&next.collection).await.unwrap();
    assert_eq!(other.dump().await.unwrap(), [stored(&fresh)]);
    other.upsert(&[frame("b.svg", 1, "Zoom", "")]).await.unwrap();
    assert_eq!(beside.counts().await.unwrap().frames, 2);
    vectors.remove(&first).await.unwrap();
    assert!(vectors.next().await.unwrap().collection.ends_with("-3"));
}

#[tokio::test]
async fn vectors_by_other_models_are_neither_taken_nor_compared() {
    let server = Qdrant::start();
    let settings = settings(&server);
    let old = QdrantVectors::open(&settings, models()).await.unwrap();
    let newer = Models { text: "newer".to_owned(), ..models() };
    let new = QdrantVectors::open(&settings, newer).await.unwrap();
    let is_other = |result: Result<(), VectorsError>| matches!(result, Err(VectorsError::OtherModel(_)));
    let point = with_text(frame("a.svg", 0, "Cart", ""), 0.0);
    assert!(is_other(new.upsert(std::slice::from_ref(&point)).await));
    assert!(is_other(new.search(&by_words("cart")).await.map(drop)));
    let mut foreign = point.clone();
    foreign.text_vector.as_mut().unwrap().model = "newer".to_owned();
    assert!(is_other(new.upsert(std::slice::from_ref(&foreign)).await));
    assert!(is_other(old.upsert(&[foreign]).await));
    old.upsert(&[point]).await.unwrap();
}

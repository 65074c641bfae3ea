//! The stage over the embedded index, and over one that fails.

use frameline_runtime::Class;
use frameline_schemas::{Content, Head, Kind, Vector, file_id, job_id, unit_id};
use frameline_stores::vectors::{Counts, Hit, Query, SqliteVectors, Stored};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

fn head(file: &str, revision: i64) -> Head {
    let file_id = file_id("default", file.as_bytes());
    let job_id = job_id(file_id, revision);
    Head { tenant: "default".to_owned(), file_id, revision, job_id, file_name: file.to_owned() }
}

fn unit(file: &str, ordinal: i32, revision: i64) -> UnitOrEnd<Embedding> {
    let head = head(file, revision);
    let unit_id = unit_id(head.file_id, Kind::Passage, ordinal);
    let content = Content {
        kind: Kind::Passage,
        ordinal,
        page: None,
        name: "Heading".to_owned(),
        text: "Words".to_owned(),
        text_uri: None,
        width_px: 0,
        height_px: 0,
    };
    UnitOrEnd::Unit(Embedding { head, unit_id, content, thumbnail: None, text_vector: None, image_vector: None })
}

fn refused(file: &str) -> UnitOrEnd<Embedding> {
    let UnitOrEnd::Unit(mut point) = unit(file, 0, 1) else { unreachable!() };
    point.text_vector = Some(Vector { model: "other".to_owned(), values: vec![1.0; 7] });
    UnitOrEnd::Unit(point)
}

fn end(file: &str, revision: i64, deleted: bool) -> UnitOrEnd<Embedding> {
    let head = head(file, revision);
    UnitOrEnd::End(Manifest { head, format: "md".to_owned(), deleted, frames: 0, passages: 1, discovered_at: 0 })
}

async fn index() -> (TempDir, Arc<SqliteVectors>, Index) {
    let folder = tempfile::tempdir().unwrap();
    let vectors = Arc::new(SqliteVectors::open(&folder.path().join("vectors.db")).await.unwrap());
    let stage = Index::new(vectors.clone());
    (folder, vectors, stage)
}

/// `+` for each record that is done, else the code of its failure.
fn told(outcomes: &[Outcome]) -> Vec<&'static str> {
    let tell = |outcome: &Outcome| match outcome {
        Outcome::Emit(outputs) if outputs.is_empty() => "+",
        Outcome::Fail(failure) => failure.code,
        other => panic!("{other:?}"),
    };
    outcomes.iter().map(tell).collect()
}

#[tokio::test]
async fn the_end_of_a_file_removes_what_an_older_revision_left() {
    let (_folder, vectors, stage) = index().await;
    let first = vec![unit("a.md", 0, 1), unit("a.md", 1, 1), end("a.md", 1, false), unit("b.md", 0, 1)];
    assert_eq!(told(&stage.process(first).await), ["+"; 4]);
    assert_eq!(vectors.counts().await.unwrap(), Counts { frames: 0, passages: 3 });
    let second = vec![unit("a.md", 0, 2), end("a.md", 2, false), end("b.md", 2, true)];
    assert_eq!(told(&stage.process(second).await), ["+"; 3]);
    let dump = vectors.dump().await.unwrap();
    assert_eq!(dump.iter().map(|stored| stored.revision).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn doing_it_again_changes_nothing() {
    let (_folder, vectors, stage) = index().await;
    let batch = || vec![unit("a.md", 0, 1), unit("a.md", 0, 2), end("a.md", 2, false), unit("b.md", 0, 1)];
    stage.process(batch()).await;
    let once = vectors.dump().await.unwrap();
    stage.process(batch()).await;
    assert_eq!(vectors.dump().await.unwrap(), once);
    assert_eq!(once.len(), 2);
}

#[tokio::test]
async fn a_unit_that_is_refused_fails_alone_and_for_good() {
    let (_folder, vectors, stage) = index().await;
    let batch = vec![unit("a.md", 0, 1), refused("b.md"), end("a.md", 1, false), unit("c.md", 0, 1)];
    let outcomes = stage.process(batch).await;
    assert_eq!(told(&outcomes), ["+", "refused", "+", "+"]);
    assert!(matches!(&outcomes[1], Outcome::Fail(failure) if failure.class == Class::Permanent));
    assert_eq!(vectors.counts().await.unwrap().passages, 2);
}

/// An index that does nothing but fail so.
struct Failing(VectorsError);

#[async_trait]
impl Vectors for Failing {
    async fn upsert(&self, _: &[Embedding]) -> Result<(), VectorsError> {
        Err(self.0.clone())
    }
    async fn finish(&self, _: &[(Uuid, Floor)]) -> Result<u64, VectorsError> {
        Err(self.0.clone())
    }
    async fn floors(&self, _: &[Uuid]) -> Result<Vec<Option<Floor>>, VectorsError> {
        Err(self.0.clone())
    }
    async fn search(&self, _: &Query) -> Result<Vec<Hit>, VectorsError> {
        Err(self.0.clone())
    }
    async fn counts(&self) -> Result<Counts, VectorsError> {
        Err(self.0.clone())
    }
    async fn dump(&self) -> Result<Vec<Stored>, VectorsError> {
        Err(self.0.clone())
    }
}

#[tokio::test]
async fn an_index_that_is_down_pauses_the_stage_and_a_busy_one_slows_it() {
    for (error, class) in [
        (VectorsError::Unavailable("its disk is full".to_owned()), Class::Unavailable),
        (VectorsError::Busy("its disk is full".to_owned()), Class::Busy),
    ] {
        let stage = Index::new(Arc::new(Failing(error)));
        let outcomes = stage.process(vec![unit("a.md", 0, 1), end("a.md", 1, false)]).await;
        assert_eq!(told(&outcomes), ["vectors"; 2]);
        for outcome in &outcomes {
            let Outcome::Fail(failure) = outcome else { panic!("{outcome:?}") };
            assert_eq!(failure.class, class);
            assert!(failure.error.contains("its disk is full"));
        }
    }
}

#[tokio::test]
async fn a_unit_by_other_models_is_skipped_with_the_way_to_an_index_by_them() {
    let stage = Index::new(Arc::new(Failing(VectorsError::OtherModel("the unit is by another model".to_owned()))));
    let outcomes = stage.process(vec![unit("a.md", 0, 1)]).await;
    let [Outcome::Skip(reason)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(reason.code == "other_model" && reason.text.contains("another model"), "{reason:?}");
}

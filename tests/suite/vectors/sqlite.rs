//! What only a file can do: be shared, be damaged, be newer.

use std::fs;

use frameline_stores::vectors::{SqliteVectors, Vectors, VectorsError};
use tempfile::TempDir;

use crate::vectors::points::{by_words, frame};

/// A file of the test's own.
pub(super) struct Side {
    vectors: SqliteVectors,
    _folder: TempDir,
}

impl Side {
    /// Orders that are tried.
    pub(super) const CASES: u32 = 60;
}

impl super::Side for Side {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vectors = SqliteVectors::open(&folder.path().join("vectors.db")).await.unwrap();
        Self { vectors, _folder: folder }
    }

    fn vectors(&self) -> &dyn Vectors {
        &self.vectors
    }

    async fn close(self) {}
}

#[tokio::test]
async fn two_that_have_the_file_open_see_each_others_units() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.db");
    let (left, right) = tokio::join!(SqliteVectors::open(&path), SqliteVectors::open(&path));
    let (left, right) = (left.unwrap(), right.unwrap());
    let write = async |side: &SqliteVectors, file: &str| {
        for ordinal in 0..20 {
            side.upsert(&[frame(file, ordinal, "Cart", "")]).await.unwrap();
        }
    };
    tokio::join!(write(&left, "a.svg"), write(&right, "b.svg"));
    assert_eq!(left.counts().await.unwrap().frames, 40);
    assert_eq!(left.dump().await.unwrap(), right.dump().await.unwrap());
}

#[tokio::test]
async fn many_may_make_the_same_file_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let path = folder.path().join(format!("vectors-{round}.db"));
        let opened = futures::future::join_all((0..8).map(|_| SqliteVectors::open(&path))).await;
        opened.into_iter().for_each(|side| drop(side.unwrap()));
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.db");
    let first = SqliteVectors::open(&path).await.unwrap();
    first.upsert(&[frame("a.svg", 0, "Cart", "")]).await.unwrap();
    let before = first.dump().await.unwrap();
    first.close().await;
    let second = SqliteVectors::open(&path).await.unwrap();
    assert_eq!(second.dump().await.unwrap(), before);
    assert_eq!(second.search(&by_words("cart")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_that_is_no_index_is_refused_by_name_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.db");
    fs::write(&path, "no database at all, and long enough to be asked for its header".repeat(100)).unwrap();
    let error = SqliteVectors::open(&path).await.unwrap_err();
    assert!(matches!(error, VectorsError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("vectors rebuild"), "{text}");
}

#[tokio::test]
async fn damage_in_the_middle_is_told_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.db");
    let whole = SqliteVectors::open(&path).await.unwrap();
    let points: Vec<_> = (0..200).map(|ordinal| frame("a.svg", ordinal, "Cart", &"words ".repeat(100))).collect();
    whole.upsert(&points).await.unwrap();
    whole.close().await;
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    // The first page has the schema, and stays.
    bytes[4_096..length].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let damaged = SqliteVectors::open(&path).await.unwrap();
    let error = damaged.dump().await.unwrap_err();
    assert!(matches!(error, VectorsError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.db");
    SqliteVectors::open(&path).await.unwrap().close().await;
    let mut bytes = fs::read(&path).unwrap();
    // The user version, in the file's header.
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let error = SqliteVectors::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("version 99") && error.contains("use the newer program"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("vectors.db");
    let error = SqliteVectors::open(&path).await.unwrap_err();
    assert!(matches!(error, VectorsError::Unavailable(_)) && error.to_string().contains("missing"), "{error}");
}

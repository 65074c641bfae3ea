//! What only a file can do. What every job store does is tested on both sides, in the suite of the whole product.

use std::fs;

use super::*;
use crate::jobs::{Catalogue, Decision, FileContent, FileEntry, JobStore, Offer, Offered};
use crate::small_disk::SmallDisk;

async fn store() -> (tempfile::TempDir, SqliteJobs) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
    (folder, store)
}

fn content(path: &[u8]) -> Offer {
    Offer {
        tenant: "default".to_owned(),
        path: path.to_vec(),
        name: String::from_utf8_lossy(path).into_owned(),
        size_bytes: 5,
        modified_at_ms: 7,
        discovered_at_ms: 9,
        what: Offered::Content(FileContent { uri: "blob:files/h".to_owned(), hash: "h".to_owned() }),
    }
}

async fn sent(store: &SqliteJobs, offer: Offer) -> FileEntry {
    let decision = store.offer(&[offer]).await.unwrap().pop().unwrap();
    let Decision::Send(entry) = decision else { panic!("{decision:?}") };
    entry
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_handles_create_one_file_at_the_same_time() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.db");
        let opening = (0..8).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteJobs::open(&path).await.map(drop) })
        });
        for opened in opening.collect::<Vec<_>>() {
            opened.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_told_from_one_that_cannot_be_used_just_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    fs::write(&path, vec![b'x'; 8_192]).unwrap();
    let error = SqliteJobs::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");

    let error = SqliteJobs::open(&folder.path().join("missing/jobs.db")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_file_whose_pages_were_overwritten_is_damaged() {
    let (folder, store) = store().await;
    for number in 0..200u8 {
        sent(&store, content(&[b'/', number])).await;
    }
    store.close().await;
    let path = folder.path().join("jobs.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4_096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let store = SqliteJobs::open(&path).await.unwrap();
    let error = store.jobs(10).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_left_alone() {
    let (folder, store) = store().await;
    sqlx::raw_sql("pragma user_version = 99").execute(&store.pool).await.unwrap();
    let error = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_what_was_written_stays() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: a_full_disk_is_unavailable_and_what_was_written_stays: this user may not mount a tmpfs");
        return;
    };
    let store = SqliteJobs::open(&disk.path().join("jobs.db")).await.unwrap();
    let first = sent(&store, content(b"/a.svg")).await;
    let mut number = 0;
    let error = loop {
        number += 1;
        let long_name = Offer { name: "x".repeat(50_000), ..content(format!("/{number}").as_bytes()) };
        if let Err(error) = store.offer(&[long_name]).await {
            break error;
        }
        assert!(number < 100, "1 MiB has been written five times over");
    };
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("its disk is full; free some space"), "{error}");
    assert_eq!(store.file("default", b"/a.svg").await.unwrap(), Some(first));
}

#[tokio::test]
async fn a_look_at_the_schema_makes_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    assert_eq!(SqliteJobs::schema(&path).await.unwrap().version, 0);
    assert!(!path.exists());
    SqliteJobs::open(&path).await.unwrap().close().await;
    let schema = SqliteJobs::schema(&path).await.unwrap();
    assert_eq!(schema.version, schema.known());
    assert!(schema.all().all(|(_, _, is_taken)| is_taken));
}

//! What only a folder has to do: live through the end of whoever writes into it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use frameline_stores::blobs::Blobs;
use tempfile::TempDir;

use crate::contract::child::Child;

const FOLDER: &str = "FRAMELINE_BLOBS_FOLDER";
const FIRST: &str = "FRAMELINE_BLOBS_FIRST";
const ROUNDS: usize = 5;
/// So many are acknowledged before the writer is killed.
const ACKNOWLEDGED: usize = 60;
const SMALL_BYTES: usize = 50_000;
/// More than a part.
const LARGE_BYTES: usize = 9 << 20;

/// A folder of the test's own.
pub(super) struct Side {
    blobs: Blobs,
    _folder: TempDir,
}

impl super::Side for Side {
    fn open() -> Self {
        let folder = TempDir::new().unwrap();
        Self { blobs: Blobs::folder(folder.path()).unwrap(), _folder: folder }
    }

    fn blobs(&self) -> &Blobs {
        &self.blobs
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_writer_in_the_middle_loses_nothing_acknowledged_and_shows_nothing_half() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("blobs");
    let blobs = Blobs::folder(&root).unwrap();
    let mut acknowledged: Vec<(usize, String)> = Vec::new();
    for round in 0..ROUNDS {
        let first = round * 100_000;
        let environment = [(FOLDER, folder.path().display().to_string()), (FIRST, first.to_string())];
        let mut writer = Child::start(module_path!(), environment);
        for _ in 0..ACKNOWLEDGED {
            let line = writer.says("stored ").await;
            let (number, uri) = line.rsplit_once("stored ").unwrap().1.split_once(' ').unwrap();
            acknowledged.push((number.parse().unwrap(), uri.to_owned()));
        }
        writer.kill().await;
        for (number, uri) in &acknowledged {
            let bytes = blobs.get(uri).await.unwrap();
            assert!(bytes == content(*number), "{uri} has {} bytes", bytes.len());
        }
    }
    blobs.sweep(Duration::ZERO).await.unwrap();
    let files = files_below(&root);
    assert!(files.len() >= ROUNDS * ACKNOWLEDGED);
    for file in files {
        let size_bytes = fs::metadata(&file).unwrap().len() as usize;
        assert!([SMALL_BYTES, LARGE_BYTES].contains(&size_bytes), "{} has {size_bytes} bytes", file.display());
    }
}

/// Every tenth is large.
fn content(number: usize) -> Vec<u8> {
    vec![(number % 251) as u8; if number.is_multiple_of(10) { LARGE_BYTES } else { SMALL_BYTES }]
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The writer: it stores one after the other, and tells each that is stored, until it is killed.
#[tokio::test]
#[ignore = "the other test runs it in processes of its own"]
async fn child_process() {
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else {
        println!("skipped: child_process: it has nothing to do by itself");
        return;
    };
    let folder = PathBuf::from(folder);
    let blobs = Blobs::folder(&folder.join("blobs")).unwrap();
    for number in first.parse::<usize>().unwrap().. {
        let bytes = content(number);
        let uri = if bytes.len() == LARGE_BYTES {
            let path = folder.join("large");
            fs::write(&path, bytes).unwrap();
            blobs.put_file_once("files", "", &path, File::open(&path).unwrap()).await.unwrap().uri
        } else {
            blobs.put_once("scenes", &format!("{number:08}"), "", Bytes::from(bytes)).await.unwrap()
        };
        println!("stored {number} {uri}");
    }
}

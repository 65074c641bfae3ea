use std::fs;
use std::io::Write;

use super::*;
use crate::small_disk::SmallDisk;

fn blobs() -> (tempfile::TempDir, Blobs) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::folder(&folder.path().join("blobs")).unwrap();
    (folder, blobs)
}

fn root(blobs: &Blobs) -> &Path {
    match &*blobs.place {
        Place::Folder(root) => root,
        Place::Bucket(bucket) => panic!("{bucket:?}"),
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            names.extend(names_in(&entry.path()));
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
    names.sort();
    names
}

#[tokio::test]
async fn many_writers_of_one_blob_leave_one_file_where_its_address_says() {
    let (_folder, blobs) = blobs();
    let writers = (0..16).map(|_| {
        let blobs = blobs.clone();
        tokio::spawn(async move { blobs.put_once("scenes", "abcdef", "svg", Bytes::from(vec![7; 100_000])).await })
    });
    let mut uri = String::new();
    for writer in writers.collect::<Vec<_>>() {
        uri = writer.await.unwrap().unwrap();
    }
    assert_eq!(names_in(root(&blobs)), ["abcdef.svg"]);
    let path = blobs.local_path(&uri).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 100_000);
    assert_eq!(blobs.address(&uri).unwrap(), path.display().to_string());
    assert_eq!(blobs.local_path("blob:../ab/abcdef"), None);
}

#[tokio::test]
async fn a_blob_that_a_power_cut_tore_is_replaced() {
    let (_folder, blobs) = blobs();
    let uri = blobs.put_once("scenes", "abcdef", "svg", Bytes::from_static(b"whole")).await.unwrap();
    fs::write(blobs.local_path(&uri).unwrap(), b"wh").unwrap();
    blobs.put_once("scenes", "abcdef", "svg", Bytes::from_static(b"whole")).await.unwrap();
    assert_eq!(blobs.get(&uri).await.unwrap(), "whole");
}

#[tokio::test]
async fn a_file_larger_than_a_part_is_stored_under_its_hash() {
    let (folder, blobs) = blobs();
    for size_bytes in [0, 1, 8 << 20, (8 << 20) + 1, 20_000_000] {
        let bytes: Vec<u8> = (0..size_bytes).map(|place| (place * 31 % 251) as u8).collect();
        let path = folder.path().join("file");
        fs::write(&path, &bytes).unwrap();
        for _ in 0..2 {
            let stored = blobs.put_file_once("files", "", &path, File::open(&path).unwrap()).await.unwrap();
            assert_eq!(stored.hash, blake3::hash(&bytes).to_string());
            assert_eq!(stored.size_bytes, bytes.len() as u64);
            assert!(blobs.get(&stored.uri).await.unwrap() == bytes, "{size_bytes} bytes");
        }
    }
    assert_eq!(names_in(root(&blobs)).len(), 5);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_not_stored() {
    let (folder, blobs) = blobs();
    let path = folder.path().join("file");
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("appended to", |path| fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap()),
        ("replaced", |path| {
            let other = path.with_extension("new");
            fs::write(&other, b"other bytes").unwrap();
            fs::rename(other, path).unwrap();
        }),
        ("removed", |path| fs::remove_file(path).unwrap()),
    ];
    for (what, change) in changes {
        fs::write(&path, b"these bytes").unwrap();
        let file = File::open(&path).unwrap();
        let (mut source, hash, _) = Source::new(&path, file).unwrap().hash().await.unwrap();
        change(&path);
        source.rewind().unwrap();
        let (source, _) = source.next_part().await.unwrap();
        let error = source.check_end(&hash.to_string()).unwrap_err();
        assert!(matches!(error, BlobsError::Changed { .. }), "{what}: {error}");
    }

    // A file of which bytes are other ones at the second reading, though nothing else shows it.
    fs::write(&path, b"these bytes").unwrap();
    let source = Source::new(&path, File::open(&path).unwrap()).unwrap();
    let uri = Uri::new("files", "abcdef", "").unwrap();
    let error = blobs.upload(&uri, source, &blake3::hash(b"those bytes").to_string()).await.unwrap_err();
    assert!(matches!(error, BlobsError::Changed { .. }), "{error}");
    assert_eq!(names_in(root(&blobs)), [""; 0]);
}

#[tokio::test]
async fn what_a_killed_process_left_is_swept_once_it_is_old() {
    let (_folder, blobs) = blobs();
    let uri = blobs.put_once("scenes", "abcdef", "svg", Bytes::from_static(b"whole")).await.unwrap();
    let left = root(&blobs).join("scenes/ab/abcdee.svg#1");
    fs::write(&left, b"ha").unwrap();
    assert!(!blobs.exists("blob:scenes/ab/abcdee.svg").await.unwrap());
    assert_eq!(blobs.sweep(Duration::from_secs(3600)).await.unwrap(), 0);
    assert!(left.exists(), "it may be in use");
    assert_eq!(blobs.sweep(Duration::ZERO).await.unwrap(), 1);
    assert!(!left.exists() && blobs.exists(&uri).await.unwrap());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_says_which_and_why() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), b"").unwrap();
    let error = Blobs::folder(&folder.path().join("file/blobs")).unwrap_err();
    assert!(matches!(&error, BlobsError::Unavailable { place, .. } if place.ends_with("file/blobs")), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: a_full_disk_is_unavailable_and_leaves_nothing_behind: this user may not mount a tmpfs");
        return;
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("large");
    fs::write(&path, vec![1; 3 << 20]).unwrap();
    let blobs = Blobs::folder(&disk.path().join("blobs")).unwrap();

    let by_bytes = blobs.put_once("scenes", "abcdef", "", Bytes::from(vec![1; 3 << 20])).await.map(drop);
    let by_file = blobs.put_file_once("files", "", &path, File::open(&path).unwrap()).await.map(drop);
    for error in [by_bytes.unwrap_err(), by_file.unwrap_err()] {
        assert!(error.to_string().contains("no space is left there; free some"), "{error}");
        assert!(matches!(error, BlobsError::Unavailable { .. }));
    }
    assert_eq!(names_in(root(&blobs)), [""; 0]);
    blobs.put_once("scenes", "abcdef", "", Bytes::from_static(b"small")).await.unwrap();
}

//! The promises that hold on both sides.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use frameline_stores::blobs::{Blobs, BlobsError};
use futures::future::join_all;

pub(super) async fn what_is_stored_is_there_and_the_first_of_a_name_stays(blobs: &Blobs) {
    let uri = blobs.put_once("scenes", "abcdef", "svg", Bytes::from_static(b"first")).await.unwrap();
    assert_eq!(uri, "blob:scenes/ab/abcdef.svg");
    assert_eq!(blobs.put_once("scenes", "abcdef", "svg", Bytes::from_static(b"again")).await.unwrap(), uri);
    assert_eq!(blobs.get(&uri).await.unwrap(), "first");
    assert_eq!(blobs.size(&uri).await.unwrap(), 5);
    assert!(blobs.exists(&uri).await.unwrap());
    assert!(blobs.address(&uri).unwrap().ends_with("/scenes/ab/abcdef.svg"));
}

pub(super) async fn sixteen_writers_of_one_name_leave_what_the_first_one_wrote(blobs: &Blobs) {
    for round in 0..4 {
        let hash = format!("abcdef{round}");
        // Of one length, so that a folder has no reason to take one for torn.
        let writers = (0..16).map(|writer| {
            let (blobs, hash) = (blobs.clone(), hash.clone());
            tokio::spawn(async move {
                let uri = blobs.put_once("scenes", &hash, "", Bytes::from(vec![writer; 100_000])).await.unwrap();
                blobs.get(&uri).await.unwrap()
            })
        });
        let seen: Vec<Bytes> = join_all(writers.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect();
        assert!(seen[0].len() == 100_000 && seen[0].iter().all(|byte| *byte == seen[0][0]), "one of them, whole");
        assert!(
            seen.iter().all(|bytes| *bytes == seen[0]),
            "a writer saw another one's after its own was acknowledged"
        );
    }
}

pub(super) async fn a_file_of_many_parts_is_stored_under_its_hash(blobs: &Blobs) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..(17 << 20) + 5_u32).map(|place| (place / 1_000) as u8).collect();
    file.write_all(&bytes).unwrap();
    let stored = blobs.put_file_once("files", "", file.path(), File::open(file.path()).unwrap()).await.unwrap();
    assert_eq!(stored.size_bytes, bytes.len() as u64);
    assert!(stored.uri.ends_with(&stored.hash), "{stored:?}");
    assert_eq!(blobs.size(&stored.uri).await.unwrap(), bytes.len() as u64);
    assert!(blobs.get(&stored.uri).await.unwrap() == bytes);
    assert_eq!(blobs.sweep(Duration::ZERO).await.unwrap(), 0, "nothing is left unfinished");
}

pub(super) async fn the_same_file_again_changes_nothing(blobs: &Blobs) {
    for size_bytes in [1_000, 9 << 20] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![7; size_bytes]).unwrap();
        let put = || blobs.put_file_once("files", "bin", file.path(), File::open(file.path()).unwrap());
        let first = put().await.unwrap();
        let (second, third) = tokio::join!(put(), put());
        assert_eq!((&second.unwrap(), &third.unwrap()), (&first, &first));
        assert_eq!(blobs.get(&first.uri).await.unwrap().len(), size_bytes);
    }
}

pub(super) async fn an_empty_blob_is_a_blob(blobs: &Blobs) {
    let uri = blobs.put_once("scenes", "abcdef", "", Bytes::new()).await.unwrap();
    assert_eq!((blobs.size(&uri).await.unwrap(), blobs.get(&uri).await.unwrap().len()), (0, 0));
    let file = tempfile::NamedTempFile::new().unwrap();
    let stored = blobs.put_file_once("files", "", file.path(), File::open(file.path()).unwrap()).await.unwrap();
    assert!(blobs.exists(&stored.uri).await.unwrap());
}

pub(super) async fn what_is_missing_is_not_found_and_what_names_no_blob_is_refused(blobs: &Blobs) {
    let missing = "blob:scenes/ab/abcdef.svg";
    assert!(!blobs.exists(missing).await.unwrap());
    for error in [blobs.get(missing).await.unwrap_err(), blobs.size(missing).await.unwrap_err()] {
        assert!(matches!(&error, BlobsError::NotFound { uri } if uri == missing), "{error}");
    }
    for text in ["blob:../../../etc/passwd", "file:///etc/passwd", "blob:scenes/xx/abcdef"] {
        let error = blobs.get(text).await.unwrap_err();
        assert!(matches!(error, BlobsError::Invalid { .. }), "{error}");
        assert_eq!(blobs.address(text), None);
    }
}

pub(super) async fn many_at_once_are_all_there(blobs: &Blobs) {
    let name = |number: usize| format!("{number:06x}");
    let bytes = |number: usize| Bytes::from(vec![number as u8; 1 + number * 100]);
    let put = |number| async move { blobs.put_once("scenes", &name(number), "", bytes(number)).await.unwrap() };
    let uris = join_all((0..200).map(put)).await;
    for (number, uri) in uris.iter().enumerate() {
        assert!(blobs.get(uri).await.unwrap() == bytes(number), "{uri}");
    }
}

pub(super) async fn a_store_that_is_there_says_so(blobs: &Blobs) {
    blobs.check().await.unwrap();
}

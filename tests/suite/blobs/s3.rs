//! What only a server can do: be down, hang, lack the bucket, turn us away, be killed; and keep tenants apart.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use frameline_runtime::secret::Secret;
use frameline_stores::blobs::{Blobs, BlobsError, BucketSettings, BucketUrl, Login};
use frameline_tests::proxy::{Proxy, Weather};
use frameline_tests::s3::{ACCESS_KEY_ID, S3};

const PATIENCE: Duration = Duration::from_secs(60);

/// A prefix of the test's own, on the shared server.
pub(super) struct Side {
    blobs: Blobs,
}

impl super::Side for Side {
    fn open() -> Self {
        Self { blobs: Blobs::bucket(&S3::shared().settings()).unwrap() }
    }

    fn blobs(&self) -> &Blobs {
        &self.blobs
    }
}

#[track_caller]
fn unavailable(result: Result<impl Sized, BlobsError>) -> String {
    match result.map(drop) {
        Err(error @ (BlobsError::Unavailable { .. } | BlobsError::Refused { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Everything that a stage does, each with the words of its trouble.
pub(super) async fn troubles(blobs: &Blobs) -> Vec<String> {
    let mut large = tempfile::NamedTempFile::new().unwrap();
    large.write_all(&vec![7; 9 << 20]).unwrap();
    let file = || File::open(large.path()).unwrap();
    vec![
        unavailable(blobs.check().await),
        unavailable(blobs.get("blob:scenes/ab/abcdef").await),
        unavailable(blobs.put_once("scenes", "abcdef", "", Bytes::from_static(b"bytes")).await),
        unavailable(blobs.put_file_once("files", "", large.path(), file()).await),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_unavailable_with_where_it_is_set_and_no_key_is_shown() {
    for id in [ACCESS_KEY_ID, "nobody"] {
        let login = Some(Login { id: id.to_owned(), secret: Secret::new("wr0ng") });
        let blobs = Blobs::bucket(&BucketSettings { login, ..S3::shared().settings() }).unwrap();
        for text in troubles(&blobs).await {
            assert!(text.contains("blobs.secret_access_key_file") && text.contains("s3://"), "{text}");
            assert!(!text.contains("wr0ng"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_bucket_is_unavailable_and_not_a_missing_blob() {
    let url = BucketUrl::parse("s3://no-such-bucket/a").unwrap();
    let blobs = Blobs::bucket(&BucketSettings { url, ..S3::shared().settings() }).unwrap();
    for text in troubles(&blobs).await {
        assert!(text.contains("s3://no-such-bucket/a/fern") && text.contains("blobs.url"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_unavailable_and_comes_back_with_all_it_had() {
    let server = S3::start();
    let blobs = Blobs::bucket(&server.settings()).unwrap();
    let uri = blobs.put_once("scenes", "abc123", "", Bytes::from_static(b"kept")).await.unwrap();
    server.kill();
    for text in troubles(&blobs).await {
        assert!(text.contains("cannot be reached: see blobs.endpoint"), "{text}");
    }
    unavailable(blobs.sweep(Duration::ZERO).await);
    server.resume().unwrap();
    assert_eq!(blobs.get(&uri).await.unwrap(), "kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_unavailable_within_its_time() {
    let proxy = Proxy::start().unwrap();
    proxy.lead_to(S3::shared().port());
    let settings = BucketSettings {
        endpoint: Some(format!("http://127.0.0.1:{}", proxy.port())),
        timeout: Duration::from_secs(2),
        retries: 0,
        ..S3::shared().settings()
    };
    let blobs = Blobs::bucket(&settings).unwrap();
    proxy.set(Weather::Stalled);
    let began = Instant::now();
    for text in troubles(&blobs).await {
        assert!(text.contains("no answer in time") && text.contains("blobs.timeout"), "{text}");
    }
    assert!(began.elapsed() < Duration::from_secs(28), "{:?}", began.elapsed());
    proxy.set(Weather::Fair);
    blobs.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_its_own_place_in_the_bucket() {
    let settings = S3::shared().settings();
    let fern = Blobs::bucket(&settings).unwrap();
    let moss = Blobs::bucket(&BucketSettings { tenant: "moss".to_owned(), ..settings.clone() }).unwrap();
    let uri = fern.put_once("scenes", "abcdef", "", Bytes::from_static(b"fern's")).await.unwrap();
    assert_eq!(fern.address(&uri).unwrap(), format!("{}/fern/scenes/ab/abcdef", settings.url));
    assert_eq!(fern.local_path(&uri), None);
    assert!(!moss.exists(&uri).await.unwrap());
    moss.put_once("scenes", "abcdef", "", Bytes::from_static(b"moss's")).await.unwrap();
    assert_eq!(fern.get(&uri).await.unwrap(), "fern's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_writer_is_gone_is_ended_once_it_is_old() {
    let proxy = Proxy::start().unwrap();
    proxy.lead_to(S3::shared().port());
    let direct = S3::shared().settings();
    let slow = BucketSettings { endpoint: Some(format!("http://127.0.0.1:{}", proxy.port())), ..direct.clone() };
    let (slow, direct) = (Blobs::bucket(&slow).unwrap(), Blobs::bucket(&direct).unwrap());
    // A part takes several seconds.
    proxy.set(Weather::Slow(Duration::from_millis(20)));
    let writer = tokio::spawn(async move {
        let mut large = tempfile::NamedTempFile::new().unwrap();
        large.write_all(&vec![7; 64 << 20]).unwrap();
        slow.put_file_once("files", "", large.path(), File::open(large.path()).unwrap()).await
    });
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert_eq!(direct.sweep(Duration::from_secs(3_600)).await.unwrap(), 0, "it may be in use");
        if direct.sweep(Duration::ZERO).await.unwrap() == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "no upload began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.set(Weather::Fair);
    unavailable(writer.await.unwrap());
    assert_eq!(direct.sweep(Duration::ZERO).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_server_in_the_middle_loses_nothing_acknowledged_and_shows_nothing_half() {
    let server = S3::start();
    let settings = BucketSettings { retries: 0, ..server.settings() };
    let blobs = Blobs::bucket(&settings).unwrap();
    let mut acknowledged: Vec<(usize, String)> = Vec::new();
    let mut unfinished = 0;
    for round in 0..3 {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let writers = (0..4).map(|writer| {
            let (blobs, told) = (blobs.clone(), told.clone());
            tokio::spawn(async move {
                for step in 0.. {
                    let number = round * 1_000_000 + writer * 100_000 + step;
                    match put(&blobs, number).await {
                        Ok(uri) => told.send((number, uri)).unwrap(),
                        Err(error) => return unavailable(Err::<(), _>(error)),
                    }
                }
                unreachable!("it ends with an error")
            })
        });
        let writers: Vec<_> = writers.collect();
        drop(told);
        for _ in 0..60 {
            acknowledged.push(heard.recv().await.unwrap());
        }
        server.kill();
        for writer in writers {
            writer.await.unwrap();
        }
        while let Some(more) = heard.recv().await {
            acknowledged.push(more);
        }
        server.resume().unwrap();
        unfinished += blobs.sweep(Duration::ZERO).await.unwrap();
        for (number, uri) in &acknowledged {
            let bytes = blobs.get(uri).await.unwrap_or_else(|error| panic!("in round {round}: {error}"));
            assert!(bytes == content(*number), "{uri} has {} bytes in round {round}", bytes.len());
        }
        // What was not acknowledged may be there or not; doing it again is all that it takes.
        for writer in 0..4 {
            let number = round * 1_000_000 + writer * 100_000;
            let uri = put(&blobs, number).await.unwrap();
            assert!(blobs.get(&uri).await.unwrap() == content(number), "{uri}");
        }
    }
    assert_ne!(unfinished, 0, "no file was killed between its parts");
}

/// Every fifth is a file of two parts.
fn content(number: usize) -> Vec<u8> {
    let bytes = if number % 5 == 4 { 9 << 20 } else { 20_000 };
    let mut content = vec![(number % 251) as u8; bytes];
    content[..8].copy_from_slice(&(number as u64).to_le_bytes());
    content
}

async fn put(blobs: &Blobs, number: usize) -> Result<String, BlobsError> {
    let bytes = content(number);
    if bytes.len() < 1 << 20 {
        return blobs.put_once("scenes", &format!("{number:08}"), "", Bytes::from(bytes)).await;
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    Ok(blobs.put_file_once("files", "", file.path(), File::open(file.path()).unwrap()).await?.uri)
}

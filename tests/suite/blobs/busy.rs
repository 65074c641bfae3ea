//! A bucket that asks for fewer requests: what it takes is found, and whatever is refused all the same waits.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use frameline_runtime::Failure;
use frameline_runtime::stage::Class;
use frameline_stores::blobs::{Blobs, BlobsError, BucketSettings};
use frameline_tests::http;
use frameline_tests::s3::{S3, SECRET_ACCESS_KEY};
use futures::future::join_all;

use super::product::{add, config, is_paused, jobs_done, login};
use crate::process::{Product, Running, until};

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// The shared server behind a front that lets so many requests through at the same time, and refuses others as S3 does.
struct Front {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    most: AtomicUsize,
    under_way: AtomicUsize,
    taken: AtomicUsize,
    refused: AtomicUsize,
}

impl Front {
    /// On a thread of its own, which ends with the process.
    fn start(most: usize) -> Self {
        let counts = Arc::new(Counts { most: AtomicUsize::new(most), ..Counts::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let front = Self { port: listener.local_addr().unwrap().port(), counts };
        let (counts, to) = (Arc::clone(&front.counts), S3::shared().endpoint());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let client = reqwest::Client::new();
                let answer = move |request: Request| answer(request, client.clone(), to.clone(), Arc::clone(&counts));
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap();
            });
        });
        front
    }

    fn take(&self, most: usize) {
        self.counts.most.store(most, Ordering::SeqCst);
    }

    fn settings(&self) -> BucketSettings {
        BucketSettings { endpoint: Some(format!("http://127.0.0.1:{}", self.port)), ..S3::shared().settings() }
    }
}

async fn answer(request: Request, client: reqwest::Client, to: String, counts: Arc<Counts>) -> Response {
    let under_way = counts.under_way.fetch_add(1, Ordering::SeqCst);
    let answer = if under_way < counts.most.load(Ordering::SeqCst) {
        counts.taken.fetch_add(1, Ordering::SeqCst);
        pass_on(request, &client, &to).await
    } else {
        counts.refused.fetch_add(1, Ordering::SeqCst);
        // Whoever is still sending would see the connection close instead of the answer.
        axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
        (StatusCode::SERVICE_UNAVAILABLE, SLOW_DOWN).into_response()
    };
    counts.under_way.fetch_sub(1, Ordering::SeqCst);
    answer
}

/// As it is: the signature covers the name by which the front was asked, too.
async fn pass_on(request: Request, client: &reqwest::Client, to: &str) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let url = format!("{to}{}", head.uri);
    let answer = client.request(head.method, url).headers(head.headers).body(body).send().await.unwrap();
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove("transfer-encoding");
    (status, headers, Body::from(answer.bytes().await.unwrap())).into_response()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bucket_takes_is_found_and_it_is_hardly_ever_asked_for_more() {
    let front = Front::start(4);
    let blobs = Blobs::bucket(&BucketSettings { retries: 8, ..front.settings() }).unwrap();
    let writers = (0..32).map(|writer| {
        let blobs = blobs.clone();
        tokio::spawn(async move {
            for step in 0..16 {
                let name = format!("{writer:04}{step:04}");
                blobs.put_once("scenes", &name, "", Bytes::from(vec![7; 20_000])).await.unwrap();
            }
        })
    });
    join_all(writers.collect::<Vec<_>>()).await.into_iter().for_each(|writer| writer.unwrap());
    let [taken, refused] = [&front.counts.taken, &front.counts.refused].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(taken, 32 * 16);
    assert!(0 < refused && refused * 20 < taken, "{refused} were refused, and {taken} taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_bucket_is_too_busy_waits_and_the_stage_does_not() {
    let front = Front::start(0);
    let blobs = Blobs::bucket(&BucketSettings { retries: 1, ..front.settings() }).unwrap();
    let mut large = tempfile::NamedTempFile::new().unwrap();
    large.write_all(&vec![7; 9 << 20]).unwrap();
    let file = || File::open(large.path()).unwrap();
    for result in [
        blobs.check().await,
        blobs.get("blob:scenes/ab/abcdef").await.map(drop),
        blobs.put_once("scenes", "abcdef", "", Bytes::from_static(b"bytes")).await.map(drop),
        blobs.put_file_once("files", "", large.path(), file()).await.map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, BlobsError::Busy { .. }), "{error}");
        let failure = Failure::from(error);
        assert_eq!((failure.class, failure.code), (Class::Busy, "blobs"), "{}", failure.error);
    }
    front.take(usize::MAX);
    blobs.put_file_once("files", "", large.path(), file()).await.unwrap();
}

#[test]
fn a_bucket_that_is_too_busy_for_a_while_costs_no_record_and_pauses_no_stage() {
    let (front, product) = (Front::start(usize::MAX), Product::new());
    let more = login(&product, SECRET_ACCESS_KEY) + "retries = 0\n";
    let file = config(&product, &front.settings(), &more);
    let config = ["--config", file.as_str()];
    let mut service =
        Running::start(product.command(["up", "--json", "--listen", "127.0.0.1:0"].iter().chain(&config)));
    add(&product, &config);
    until("some files are done", || (jobs_done(&product, &config) >= 3).then_some(()));
    front.take(0);
    until("records wait for the bucket", || {
        (total(&service, "frameline_retries_total", "class=\"busy\"") >= 5.0).then_some(())
    });
    assert!(!is_paused(&service), "a stage waits for it");
    front.take(usize::MAX);
    add(&product, &["--wait", config[0], config[1]]);
    assert_eq!(total(&service, "frameline_dead_letters_total", ""), 0.0);
    assert_eq!(service.stop(), Some(0));
}

/// The sum of a metric over the samples that have this label.
fn total(service: &Running, metric: &str, label: &str) -> f64 {
    let (_, metrics) = http::get(service.ready["address"].as_str().unwrap(), "/metrics").unwrap();
    let samples = metrics.lines().filter(|line| line.starts_with(&format!("{metric}{{")) && line.contains(label));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

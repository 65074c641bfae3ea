//! What S3 is told: seen by a server that only looks at requests.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use frameline_runtime::secret::Secret;
use frameline_stores::blobs::{Blobs, BucketSettings, BucketUrl, Encryption, Login};

type Seen = Arc<Mutex<Vec<(Method, String, HeaderMap)>>>;

/// Stores nothing: it answers as S3 does, and keeps who asked for what.
async fn serve(seen: Seen) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: Request| answer(request, Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    format!("http://{address}")
}

async fn answer(request: Request, seen: Seen) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().to_string());
    seen.lock().unwrap().push((method.clone(), uri.clone(), request.headers().clone()));
    axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    match (method, uri.contains("uploads")) {
        (Method::HEAD, _) => axum::http::StatusCode::NOT_FOUND.into_response(),
        (Method::POST, true) => {
            "<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>".into_response()
        }
        (Method::POST, false) => {
            "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>".into_response()
        }
        _ => [("etag", "e")].into_response(),
    }
}

async fn told(encryption: Option<Encryption>) -> Vec<(Method, String, HeaderMap)> {
    let seen = Seen::default();
    let settings = BucketSettings {
        url: BucketUrl::parse("s3://bucket/prefix").unwrap(),
        tenant: "fern".to_owned(),
        endpoint: Some(serve(Arc::clone(&seen)).await),
        region: Some("eu-north-1".to_owned()),
        allow_http: true,
        ca_file: None,
        login: Some(Login { id: "id".to_owned(), secret: Secret::new("hunter2") }),
        encryption,
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(5),
        retries: 0,
    };
    let blobs = Blobs::bucket(&settings).unwrap();
    blobs.put_once("scenes", "abcdef", "svg", Bytes::from_static(b"bytes")).await.unwrap();
    let mut large = tempfile::NamedTempFile::new().unwrap();
    large.write_all(&vec![7; 9 << 20]).unwrap();
    blobs.put_file_once("files", "", large.path(), std::fs::File::open(large.path()).unwrap()).await.unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_is_put_on_the_condition_that_there_is_none_below_its_tenant_and_signed_for_its_region() {
    let seen = told(None).await;
    let (method, uri, headers) = &seen[0];
    assert_eq!((method, uri.as_str()), (&Method::PUT, "/bucket/prefix/fern/scenes/ab/abcdef.svg"));
    assert_eq!(header(headers, "if-none-match"), Some("*"));
    for (_, _, headers) in &seen {
        let signature = header(headers, "authorization").unwrap();
        assert!(signature.contains("/eu-north-1/s3/") && !signature.contains("hunter2"), "{signature}");
        assert_eq!(header(headers, "x-amz-server-side-encryption"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_stored_is_to_be_encrypted_as_configured() {
    let kms = |key_id: Option<&str>| Encryption::Kms { key_id: key_id.map(str::to_owned) };
    for (encryption, kind, key) in [
        (Encryption::Aes256, "AES256", None),
        (kms(None), "aws:kms", None),
        (kms(Some("arn:aws:kms:k")), "aws:kms", Some("arn:aws:kms:k")),
    ] {
        let seen = told(Some(encryption)).await;
        // S3 takes it with the object, and for an upload in parts with its beginning.
        let begun = seen.iter().filter(|(method, uri, _)| {
            (*method == Method::PUT && !uri.contains("partNumber"))
                || (*method == Method::POST && uri.contains("uploads"))
        });
        let begun: Vec<_> = begun.collect();
        assert_eq!(begun.len(), 2, "{seen:?}");
        for (_, uri, headers) in begun {
            assert_eq!(header(headers, "x-amz-server-side-encryption"), Some(kind), "{uri}");
            assert_eq!(header(headers, "x-amz-server-side-encryption-aws-kms-key-id"), key, "{uri}");
        }
    }
}

//! Uploads in parts that were never completed: S3 keeps their parts, and bills them, until somebody ends them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Location;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{Error, MultipartId, Result};
use roxmltree::{Document, Node};

/// How long a signed request is good for.
const SIGNED_FOR: Duration = Duration::from_secs(60);

/// The unfinished uploads of a bucket.
#[derive(Debug)]
pub(super) struct Uploads {
    store: Arc<AmazonS3>,
    http: HttpClient,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
struct Upload {
    key: String,
    id: MultipartId,
    initiated: SystemTime,
}

/// One answer of the bucket, and where the next one begins.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    uploads: Vec<Upload>,
    next: Option<Marker>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Marker {
    key: String,
    id: String,
}

impl Uploads {
    pub(super) fn new(store: Arc<AmazonS3>, http: HttpClient) -> Self {
        Self { store, http }
    }

    /// Ends those below `prefix` that began so long ago, and gives their number.
    pub(super) async fn abort_older(&self, prefix: &Location, quiet_for: Duration) -> Result<usize> {
        let prefix = format!("{prefix}/");
        let (mut aborted, mut marker) = (0, Some(Marker::default()));
        while let Some(from) = marker {
            let page = self.page(&prefix, &from).await?;
            // Looked at once more: whoever takes no notice of the prefix lists what is somebody else's.
            for upload in page.uploads.iter().filter(|upload| upload.key.starts_with(&prefix)) {
                let is_quiet = upload.initiated.elapsed().is_ok_and(|quiet| quiet >= quiet_for);
                if is_quiet && self.abort(upload).await? {
                    aborted += 1;
                }
            }
            marker = page.next.filter(|next| *next != from);
        }
        Ok(aborted)
    }

    /// Whether it was there to be ended: another process may have done so.
    async fn abort(&self, upload: &Upload) -> Result<bool> {
        match self.store.abort_multipart(&Location::parse(&upload.key)?, &upload.id).await {
            Ok(()) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The client for objects does not list uploads, but signs what does.
    async fn page(&self, prefix: &str, from: &Marker) -> Result<Page> {
        let mut query = vec![("uploads", ""), ("prefix", prefix)];
        if !from.key.is_empty() {
            query.extend([("key-marker", from.key.as_str()), ("upload-id-marker", from.id.as_str())]);
        }
        let signed = SignedUrlOptions::new().with_query(query);
        let url = self.store.signed_url_opts(Method::GET, &Location::default(), SIGNED_FOR, &signed).await?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(|error| unusable(&error))?;
        let (head, body) = self.http.execute(request).await.map_err(unreachable)?.into_parts();
        let body = body.bytes().await.map_err(unreachable)?;
        let text = String::from_utf8_lossy(&body);
        if !head.status.is_success() {
            return Err(unusable(&format!("the unfinished uploads cannot be listed: {} {text}", head.status)));
        }
        Page::parse(&text)
    }
}

impl Page {
    fn parse(text: &str) -> Result<Self> {
        let document = Document::parse(text).map_err(|error| unusable(&error))?;
        let root = document.root_element();
        let uploads = root.children().filter(|node| node.tag_name().name() == "Upload").filter_map(upload).collect();
        let marker = || {
            let key = child(root, "NextKeyMarker").filter(|key| !key.is_empty())?;
            Some(Marker { key: key.to_owned(), id: child(root, "NextUploadIdMarker").unwrap_or_default().to_owned() })
        };
        let is_truncated = child(root, "IsTruncated") == Some("true");
        Ok(Self { uploads, next: is_truncated.then(marker).flatten() })
    }
}

/// One whose beginning cannot be read may be at work: it stays.
fn upload(node: Node<'_, '_>) -> Option<Upload> {
    Some(Upload {
        key: child(node, "Key")?.to_owned(),
        id: child(node, "UploadId")?.to_owned(),
        initiated: humantime::parse_rfc3339(child(node, "Initiated")?).ok()?,
    })
}

fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| child.tag_name().name() == name)?.text()
}

fn unreachable(error: object_store::client::HttpError) -> Error {
    Error::Generic { store: "S3", source: Box::new(error) }
}

fn unusable(reason: &dyn std::fmt::Display) -> Error {
    Error::Generic { store: "S3", source: reason.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_uploads_and_where_the_next_one_begins() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>b</Bucket><NextKeyMarker>a/2</NextKeyMarker><NextUploadIdMarker>two</NextUploadIdMarker>
              <IsTruncated>true</IsTruncated>
              <Upload><Key>a/1</Key><UploadId>one</UploadId><Initiated>1970-01-01T00:00:07.000Z</Initiated></Upload>
              <Upload><Key>a/2</Key><UploadId>two</UploadId><Initiated>soon</Initiated></Upload>
            </ListMultipartUploadsResult>"#;
        let page = Page::parse(text).unwrap();
        let initiated = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        assert_eq!(page.uploads, [Upload { key: "a/1".to_owned(), id: "one".to_owned(), initiated }]);
        assert_eq!(page.next, Some(Marker { key: "a/2".to_owned(), id: "two".to_owned() }));
        assert_eq!(Page::parse(&text.replace("true", "false")).unwrap().next, None);
        assert!(Page::parse("<html>").is_err());
    }
}

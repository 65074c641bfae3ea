//! Blobs: what is too big for a record, written once under the hash that names it.
//!
//! A blob's uri is `blob:AREA/ab/abcdef….png`. It says nothing of where the bytes lie, so that a folder can
//! become a bucket without a record being rewritten. Whoever finds a blob finds all of it, also after a killed
//! process: in a [`folder`] it is staged under another name and gets its own in one step, and a [`bucket`] shows
//! nothing of an object before it has all of it.

mod bucket;
mod folder;
mod limited;
mod source;
mod trouble;
mod uploads;
mod uri;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frameline_runtime::Failure;
use frameline_runtime::metric::{BLOB_BYTES, BLOB_CALLS, timed};
use metrics::counter;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use thiserror::Error;

pub use bucket::{BucketSettings, BucketUrl, Encryption, Login, Provider};

use bucket::Bucket;
use source::Source;
use trouble::{Kind, Trouble};
use uri::Uri;

/// Why a blob cannot be had or stored.
#[derive(Debug, Error)]
pub enum BlobsError {
    /// No such blob, and waiting brings none.
    #[error("there is no blob {uri}")]
    NotFound {
        /// What was asked for.
        uri: String,
    },
    /// This names no blob.
    #[error("`{uri}` names no blob: {reason}")]
    Invalid {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store cannot be used just now, for any blob.
    #[error("blobs in {place} cannot be used: {reason}")]
    Unavailable {
        /// The folder or bucket.
        place: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The bucket has more to do than it can; try again, with less at the same time.
    #[error("blobs in {place} have too much to do: {reason}")]
    Busy {
        /// The bucket.
        place: String,
        /// Its own words.
        reason: String,
    },
    /// The bucket is not there, or does not let us in: waiting alone brings nothing.
    #[error("blobs in {place} cannot be used: {reason}")]
    Refused {
        /// The bucket.
        place: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A file changed while it was stored. Nothing was stored; try again.
    #[error("{} changed while it was read", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file that shall be stored cannot be read.
    #[error("{} cannot be read: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

/// The store is down for every record, or has too much to do, or this blob is no good for this one.
impl From<BlobsError> for Failure {
    fn from(error: BlobsError) -> Self {
        match error {
            BlobsError::Unavailable { .. } | BlobsError::Refused { .. } => Failure::unavailable("blobs", error),
            BlobsError::Busy { .. } => Failure::busy("blobs", error),
            _ => Failure::permanent("blob", error),
        }
    }
}

/// A file that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its blob.
    pub uri: String,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub hash: String,
    /// How many bytes.
    pub size_bytes: u64,
}

/// The store of blobs. Clones share it.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    place: Arc<Place>,
}

/// Where they lie.
#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Bucket(Bucket),
}

impl Blobs {
    /// Blobs in a folder, which is created where it is missing. Its file system must know hard links.
    pub fn folder(root: &Path) -> Result<Self, BlobsError> {
        let unavailable = |reason: String| BlobsError::Unavailable { place: root.display().to_string(), reason };
        let (store, root) = folder::open(root).map_err(unavailable)?;
        Ok(Self { store: Arc::new(store), place: Arc::new(Place::Folder(root)) })
    }

    /// Blobs of one tenant in a bucket, which has to be there. Nothing is sent yet: [`Blobs::check`] asks it.
    pub fn bucket(settings: &BucketSettings) -> Result<Self, BlobsError> {
        let unavailable = |reason: String| BlobsError::Unavailable { place: settings.url.to_string(), reason };
        let (store, bucket) = bucket::open(settings).map_err(unavailable)?;
        Ok(Self { store, place: Arc::new(Place::Bucket(bucket)) })
    }

    /// Whether the store is there and lets us in; the error says what to see to.
    pub async fn check(&self) -> Result<(), BlobsError> {
        match &*self.place {
            Place::Folder(root) => folder::check(root).map_err(|error| self.unavailable_as(folder::advice(&error))),
            Place::Bucket(bucket) => match self.store.get(&bucket.nothing()).await {
                Err(error) if !trouble::is_plainly_missing(&error) => Err(self.unavailable(&error)),
                _ => Ok(()),
            },
        }
    }

    /// The uri that [`Blobs::put_once`] gives.
    pub fn uri(area: &str, hash: &str, extension: &str) -> Result<String, BlobsError> {
        Ok(Uri::new(area, hash, extension)?.to_string())
    }

    /// Stores bytes under `AREA/ab/HASH.EXTENSION` and gives their uri. `hash` is of the bytes, or of all that they
    /// follow from. The first of a name stays.
    pub async fn put_once(&self, area: &str, hash: &str, extension: &str, bytes: Bytes) -> Result<String, BlobsError> {
        let uri = Uri::new(area, hash, extension)?;
        let size_bytes = bytes.len() as u64;
        match self.put(&uri, bytes.clone(), PutMode::Create).await {
            Ok(()) => {}
            Err(object_store::Error::AlreadyExists { .. }) => {
                let there = self.size_at(&uri).await?;
                if self.place.must_be_replaced(there, size_bytes) {
                    self.put(&uri, bytes, PutMode::Overwrite).await.map_err(|error| self.unavailable(&error))?;
                }
            }
            Err(error) => return Err(self.unavailable(&error)),
        }
        Ok(uri.to_string())
    }

    /// Stores an open file, which lies at `path`, under the hash of its bytes. Holds 8 MiB of it in memory at most.
    ///
    /// A larger file is read once to name it, and once more to store it where it is new; what is stored has that hash.
    pub async fn put_file_once(
        &self,
        area: &str,
        extension: &str,
        path: &Path,
        file: File,
    ) -> Result<StoredFile, BlobsError> {
        let (source, hash, whole) = Source::new(path, file)?.hash().await?;
        let hash = hash.to_string();
        let uri = Uri::new(area, &hash, extension)?;
        let size_bytes = source.size_bytes();
        if self.size_at(&uri).await? != Some(size_bytes) {
            match whole {
                Some(bytes) => {
                    self.put(&uri, bytes, PutMode::Overwrite).await.map_err(|error| self.unavailable(&error))?;
                }
                None => self.upload(&uri, source, &hash).await?,
            }
        }
        Ok(StoredFile { uri: uri.to_string(), hash, size_bytes })
    }

    /// The bytes of a blob.
    pub async fn get(&self, uri: &str) -> Result<Bytes, BlobsError> {
        let uri = Uri::parse(uri)?;
        let place = self.place.location(&uri);
        let read = async { self.store.get(&place).await?.bytes().await };
        let bytes = timed(BLOB_CALLS, "get", read, outcome).await.map_err(|error| self.read_error(&uri, &error))?;
        count_bytes("get", bytes.len());
        Ok(bytes)
    }

    /// Whether a blob is there.
    pub async fn exists(&self, uri: &str) -> Result<bool, BlobsError> {
        Ok(self.size_at(&Uri::parse(uri)?).await?.is_some())
    }

    /// How many bytes a blob has.
    pub async fn size(&self, uri: &str) -> Result<u64, BlobsError> {
        self.size_at(&Uri::parse(uri)?).await?.ok_or_else(|| BlobsError::NotFound { uri: uri.to_owned() })
    }

    /// Where a blob lies, or would lie, as a file on this machine. None of a bucket's does.
    pub fn local_path(&self, uri: &str) -> Option<PathBuf> {
        let Place::Folder(root) = &*self.place else { return None };
        Uri::parse(uri).ok().map(|uri| root.join(uri.path()))
    }

    /// Where a person finds a blob: the path of a file, or the URL of an object.
    pub fn address(&self, uri: &str) -> Option<String> {
        Uri::parse(uri).ok().map(|uri| format!("{}/{}", self.place, uri.path()))
    }

    /// Removes what killed processes left unfinished, and gives the number of blobs. Whatever was touched within
    /// `quiet_for` stays: another process may be writing it. Looks at every name of a folder once: meant for the
    /// start of a service.
    pub async fn sweep(&self, quiet_for: Duration) -> Result<usize, BlobsError> {
        match &*self.place {
            Place::Folder(root) => {
                let root = root.clone();
                let swept = tokio::task::spawn_blocking(move || folder::sweep(&root, quiet_for)).await;
                swept
                    .map_err(|error| self.unavailable_as(error.to_string()))?
                    .map_err(|error| self.unavailable_as(folder::advice(&error)))
            }
            Place::Bucket(bucket) => bucket.sweep(quiet_for).await.map_err(|error| self.unavailable(&error)),
        }
    }

    async fn put(&self, uri: &Uri, bytes: Bytes, mode: PutMode) -> object_store::Result<()> {
        let (place, size_bytes) = (self.place.location(uri), bytes.len());
        let write = self.store.put_opts(&place, bytes.into(), PutOptions::from(mode));
        timed(BLOB_CALLS, "put", write, outcome).await?;
        count_bytes("put", size_bytes);
        Ok(())
    }

    async fn upload(&self, uri: &Uri, mut source: Source, hash: &str) -> Result<(), BlobsError> {
        source.rewind()?;
        let place = self.place.location(uri);
        let mut upload = self.store.put_multipart(&place).await.map_err(|error| self.unavailable(&error))?;
        let copied = loop {
            let (rest, part) = match source.next_part().await {
                Ok(next) => next,
                Err(error) => break Err(error),
            };
            source = rest;
            if part.is_empty() {
                break source.check_end(hash);
            }
            let size_bytes = part.len();
            if let Err(error) = timed(BLOB_CALLS, "put", upload.put_part(part.into()), outcome).await {
                break Err(self.unavailable(&error));
            }
            count_bytes("put", size_bytes);
        };
        if let Err(error) = copied {
            // The error that counts is the first one; what cannot be removed now is swept later.
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.complete().await.map(drop).map_err(|error| self.unavailable(&error))
    }

    async fn size_at(&self, uri: &Uri) -> Result<Option<u64>, BlobsError> {
        let place = self.place.location(uri);
        match timed(BLOB_CALLS, "head", self.store.head(&place), outcome).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    fn read_error(&self, uri: &Uri, error: &object_store::Error) -> BlobsError {
        let is_missing = match &*self.place {
            Place::Folder(_) => matches!(error, object_store::Error::NotFound { .. }),
            Place::Bucket(_) => trouble::is_plainly_missing(error),
        };
        if is_missing {
            return BlobsError::NotFound { uri: uri.to_string() };
        }
        self.unavailable(error)
    }

    /// Writing has no other trouble: what it lacks is the place.
    fn unavailable(&self, error: &object_store::Error) -> BlobsError {
        let place = self.place.to_string();
        match &*self.place {
            Place::Folder(_) => BlobsError::Unavailable { place, reason: folder::reason(error) },
            Place::Bucket(_) => {
                let Trouble { reason, kind } = trouble::of(error);
                match kind {
                    Kind::Passing => BlobsError::Unavailable { place, reason },
                    Kind::Busy => BlobsError::Busy { place, reason },
                    Kind::Refusal => BlobsError::Refused { place, reason },
                }
            }
        }
    }

    fn unavailable_as(&self, reason: String) -> BlobsError {
        BlobsError::Unavailable { place: self.place.to_string(), reason }
    }
}

impl Place {
    fn location(&self, uri: &Uri) -> Location {
        match self {
            Place::Folder(_) => Location::from(uri.path()),
            Place::Bucket(bucket) => bucket.location(uri),
        }
    }

    /// Whether a blob has to be written although another writer came first. A power cut may tear a file that was
    /// just written, which its size tells; an object is whole, or its writer came to nothing after all.
    fn must_be_replaced(&self, there_bytes: Option<u64>, size_bytes: u64) -> bool {
        match self {
            Place::Folder(_) => there_bytes != Some(size_bytes),
            Place::Bucket(_) => there_bytes.is_none(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Folder(root) => root.display().fmt(formatter),
            Place::Bucket(bucket) => formatter.write_str(bucket.url()),
        }
    }
}

/// How a call ended that was not simply good: what the store did not have, or had already, is no fault of it.
fn outcome(error: &object_store::Error) -> &'static str {
    match error {
        object_store::Error::AlreadyExists { .. } => "exists",
        object_store::Error::NotFound { .. } => "missing",
        _ => "error",
    }
}

fn count_bytes(operation: &'static str, bytes: usize) {
    counter!(BLOB_BYTES.name, "operation" => operation).increment(bytes as u64);
}

#[cfg(test)]
mod tests;

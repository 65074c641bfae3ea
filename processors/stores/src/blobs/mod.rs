//! Blobs: what is too big for a record, written once under the hash that names it.
//!
//! A blob's uri is `blob:AREA/ab/abcdef….png`. It says nothing of where the bytes lie, so that a folder can
//! become a bucket without a record being rewritten. A blob is staged under another name and gets its own in
//! one step: whoever finds it finds all of it, also after a killed process. A power cut may tear the newest;
//! writing it again notices its size and replaces it.

mod source;
mod uri;

use std::error::Error as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frameline_runtime::Failure;
use frameline_runtime::metric::{BLOB_BYTES, BLOB_CALLS, timed};
use metrics::counter;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use thiserror::Error;

use source::Source;
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

/// The store is down for every record, or this blob is no good for this one.
impl From<BlobsError> for Failure {
    fn from(error: BlobsError) -> Self {
        match error {
            BlobsError::Unavailable { .. } => Failure::unavailable("blobs", error),
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
    place: Arc<Path>,
}

impl Blobs {
    /// Blobs in a folder, which is created where it is missing. Its file system must know hard links.
    pub fn folder(root: &Path) -> Result<Self, BlobsError> {
        let unavailable = |reason: String| BlobsError::Unavailable { place: root.display().to_string(), reason };
        if root.to_str().is_none() {
            return Err(unavailable("its name is not UTF-8; choose another folder".to_owned()));
        }
        fs::create_dir_all(root).map_err(|error| unavailable(advice(&error)))?;
        let place = fs::canonicalize(root).map_err(|error| unavailable(advice(&error)))?;
        let store = LocalFileSystem::new_with_prefix(&place).map_err(|error| unavailable(error.to_string()))?;
        Ok(Self { store: Arc::new(store), place: place.into() })
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
                if self.size_at(&uri).await? != Some(size_bytes) {
                    self.put(&uri, bytes, PutMode::Overwrite).await.map_err(|error| self.error(&uri, error))?;
                }
            }
            Err(error) => return Err(self.error(&uri, error)),
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
                    self.put(&uri, bytes, PutMode::Overwrite).await.map_err(|error| self.error(&uri, error))?;
                }
                None => self.upload(&uri, source, &hash).await?,
            }
        }
        Ok(StoredFile { uri: uri.to_string(), hash, size_bytes })
    }

    /// The bytes of a blob.
    pub async fn get(&self, uri: &str) -> Result<Bytes, BlobsError> {
        let uri = Uri::parse(uri)?;
        let place = location(&uri);
        let read = async { self.store.get(&place).await?.bytes().await };
        let bytes = timed(BLOB_CALLS, "get", read, outcome).await.map_err(|error| self.error(&uri, error))?;
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

    /// Where a blob lies, or would lie, as a file on this machine.
    pub fn local_path(&self, uri: &str) -> Option<PathBuf> {
        Uri::parse(uri).ok().map(|uri| self.place.join(uri.path()))
    }

    /// Removes what killed processes left staged, and gives the number of files. Whatever was touched within
    /// `quiet_for` stays: another process may be writing it. Looks at every name once: meant for the start of a service.
    pub async fn sweep(&self, quiet_for: Duration) -> Result<usize, BlobsError> {
        let place = self.place.clone();
        let swept = tokio::task::spawn_blocking(move || sweep(&place, quiet_for)).await;
        let unavailable = |reason: String| BlobsError::Unavailable { place: self.place.display().to_string(), reason };
        swept.map_err(|error| unavailable(error.to_string()))?.map_err(|error| unavailable(advice(&error)))
    }

    async fn put(&self, uri: &Uri, bytes: Bytes, mode: PutMode) -> object_store::Result<()> {
        let (place, size_bytes) = (location(uri), bytes.len());
        let write = self.store.put_opts(&place, bytes.into(), PutOptions::from(mode));
        timed(BLOB_CALLS, "put", write, outcome).await?;
        count_bytes("put", size_bytes);
        Ok(())
    }

    async fn upload(&self, uri: &Uri, mut source: Source, hash: &str) -> Result<(), BlobsError> {
        source.rewind()?;
        let mut upload = self.store.put_multipart(&location(uri)).await.map_err(|error| self.error(uri, error))?;
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
                break Err(self.error(uri, error));
            }
            count_bytes("put", size_bytes);
        };
        if let Err(error) = copied {
            // The error that counts is the first one; what cannot be removed now is swept later.
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.complete().await.map(drop).map_err(|error| self.error(uri, error))
    }

    async fn size_at(&self, uri: &Uri) -> Result<Option<u64>, BlobsError> {
        let place = location(uri);
        match timed(BLOB_CALLS, "head", self.store.head(&place), outcome).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(uri, error)),
        }
    }

    fn error(&self, uri: &Uri, error: object_store::Error) -> BlobsError {
        if matches!(error, object_store::Error::NotFound { .. }) {
            return BlobsError::NotFound { uri: uri.to_string() };
        }
        let reason = io_error(&error).map_or_else(|| error.to_string(), advice);
        BlobsError::Unavailable { place: self.place.display().to_string(), reason }
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

fn location(uri: &Uri) -> Location {
    Location::from(uri.path())
}

fn io_error(error: &object_store::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref::<io::Error>() {
            return Some(found);
        }
        source = inner.source();
    }
    None
}

fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("no space is left there; free some, and work goes on ({error})")
        }
        io::ErrorKind::PermissionDenied => format!("this user may not write there; give it the folder ({error})"),
        io::ErrorKind::ReadOnlyFilesystem => format!("it is mounted read-only ({error})"),
        _ => error.to_string(),
    }
}

/// Staged files are named like their blob with `#` and a number behind; no uri has a `#`.
fn sweep(root: &Path, quiet_for: Duration) -> io::Result<usize> {
    let mut swept = 0;
    for area in folders(root)? {
        for shard in folders(&area)? {
            for entry in fs::read_dir(shard)? {
                let entry = entry?;
                let is_staged = entry.file_name().as_encoded_bytes().contains(&b'#');
                if is_staged && is_quiet(&entry, quiet_for) && fs::remove_file(entry.path()).is_ok() {
                    swept += 1;
                }
            }
        }
    }
    Ok(swept)
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// A file that vanishes meanwhile was another process's, and is done.
fn is_quiet(entry: &fs::DirEntry, quiet_for: Duration) -> bool {
    let touched = entry.metadata().and_then(|metadata| metadata.modified());
    touched.is_ok_and(|touched| touched.elapsed().is_ok_and(|quiet| quiet >= quiet_for))
}

#[cfg(test)]
mod tests;

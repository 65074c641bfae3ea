//! A file on its way into the store: read in parts, hashed on the way, watched for changes.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use blake3::{Hash, Hasher};
use bytes::Bytes;

use super::BlobsError;

/// Object stores take parts of 5 MiB and more.
const PART_BYTES: u64 = 8 << 20;

/// An open file. It is the same one to its end, or [`BlobsError::Changed`].
pub(super) struct Source {
    path: PathBuf,
    file: File,
    stamp: Stamp,
    hasher: Hasher,
    read_bytes: u64,
}

/// What changes when a file is written to, or another one takes its place.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Source {
    pub(super) fn new(path: &Path, file: File) -> Result<Self, BlobsError> {
        let path = path.to_path_buf();
        match file.metadata() {
            Ok(metadata) => Ok(Self { path, file, stamp: Stamp::of(&metadata), hasher: Hasher::new(), read_bytes: 0 }),
            Err(reason) => Err(BlobsError::Unreadable { path, reason }),
        }
    }

    /// How long it was when it was opened.
    pub(super) fn size_bytes(&self) -> u64 {
        self.stamp.size_bytes
    }

    /// Reads it to the end for its hash, and keeps its bytes where they are no more than a part.
    pub(super) async fn hash(self) -> Result<(Self, Hash, Option<Bytes>), BlobsError> {
        let (mut source, first) = self.next_part().await?;
        let is_whole = source.read_bytes == source.stamp.size_bytes;
        if !is_whole {
            (source, ()) = blocking(source, Source::hash_rest).await?;
        }
        source.check_unchanged()?;
        let hash = source.hasher.finalize();
        Ok((source, hash, is_whole.then_some(first)))
    }

    fn hash_rest(&mut self) -> io::Result<()> {
        let rest_bytes = self.bytes_to_read();
        self.hasher.update_reader((&self.file).take(rest_bytes))?;
        self.read_bytes = self.hasher.count();
        Ok(())
    }

    /// One byte more than is left: enough to see that a file grows, and no more where it never stops growing.
    fn bytes_to_read(&self) -> u64 {
        self.stamp.size_bytes.saturating_add(1).saturating_sub(self.read_bytes)
    }

    /// The next part; an empty one is the end.
    pub(super) async fn next_part(self) -> Result<(Self, Bytes), BlobsError> {
        blocking(self, |source| {
            let part_bytes = source.bytes_to_read().min(PART_BYTES);
            let mut part = Vec::with_capacity(usize::try_from(part_bytes).unwrap_or_default());
            (&source.file).take(part_bytes).read_to_end(&mut part)?;
            source.hasher.update(&part);
            source.read_bytes += part.len() as u64;
            Ok(Bytes::from(part))
        })
        .await
    }

    /// Back to the beginning.
    pub(super) fn rewind(&mut self) -> Result<(), BlobsError> {
        self.hasher.reset();
        self.read_bytes = 0;
        self.file.rewind().map_err(|reason| BlobsError::Unreadable { path: self.path.clone(), reason })
    }

    /// At the end: whether it was the same all the time, and what was read has this hash.
    pub(super) fn check_end(&self, hash: &str) -> Result<(), BlobsError> {
        self.check_unchanged()?;
        if self.hasher.finalize().to_string() != hash {
            return Err(BlobsError::Changed { path: self.path.clone() });
        }
        Ok(())
    }

    fn check_unchanged(&self) -> Result<(), BlobsError> {
        // Asked by path, not by handle: a file that was put in place of this one is a change too.
        let is_same = fs::metadata(&self.path).is_ok_and(|metadata| Stamp::of(&metadata) == self.stamp);
        if !is_same || self.read_bytes != self.stamp.size_bytes {
            return Err(BlobsError::Changed { path: self.path.clone() });
        }
        Ok(())
    }
}

/// Reads away from the threads that drive everything else.
async fn blocking<T: Send + 'static>(
    mut source: Source,
    read: impl FnOnce(&mut Source) -> io::Result<T> + Send + 'static,
) -> Result<(Source, T), BlobsError> {
    let path = source.path.clone();
    let done = tokio::task::spawn_blocking(move || read(&mut source).map(|result| (source, result))).await;
    done.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
        .map_err(|reason| BlobsError::Unreadable { path, reason })
}

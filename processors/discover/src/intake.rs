//! One file on its way in: opened without risk, stored by its hash, made an offer to the catalogue.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use frameline_runtime::moment::ms_since_1970;
use frameline_stores::blobs::BlobsError;
use frameline_stores::jobs::{FileContent, Offer, Offered};

use crate::report::Refusal;
use crate::{Discover, DiscoverError, NAME, name, walk};

/// The blobs' area for the contents of files.
const AREA: &str = "files";

/// The code of the one refusal that makes a job.
pub(crate) const TOO_LARGE: &str = "too-large";

/// What came of a file.
pub(crate) enum Taken {
    /// Its content is among the blobs, or it has one that will not be taken.
    Offer(Offer),
    /// It cannot be read.
    Refused(Refusal),
}

impl Discover {
    /// Takes a file's content in; one that changes meanwhile is tried again.
    pub(crate) async fn take_in(&self, path: &Path) -> Result<Taken, DiscoverError> {
        let mut attempts = 1;
        loop {
            match self.store(path).await {
                Err(DiscoverError::Blobs(BlobsError::Changed { .. })) if attempts < self.settings.changing_attempts => {
                    attempts += 1;
                    tokio::time::sleep(self.settings.changing_pause).await;
                }
                Err(DiscoverError::Blobs(BlobsError::Changed { .. })) => {
                    let reason = format!(
                        "still changing: it was another file in each of {attempts} readings; add it when it is written"
                    );
                    return Ok(Taken::Refused(Refusal::new("still-changing", reason)));
                }
                Err(DiscoverError::Blobs(BlobsError::Unreadable { reason, .. })) => {
                    return Ok(Taken::Refused(Refusal::of(&reason)));
                }
                result => return result,
            }
        }
    }

    async fn store(&self, path: &Path) -> Result<Taken, DiscoverError> {
        let found_at = SystemTime::now();
        let (file, metadata) = match open(path) {
            Ok(Opened::File(file, metadata)) => (file, metadata),
            Ok(Opened::Special) => return Ok(Taken::Refused(walk::special())),
            Err(error) => return Ok(Taken::Refused(Refusal::of(&error))),
        };
        let limit_bytes = self.settings.largest_file_bytes;
        let (what, size_bytes) = if metadata.len() > limit_bytes {
            (too_large(metadata.len(), limit_bytes), metadata.len())
        } else {
            let stored = self.blobs.put_file_once(AREA, "", path, file).await?;
            (Offered::Content(FileContent { uri: stored.uri, hash: stored.hash }), stored.size_bytes)
        };
        Ok(Taken::Offer(Offer {
            tenant: self.settings.tenant.clone(),
            path: name::bytes(path).to_vec(),
            name: name::display(path),
            size_bytes: i64::try_from(size_bytes).unwrap_or(i64::MAX),
            modified_at_ms: metadata.modified().map_or(0, ms_since_1970),
            discovered_at_ms: ms_since_1970(found_at),
            what,
        }))
    }
}

enum Opened {
    File(File, Metadata),
    Special,
}

/// Opening a pipe waits for its other end, and opening a device can do anything, so the type is looked at first,
/// and again once it is open: the path may have become something else in between.
fn open(path: &Path) -> io::Result<Opened> {
    if !path.symlink_metadata()?.is_file() {
        return Ok(Opened::Special);
    }
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    Ok(if metadata.is_file() { Opened::File(file, metadata) } else { Opened::Special })
}

fn too_large(size_bytes: u64, limit_bytes: u64) -> Offered {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    Offered::Refused {
        stage: NAME.to_owned(),
        reason_code: TOO_LARGE.to_owned(),
        reason: format!("it has {:.1} MB, and the limit is {:.1} MB", megabytes(size_bytes), megabytes(limit_bytes)),
    }
}

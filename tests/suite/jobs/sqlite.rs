//! The side in one file.

use std::path::PathBuf;
use std::sync::Arc;

use frameline_stores::jobs::{FilesAndJobs, SqliteJobs};
use tempfile::TempDir;

/// A file of the test's own.
pub(super) struct Side {
    store: Arc<SqliteJobs>,
    folder: TempDir,
}

impl Side {
    /// Orders that are tried.
    pub(super) const CASES: u32 = 24;

    fn path(&self) -> PathBuf {
        self.folder.path().join("jobs.db")
    }
}

impl super::Side for Side {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
        Self { store, folder }
    }

    fn store(&self) -> Arc<dyn FilesAndJobs> {
        self.store.clone()
    }

    async fn once_more(&self) -> Arc<dyn FilesAndJobs> {
        Arc::new(SqliteJobs::open(&self.path()).await.unwrap())
    }
}

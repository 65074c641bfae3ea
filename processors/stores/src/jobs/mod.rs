//! Jobs and files: what every job has come to, and which revision of which file was handed over.
//!
//! Two ports, which one database serves, so that a revision and its job appear together:
//!
//! - [`Catalogue`] is where files are found, changed and deleted. A hand-over is an outbox: the revision is
//!   written as pending, its record is appended to the log, the revision is marked sent. A crash between any two
//!   of these leaves a pending revision, which is appended again; the same revision twice is harmless.
//! - [`JobStore`] folds the progress that the stages tell into the state of jobs. Facts are a union under the
//!   key of job, stage, step and unit, so their order and their repeats do not matter; [`status`] says what they
//!   add up to.
//!
//! Both are in one SQLite file, or in PostgreSQL; what is written and decided is the same code for both.

mod catalogue;
mod changes;
pub mod postgres;
mod schema;
mod sql;
mod sqlite;
pub mod status;

use std::collections::BTreeMap;

use async_trait::async_trait;
use frameline_schemas::{Outcome, Progress, Step};
use thiserror::Error;
use uuid::Uuid;

pub use catalogue::{Decision, FileContent, FileEntry, HandOver, Offer, Offered};
pub use changes::{Change, Changes};
pub use postgres::PostgresJobs;
pub use schema::{Schema, Step as SchemaStep};
pub use sqlite::SqliteJobs;
pub use status::{JobState, StageCounts};

/// The files that are known, and which of their revisions was handed over.
#[async_trait]
pub trait Catalogue: Send + Sync + 'static {
    /// Decides on offered files, in their order, all or none, and writes what follows: new revisions, pending,
    /// with their jobs. One decision for each offer.
    async fn offer(&self, offers: &[Offer]) -> Result<Vec<Decision>, StoreError>;

    /// Revisions whose records may be missing from the log, at most `limit` of them; only those that were found at or
    /// before `found_by_ms`, in milliseconds since 1970: younger ones are probably just being handed over.
    async fn pending(&self, found_by_ms: i64, limit: usize) -> Result<Vec<FileEntry>, StoreError>;

    /// The records of these revisions, as file and revision, are in the log.
    async fn sent(&self, revisions: &[(Uuid, i64)]) -> Result<(), StoreError>;

    /// The file at a path.
    async fn file(&self, tenant: &str, path: &[u8]) -> Result<Option<FileEntry>, StoreError>;

    /// Files anywhere below a folder that are not deleted, or whose deletion may be missing from the log,
    /// in the order of their paths: at most `limit` of them, from the one after the path `after` on.
    async fn files_below(
        &self,
        tenant: &str,
        folder: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, StoreError>;

    /// The newest revision of each of these files that is known.
    async fn newest_revisions(&self, files: &[Uuid]) -> Result<BTreeMap<Uuid, i64>, StoreError>;

    /// All files, deleted ones among them, in the order of their ids: at most `limit` of them, from the one after
    /// `after` on.
    async fn files_after(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<FileEntry>, StoreError>;

    /// How many files there are.
    async fn file_counts(&self) -> Result<FileCounts, StoreError>;
}

/// Files and jobs in one database.
pub trait FilesAndJobs: Catalogue + JobStore {}

impl<T: Catalogue + JobStore> FilesAndJobs for T {}

/// What jobs have come to.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Takes in what stages told, all or none. Order and repeats do not matter, in one call or over many.
    async fn fold(&self, progress: &[Progress]) -> Result<(), StoreError>;

    /// The job with this id, or the only one whose id begins so.
    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError>;

    /// The newest jobs, the newest first.
    async fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError>;

    /// Which of these jobs have not ended.
    async fn unfinished(&self, jobs: &[Uuid]) -> Result<Vec<Uuid>, StoreError>;

    /// What of a job was skipped or failed, the whole file before its units, failures before skips.
    async fn troubles(&self, job_id: Uuid, limit: usize) -> Result<Vec<Trouble>, StoreError>;

    /// How many jobs are in each state; a state without jobs is missing.
    async fn job_counts(&self) -> Result<BTreeMap<JobState, u64>, StoreError>;

    /// How many jobs were made before `before_ms`, in milliseconds since 1970, and have not ended.
    async fn overdue(&self, before_ms: i64) -> Result<u64, StoreError>;

    /// Removes jobs that ended before `before_ms`, in milliseconds since 1970, with all that was told of them: at most
    /// `limit` or a few hundred of them. Gives how many. A failed job of its file's newest revision stays, whenever it
    /// ended: it is why the same content is taken again when it is offered again.
    async fn remove_ended(&self, before_ms: i64, limit: usize) -> Result<usize, StoreError>;

    /// What happens to jobs from now on, whichever process brings it about. Any number of readers may follow.
    async fn changes(&self) -> Result<Changes, StoreError>;
}

/// Why the store cannot answer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Not just now.
    #[error("the job store {place} cannot be used: {reason}")]
    Unavailable {
        /// The file or server.
        place: String,
        /// Why, and what to do.
        reason: String,
    },
    /// It does not let us in, or there is no such database: waiting alone brings nothing.
    #[error("the job store {place} cannot be used: {reason}")]
    Refused {
        /// The server.
        place: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Its contents are broken.
    #[error("the job store {place} is damaged: {reason}")]
    Damaged {
        /// The file or server.
        place: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// It was not brought up to date.
    #[error("the job store {place} has version {found}, and this program needs {known}")]
    Older {
        /// The file or server.
        place: String,
        /// Its version; 0 where nothing was ever made.
        found: i64,
        /// The one that is needed.
        known: i64,
    },
    /// A newer program wrote it.
    #[error("the job store {place} has version {found}, and this program knows {known}: use the newer program")]
    Newer {
        /// The file or server.
        place: String,
        /// Its version.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// The beginning of an id names several jobs.
    #[error("{count} jobs begin with `{prefix}`; give more of the id")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many jobs it names.
        count: usize,
    },
}

/// What to do about a store that is damaged.
const NEW_START: &str = "put a backup of its whole folder back, or stop frameline, move the folder away, and add the \
     files again: the index beside it counts on the revisions that it knows";

/// A job as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub job_id: Uuid,
    /// The file that it brings in, or takes out.
    pub file_id: Uuid,
    /// The file's revision.
    pub revision: i64,
    /// The file's path as a person knows it.
    pub name: String,
    /// What it has come to.
    pub state: JobState,
    /// How far it is, 0 to 100; 100 once it has ended.
    pub percent: u8,
    /// In milliseconds since 1970.
    pub created_at_ms: i64,
    /// When something last happened to it, in milliseconds since 1970.
    pub updated_at_ms: i64,
    /// Frames expected, once that is known.
    pub frames: Option<i32>,
    /// Passages expected, once that is known.
    pub passages: Option<i32>,
    /// What each stage did with the job's units; a stage that has not begun is missing.
    pub stages: BTreeMap<String, StageCounts>,
    /// Why it failed or was skipped by a stage; `None` for any other state.
    pub trouble: Option<Trouble>,
    /// The revision that took its place before it had ended.
    pub superseded_by: Option<i64>,
}

/// Something of a job that was skipped or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The stage that says so.
    pub stage: String,
    /// The whole file, a unit, or the end.
    pub step: Step,
    /// The unit, where it is one.
    pub unit_id: Option<Uuid>,
    /// Skipped or failed.
    pub outcome: Outcome,
    /// One of few values, for counting.
    pub reason_code: String,
    /// For a person.
    pub reason: String,
    /// In milliseconds since 1970.
    pub at_ms: i64,
}

/// How many files are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileCounts {
    /// All that are not deleted.
    pub files: u64,
    /// Those whose newest revision waits to be handed over, deletions among them.
    pub pending: u64,
    /// Those that were deleted.
    pub deleted: u64,
}

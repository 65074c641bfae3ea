//! The file: its tables, its connections, and what its errors mean.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use frameline_sqlite::{Transaction, code, result_code};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use super::wakes::{News, Wakes};
use crate::log::LogError;

/// How long a writer waits for one of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the commits of other processes are looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const READERS: u32 = 4;

/// `FRLG`, so that a file of somebody else is not taken for a log.
const APPLICATION_ID: i64 = 0x4652_4c47;
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");

/// An open log file.
pub(super) struct Store {
    file: PathBuf,
    /// One connection: the writers of this process queue up here, in order, instead of trying their luck with
    /// the file's lock. And SQLite's `data_version` on it tells of the commits of others alone.
    writer: SqlitePool,
    readers: SqlitePool,
    wakes: Wakes,
}

/// What a file turned out to be.
enum Found {
    Log,
    OtherRelease(i64),
    Foreign,
}

impl Store {
    /// Opens a log file, and makes it where there is none.
    pub(super) async fn open(file: &Path) -> Result<Arc<Self>, LogError> {
        // In WAL mode `normal` waits for the disk at checkpoints, not at every commit. A killed process loses
        // nothing. A power cut may take the newest commits away, each as a whole, outputs and positions alike:
        // what comes after them is done again, and doing it again is harmless.
        let options = frameline_sqlite::options(file)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("journal_size_limit", "67108864");
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(2 * BUSY_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        // A reader stops when it has enough bytes, and the rows that run ahead of it are in memory.
        let readers = pool(READERS).connect_lazy_with(options.clone().row_buffer_size(32));
        let store = Arc::new(Self {
            file: file.to_owned(),
            writer: pool(1).connect_lazy_with(options),
            readers,
            wakes: Wakes::default(),
        });
        store.prepare_in_turn().await?;
        tokio::spawn(watch_others(Arc::downgrade(&store)));
        Ok(store)
    }

    /// Makes the file, or finds out why that cannot be.
    async fn prepare_in_turn(&self) -> Result<(), LogError> {
        let file = self.file.display();
        let refusal = match frameline_sqlite::when_free(|| self.prepare()).await {
            Ok(Found::Log) => return Ok(()),
            Ok(Found::OtherRelease(version)) => format!(
                "{file} was written by another release of frameline (its tables have version {version}, this release \
                 reads {SCHEMA_VERSION}); start that release, or name another data directory"
            ),
            Ok(Found::Foreign) => format!("{file} is no log of frameline; name another data directory"),
            Err(error) => self.explain(&error),
        };
        Err(LogError::Refused(refusal))
    }

    /// Makes the tables where there are none.
    async fn prepare(&self) -> Result<Found, sqlx::Error> {
        let mut transaction = self.begin().await?;
        let (application, version, tables): (i64, i64, i64) = sqlx::query_as(
            "select (select application_id from pragma_application_id), (select user_version from pragma_user_version),
                    (select count(*) from sqlite_schema)",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let found = match (application, version, tables) {
            (APPLICATION_ID, SCHEMA_VERSION, _) => Found::Log,
            (APPLICATION_ID, ..) => Found::OtherRelease(version),
            (0, 0, 0) => {
                sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
                Found::Log
            }
            _ => Found::Foreign,
        };
        transaction.commit().await?;
        Ok(found)
    }

    /// A transaction that writes: alone from its first statement on.
    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Transaction::begin(&self.writer).await
    }

    /// Connections to read with, beside the writer.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Where it lies.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The members of this process that wait for commits.
    pub(super) fn wakes(&self) -> &Wakes {
        &self.wakes
    }

    async fn commits_of_others(&self) -> Result<i64, sqlx::Error> {
        let (version,) = sqlx::query_as("pragma data_version").fetch_one(&self.writer).await?;
        Ok(version)
    }

    /// An error as the caller of the log sees it.
    pub(super) fn log_error(&self, error: &sqlx::Error) -> LogError {
        let text = self.explain(error);
        if is_damage(error) { LogError::Refused(text) } else { LogError::Unavailable(text) }
    }

    /// What happened to the file, and what to do about it.
    pub(super) fn explain(&self, error: &sqlx::Error) -> String {
        let file = self.file.display();
        if is_damage(error) {
            return format!(
                "{file} is damaged ({error}); put a backup of its whole folder back, or stop all that uses the folder, \
                 move it away, and add the files again: what lies beside the log counts on it"
            );
        }
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return format!("too many wait for {file}; another process may keep it locked: end it if it hangs");
        }
        match result_code(error) {
            Some(code::FULL) => format!("no space is left on the disk of {file}; free some, and it goes on by itself"),
            Some(code::BUSY | code::LOCKED) => {
                format!("another process keeps {file} locked ({error}); end it if it hangs")
            }
            Some(code::CANNOT_OPEN) => {
                format!("{file} cannot be opened ({error}); see that its folder exists and may be written to")
            }
            Some(code::READ_ONLY | code::PERMISSION) => {
                format!("{file} may not be written to ({error}); see to its owner and its mode")
            }
            Some(code::INPUT_OUTPUT) => {
                format!("{file} cannot be read or written ({error}); see whether its disk is full or fails")
            }
            _ => format!("{file}: {error}"),
        }
    }
}

/// Wakes the members of this process when another one committed something.
async fn watch_others(store: Weak<Store>) {
    let mut seen = None;
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let Some(store) = store.upgrade() else { return };
        if store.wakes.is_empty() {
            continue;
        }
        // An error is for those to tell who wanted something of the file.
        let Ok(version) = store.commits_of_others().await else { continue };
        if seen.replace(version) != Some(version) {
            store.wakes.tell(&News::Elsewhere);
        }
    }
}

/// Values that no commit of ours ever wrote are damage as well.
fn is_damage(error: &sqlx::Error) -> bool {
    matches!(result_code(error), Some(code::CORRUPT | code::NOT_A_DATABASE))
        || matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
}

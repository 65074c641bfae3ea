//! Jobs and files in one SQLite file, which several processes may have open.
//!
//! Writers take the file's one write lock at the beginning of their transaction, so that what they decide on is
//! what they write over. Whoever follows changes looks every now and then whether somebody has committed.

mod changes;
mod connection;

use std::path::Path;
use std::sync::Arc;

use frameline_sqlite::{Transaction, code, result_code};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{Sqlite, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use super::changes::{Changes, Hub};
use super::schema::{Schema, Step};
use super::sql::{Database, Work};
use super::{NEW_START, StoreError};

/// The schema, step by step; a released step is never changed.
const STEPS: [Step; 2] = [
    Step { name: "files_jobs_facts", sql: include_str!("0001_files_jobs_facts.sql") },
    Step { name: "redrives", sql: include_str!("0002_redrives.sql") },
];

const CONNECTIONS: u32 = 4;

/// The catalogue and the job store in a file. Clones share it.
#[derive(Debug, Clone)]
pub struct SqliteJobs {
    pool: SqlitePool,
    place: Arc<str>,
    hub: Hub,
}

impl SqliteJobs {
    /// Opens the file, creates it where it is missing, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let store = Self::at(path, true);
        let steps = STEPS.map(|step| step.sql);
        let version = frameline_sqlite::migrate(&store.pool, &steps).await.map_err(|error| store.error(error))?;
        store.schema_of(version).refuse_newer()?;
        Ok(store)
    }

    /// How far the schema of the file is; 0 where there is none. Nothing is changed.
    pub async fn schema(path: &Path) -> Result<Schema, StoreError> {
        let store = Self::at(path, false);
        if !path.exists() {
            return Ok(store.schema_of(0));
        }
        let found = sqlx::query_as("pragma user_version").fetch_one(&store.pool).await;
        let (version,): (i64,) = found.map_err(|error| store.error(error))?;
        store.pool.close().await;
        Ok(store.schema_of(version))
    }

    fn at(path: &Path, create: bool) -> Self {
        let options = frameline_sqlite::options(path).synchronous(SqliteSynchronous::Full).create_if_missing(create);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_lazy_with(options);
        Self { pool, place: path.display().to_string().into(), hub: Hub::default() }
    }

    fn schema_of(&self, version: i64) -> Schema {
        Schema { place: self.place.to_string(), version, steps: &STEPS }
    }

    /// Closes it in order. Without this nothing is lost either.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn error(&self, error: sqlx::Error) -> StoreError {
        let place = self.place.to_string();
        match fault(&error) {
            Fault::Passing(advice) => StoreError::Unavailable { place, reason: format!("{advice} ({error})") },
            Fault::Lasting => StoreError::Damaged { place, reason: format!("{error}; {NEW_START}") },
        }
    }
}

impl Database for SqliteJobs {
    type Connection = sqlx::SqliteConnection;
    type Kept = PoolConnection<Sqlite>;

    const FILES_BELOW: &'static str = "select * from files where tenant = $1 and path > $2 and path < $3 \
         and (is_pending or not is_deleted) order by path limit $4";

    async fn connection(&self) -> sqlx::Result<PoolConnection<Sqlite>> {
        self.pool.acquire().await
    }

    async fn write<W: Work>(&self, work: &W) -> sqlx::Result<W::Done> {
        let mut transaction = Transaction::begin(&self.pool).await?;
        let done = work.run(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done)
    }

    /// The file's locks have a time of their own, and a disk answers or fails.
    async fn answer<T: Send>(&self, asked: impl Future<Output = sqlx::Result<T>> + Send) -> Result<T, StoreError> {
        asked.await.map_err(|error| self.error(error))
    }

    async fn listen(&self) -> Result<Changes, StoreError> {
        self.hub.subscribe(changes::begin(self)).await
    }
}

enum Fault {
    Passing(&'static str),
    Lasting,
}

fn fault(error: &sqlx::Error) -> Fault {
    match (error, result_code(error)) {
        (_, Some(code::PERMISSION | code::READ_ONLY | code::AUTHORIZATION)) => {
            Fault::Passing("this user may not write it")
        }
        (_, Some(code::BUSY | code::LOCKED | code::PROTOCOL)) => Fault::Passing("another process keeps it locked"),
        (_, Some(code::OUT_OF_MEMORY)) => Fault::Passing("the machine is out of memory"),
        (_, Some(code::INTERRUPTED)) => Fault::Passing("it was interrupted"),
        (_, Some(code::INPUT_OUTPUT)) => Fault::Passing("its disk cannot be read or written"),
        (_, Some(code::FULL)) => Fault::Passing("its disk is full; free some space, and work goes on"),
        (_, Some(code::CANNOT_OPEN)) => {
            Fault::Passing("it cannot be opened; its folder must be there, and this user's")
        }
        (sqlx::Error::Database(_) | sqlx::Error::Decode(_), _) => Fault::Lasting,
        (sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_), _) => Fault::Lasting,
        _ => Fault::Passing("it does not answer"),
    }
}

#[cfg(test)]
mod tests;

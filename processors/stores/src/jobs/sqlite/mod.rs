//! Jobs and files in one SQLite file, which several processes may have open.
//!
//! Writers take the file's one write lock at the beginning of their transaction, so that what they decide on is
//! what they write over. The SQL is kept to what PostgreSQL understands too.

mod files;
mod fold;
mod jobs;
mod rows;

use std::path::Path;
use std::sync::Arc;

use frameline_sqlite::{code, result_code};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use super::StoreError;

/// The schema, step by step; a released step is never changed.
const MIGRATIONS: [&str; 2] = [include_str!("0001_files_jobs_facts.sql"), include_str!("0002_redrives.sql")];

const CONNECTIONS: u32 = 4;

/// The catalogue and the job store in a file. Clones share it.
#[derive(Debug, Clone)]
pub struct SqliteJobs {
    pool: SqlitePool,
    place: Arc<str>,
}

impl SqliteJobs {
    /// Opens the file, creates it where it is missing, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = frameline_sqlite::options(path).synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_lazy_with(options);
        let store = Self { pool, place: path.display().to_string().into() };
        let version = frameline_sqlite::migrate(&store.pool, &MIGRATIONS).await.map_err(|error| store.error(error))?;
        let known = MIGRATIONS.len() as i64;
        if version > known {
            return Err(StoreError::Newer { place: store.place.to_string(), found: version, known });
        }
        Ok(store)
    }

    /// Closes it in order. Without this nothing is lost either.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn error(&self, error: sqlx::Error) -> StoreError {
        let place = self.place.to_string();
        match fault(&error) {
            Fault::Passing(advice) => StoreError::Unavailable { place, reason: format!("{advice} ({error})") },
            Fault::Lasting => StoreError::Damaged { place, reason: error.to_string() },
        }
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

//! Vectors in one SQLite file, which several processes may have open: `sqlite-vec` beside FTS5.
//!
//! A query's vector is compared with all of a tenant: coarsely first, by vectors whose values are bytes, then exactly
//! with the nearest of these. That is fast enough for about 100,000 units.

mod blocks;
mod error;
mod extension;
mod rows;
mod search;
mod side;
#[cfg(test)]
mod tests;
mod worth;
mod write;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use frameline_schemas::Embedding;
use frameline_sqlite::Transaction;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use uuid::Uuid;

use super::{Counts, Floor, Hit, Query, Stored, Vectors, VectorsError, check_point, check_query, stored};
use error::Place;
use write::Rules;

/// The schema, step by step; a released step is never changed.
const MIGRATIONS: [&str; 2] = [include_str!("0001_units.sql"), include_str!("0002_blocks.sql")];

/// A search reads on three of them at the same time.
const READERS: u32 = 6;

/// The index in a file. Clones share it.
#[derive(Debug, Clone)]
pub struct SqliteVectors {
    readers: SqlitePool,
    /// One connection: writers of this process stand in line here instead of trying for the file's lock.
    writer: SqlitePool,
    place: Place,
    rules: Rules,
}

impl SqliteVectors {
    /// Opens the file, creates it where it is missing, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, VectorsError> {
        extension::register()?;
        let options = frameline_sqlite::options(path).synchronous(SqliteSynchronous::Full);
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .after_connect(|connection, _| Box::pin(extension::rank_words(connection)))
            .connect_lazy_with(options.clone());
        let writer = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
        let place = Place(Arc::from(path.display().to_string()));
        let vectors = Self { readers, writer, place, rules: Rules::Kept };
        let version = frameline_sqlite::migrate(&vectors.writer, &MIGRATIONS)
            .await
            .map_err(|error| vectors.place.error(&error))?;
        let known = MIGRATIONS.len() as i64;
        if version > known {
            return Err(VectorsError::Refused(format!(
                "the vector index {} has version {version}, and this program knows {known}: use the newer program",
                vectors.place.0
            )));
        }
        Ok(vectors)
    }

    /// The same without the revision rules: for the fault harness, which has to notice.
    pub fn without_revision_rules(self) -> Self {
        Self { rules: Rules::Ignored, ..self }
    }

    /// Closes it in order. Without this nothing is lost either.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

#[async_trait]
impl Vectors for SqliteVectors {
    async fn upsert(&self, points: &[Embedding]) -> Result<(), VectorsError> {
        points.iter().try_for_each(check_point)?;
        let all = async {
            let mut transaction = Transaction::begin(&self.writer).await?;
            for point in points {
                write::upsert(&mut transaction, point, self.rules).await?;
            }
            transaction.commit().await
        };
        all.await.map_err(|error| self.place.error(&error))
    }

    async fn finish(&self, ends: &[(Uuid, Floor)]) -> Result<u64, VectorsError> {
        let all = async {
            let mut transaction = Transaction::begin(&self.writer).await?;
            let mut removed = 0;
            for (file_id, floor) in ends {
                removed += write::raise_floor(&mut transaction, *file_id, *floor).await?;
            }
            transaction.commit().await?;
            Ok(removed)
        };
        all.await.map_err(|error| self.place.error(&error))
    }

    async fn floors(&self, files: &[Uuid]) -> Result<Vec<Option<Floor>>, VectorsError> {
        rows::floors(&self.readers, files).await.map_err(|error| self.place.error(&error))
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>, VectorsError> {
        check_query(query)?;
        search::search(&self.readers, query).await.map_err(|error| self.place.error(&error))
    }

    async fn counts(&self) -> Result<Counts, VectorsError> {
        rows::counts(&self.readers).await.map_err(|error| self.place.error(&error))
    }

    async fn dump(&self) -> Result<Vec<Stored>, VectorsError> {
        let points = rows::all(&self.readers).await.map_err(|error| self.place.error(&error))?;
        Ok(points.iter().map(stored).collect())
    }
}

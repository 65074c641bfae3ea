//! A transaction that survives what SQLite does to it.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection};

/// A transaction that writes. Dropped without a commit, it leaves nothing behind.
///
/// SQLite takes a transaction back by itself when the disk is full; sqlx's own transactions then lose count, and
/// their connection never begins another. So a connection is closed when its transaction was not committed.
pub struct Transaction {
    connection: PoolConnection<Sqlite>,
    committed: bool,
}

impl Transaction {
    /// Has the file's write lock from its beginning: what it decides on is what it writes over.
    pub async fn begin(pool: &SqlitePool) -> sqlx::Result<Self> {
        let mut transaction = Self { connection: pool.acquire().await?, committed: false };
        sqlx::query("begin immediate").execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Makes it visible, all of it; after an error nothing of it is.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        sqlx::query("commit").execute(&mut *self).await?;
        self.committed = true;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.committed {
            self.connection.close_on_drop();
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;

    use super::*;

    /// What SQLite does by itself on a full disk, a statement does here.
    #[tokio::test]
    async fn a_transaction_that_sqlite_took_back_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let pool =
            SqlitePoolOptions::new().max_connections(1).connect_lazy_with(crate::options(&folder.path().join("file")));
        let mut lost = Transaction::begin(&pool).await.unwrap();
        sqlx::query("create table lost (id)").execute(&mut *lost).await.unwrap();
        sqlx::query("rollback").execute(&mut *lost).await.unwrap();
        assert!(lost.commit().await.is_err());

        let mut next = Transaction::begin(&pool).await.unwrap();
        sqlx::query("create table kept (id)").execute(&mut *next).await.unwrap();
        next.commit().await.unwrap();
        let names: Vec<(String,)> = sqlx::query_as("select name from sqlite_schema").fetch_all(&pool).await.unwrap();
        assert_eq!(names, [("kept".to_owned(),)]);
    }
}

//! What all SQLite files of the product share: how they are opened, written and brought up to date, and what
//! SQLite's result codes are called.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod transaction;

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use sqlx::{AssertSqlSafe, ConnectOptions};

pub use transaction::Transaction;

/// How long a statement waits for another process's transaction.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a new file is tried again while another process makes it.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// SQLite's primary result codes: <https://www.sqlite.org/rescode.html>.
pub mod code {
    /// The file's mode keeps this user out.
    pub const PERMISSION: i32 = 3;
    /// Another process has the file's lock.
    pub const BUSY: i32 = 5;
    /// Another connection of this process has a table's lock.
    pub const LOCKED: i32 = 6;
    /// There is no memory left.
    pub const OUT_OF_MEMORY: i32 = 7;
    /// This user may not write the file.
    pub const READ_ONLY: i32 = 8;
    /// The statement was interrupted.
    pub const INTERRUPTED: i32 = 9;
    /// The disk failed.
    pub const INPUT_OUTPUT: i32 = 10;
    /// The file is damaged.
    pub const CORRUPT: i32 = 11;
    /// The disk is full.
    pub const FULL: i32 = 13;
    /// The file cannot be opened.
    pub const CANNOT_OPEN: i32 = 14;
    /// The file's locks were contended for too long.
    pub const PROTOCOL: i32 = 15;
    /// The authorizer refused.
    pub const AUTHORIZATION: i32 = 23;
    /// The file is none of SQLite's.
    pub const NOT_A_DATABASE: i32 = 26;
}

/// A file that several processes may have open; it is made where it is missing. What statements need in between stays
/// in memory: no folder for temporary files has to be there, be writable, or have space.
pub fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

/// The primary result code of an error that SQLite gave, see [`code`].
pub fn result_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|extended| extended & 0xff)
}

/// Whether somebody else had a lock for longer than one waits.
pub fn is_busy(error: &sqlx::Error) -> bool {
    matches!(result_code(error), Some(code::BUSY | code::LOCKED))
}

/// Does what makes a new file, again while another process makes the same file: SQLite's busy timeout does not cover
/// the change of a new file to write-ahead logging.
pub async fn when_free<T, F>(make: impl Fn() -> F) -> sqlx::Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    let give_up = Instant::now() + BUSY_TIMEOUT;
    loop {
        match make().await {
            Err(error) if is_busy(&error) && Instant::now() < give_up => tokio::time::sleep(BUSY_PAUSE).await,
            result => return result,
        }
    }
}

/// Brings the schema up to date, and gives its version. A released step is never changed.
pub async fn migrate(pool: &SqlitePool, steps: &[&'static str]) -> sqlx::Result<i64> {
    when_free(|| take_steps(pool, steps)).await
}

async fn take_steps(pool: &SqlitePool, steps: &[&'static str]) -> sqlx::Result<i64> {
    let mut transaction = Transaction::begin(pool).await?;
    let (version,): (i64,) = sqlx::query_as("pragma user_version").fetch_one(&mut *transaction).await?;
    let mut reached = version;
    for (sql, step) in steps.iter().zip(1i64..).filter(|(_, step)| *step > version) {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("pragma user_version = {step}"))).execute(&mut *transaction).await?;
        reached = step;
    }
    transaction.commit().await?;
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;

    use super::*;

    /// SQLite removes the name of such a file as soon as it has opened it.
    fn open_temporary_files() -> usize {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let places = open.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
        places.filter(|place| place.to_string_lossy().contains("etilqs_")).count()
    }

    /// More than SQLite keeps in memory by itself: rows in between, and the pages that a statement has changed.
    #[tokio::test]
    async fn what_statements_need_in_between_is_in_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options(&folder.path().join("file")));
        let mut connection = pool.acquire().await.unwrap();
        let much = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
            select i, randomblob(4000) as bytes from n";
        for sql in [
            format!("create temp table in_between as {much}"),
            format!("create table kept as {much}"),
            "begin".to_owned(),
            "update kept set bytes = zeroblob(4000) returning i".to_owned(),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
            assert_eq!(open_temporary_files(), 0);
        }
    }
}

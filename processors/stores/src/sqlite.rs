//! What the SQLite files of the stores share: how they are opened, written and brought up to date.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Sqlite, Transaction};

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a new file is tried again while another process makes it.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Another process has the file's lock: <https://www.sqlite.org/rescode.html>.
pub(crate) const BUSY: i32 = 5;

/// A file that several processes may have open; it is made where it is missing.
pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// SQLite's primary result code: <https://www.sqlite.org/rescode.html>.
pub(crate) fn result_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|extended| extended & 0xff)
}

/// A transaction that has the file's write lock from its beginning: what it decides on is what it writes over.
pub(crate) async fn write(pool: &SqlitePool) -> sqlx::Result<Transaction<'static, Sqlite>> {
    pool.begin_with("begin immediate").await
}

/// Brings the schema up to date, and gives its version. Two processes may make the file at the same time: SQLite's
/// busy timeout does not cover the change of a new file to write-ahead logging.
pub(crate) async fn migrate(pool: &SqlitePool, migrations: &[&'static str]) -> sqlx::Result<i64> {
    let give_up = Instant::now() + BUSY_TIMEOUT;
    loop {
        match take_steps(pool, migrations).await {
            Err(error) if result_code(&error) == Some(BUSY) && Instant::now() < give_up => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            result => return result,
        }
    }
}

async fn take_steps(pool: &SqlitePool, migrations: &[&'static str]) -> sqlx::Result<i64> {
    let mut transaction = write(pool).await?;
    let (version,): (i64,) = sqlx::query_as("pragma user_version").fetch_one(&mut *transaction).await?;
    let mut reached = version;
    for (sql, step) in migrations.iter().zip(1i64..).filter(|(_, step)| *step > version) {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("pragma user_version = {step}"))).execute(&mut *transaction).await?;
        reached = step;
    }
    transaction.commit().await?;
    Ok(reached)
}

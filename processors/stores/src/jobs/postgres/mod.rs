//! Jobs and files in PostgreSQL, which any number of processes on any number of machines share.
//!
//! - A transaction that writes first takes a lock on each file that it is about, in one order: what it decides on is
//!   what it writes over, and no two of ours ever wait for each other. Should it run into somebody else's locks, it is
//!   done again. The server ends it where it takes longer than an answer may.
//! - A connection that is lost, or an answer that does not come, is [`StoreError::Unavailable`]. What was committed and
//!   not answered is done again by whoever asked, and again is harmless.
//! - What happens to a job is told by `NOTIFY` in the transaction that brings it about. A process has one connection
//!   that listens, however many readers it has.

mod changes;
mod connection;
mod fault;
mod migrate;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions, Postgres};
use uuid::Uuid;

pub use settings::{PostgresSettings, TlsMode};

use self::fault::{is_contention, store_error};
use super::StoreError;
use super::changes::{Changes, Hub};
use super::sql::{Database, Work};

/// Where changes are told.
const CHANNEL: &str = "frameline_jobs";
/// How often a transaction is tried that runs into somebody else's locks.
const ATTEMPTS: u32 = 8;
/// How long it waits before it is tried once more; twice that the next time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The catalogue and the job store in a database. Clones share it.
#[derive(Debug, Clone)]
pub struct PostgresJobs {
    pool: PgPool,
    settings: Arc<PostgresSettings>,
    hub: Hub,
}

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The server's version, such as `15.14`.
    pub server: String,
    /// Connections that it has now, of whoever.
    pub connections: u64,
    /// Connections that it lets in.
    pub connections_limit: u64,
}

impl PostgresJobs {
    /// Connects. A database that lacks migrations is refused, and so is one that has more than are known here.
    ///
    /// # Errors
    /// [`StoreError::Older`], [`StoreError::Newer`], [`StoreError::Unavailable`].
    pub async fn open(settings: &PostgresSettings) -> Result<Self, StoreError> {
        Self::schema(settings).await?.refuse_other()?;
        let options = settings.options().map_err(|error| store_error(settings, error))?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections)
            .acquire_timeout(settings.connect_timeout)
            .connect_lazy_with(options);
        Ok(Self { pool, settings: Arc::new(settings.clone()), hub: Hub::default() })
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn about(&self) -> Result<About, StoreError> {
        let ask = async {
            let select = "select current_setting('server_version'), \
                 (select count(*) from pg_stat_activity where backend_type = 'client backend'), \
                 current_setting('max_connections')::bigint";
            let told: (String, i64, i64) = sqlx::query_as(select).fetch_one(&self.pool).await?;
            Ok(told)
        };
        let (server, connections, limit) = self.answer(ask).await?;
        Ok(About { server, connections: connections.unsigned_abs(), connections_limit: limit.unsigned_abs() })
    }

    /// Closes its connections in order. Without this nothing is lost either.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn try_to_write<W: Work>(&self, work: &W, locks: &[i64]) -> sqlx::Result<W::Done> {
        let mut transaction = self.pool.begin_with(AssertSqlSafe(begin(self.settings.timeout))).await?;
        lock(&mut transaction, locks).await?;
        let done = work.run(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done)
    }
}

impl Database for PostgresJobs {
    type Connection = PgConnection;
    type Kept = PoolConnection<Postgres>;

    /// By the part of the path that is indexed, and then by all of it.
    const FILES_BELOW: &'static str = "select * from files where tenant = $1 \
         and substr(path, 1, 1024) >= substr($2, 1, 1024) and substr(path, 1, 1024) <= substr($3, 1, 1024) \
         and path > $2 and path < $3 and (is_pending or not is_deleted) \
         order by substr(path, 1, 1024), path limit $4";

    async fn connection(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.pool.acquire().await
    }

    async fn write<W: Work>(&self, work: &W) -> sqlx::Result<W::Done> {
        let locks = locks_of(work.files());
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.try_to_write(work, &locks).await {
                Err(error) if is_contention(&error) => tracing::debug!(%error, "a transaction is tried once more"),
                result => return result,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.try_to_write(work, &locks).await
    }

    /// A connection of which nothing is heard any more must not hold up its stage for ever.
    async fn answer<T: Send>(&self, asked: impl Future<Output = sqlx::Result<T>> + Send) -> Result<T, StoreError> {
        match tokio::time::timeout(self.settings.timeout, asked).await {
            Ok(answered) => answered.map_err(|error| store_error(&self.settings, error)),
            Err(_) => Err(fault::silence(&self.settings)),
        }
    }

    async fn listen(&self) -> Result<Changes, StoreError> {
        self.hub.subscribe(changes::begin(Arc::clone(&self.settings))).await
    }
}

/// Begins a transaction that the server itself ends when it takes too long. A client that vanishes without a word is
/// missed only by TCP's keepalive, after two hours, and its locks would be held until then; one that has given up waiting
/// would leave a connection that waits on. It is said anew for each transaction, in the message that begins it: PgBouncer
/// refuses a connection that asks for it at its start, and migrations may take as long as they take.
fn begin(timeout: Duration) -> String {
    let longest_ms = timeout.as_millis().clamp(2, 1 << 30);
    // Whoever waits for a lock hears of it before the answer as a whole is late.
    let lock_ms = longest_ms / 2;
    format!(
        "begin; set local lock_timeout = {lock_ms}; set local statement_timeout = {longest_ms}; \
         set local idle_in_transaction_session_timeout = {longest_ms}"
    )
}

/// The locks of files, each once, in the order in which everybody takes them. An id is a hash, and so is its beginning:
/// two files that share a lock now and then do no harm.
fn locks_of(files: Vec<Uuid>) -> Vec<i64> {
    let mut locks: Vec<i64> = files.into_iter().map(|file_id| file_id.as_u64_pair().0.cast_signed()).collect();
    locks.sort_unstable();
    locks.dedup();
    locks
}

/// Takes locks, in their order, until the end of the transaction. There is one for each file of a batch, and the server
/// has room for some 6,000 as it comes.
async fn lock(connection: &mut PgConnection, locks: &[i64]) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_xact_lock(lock) from unnest($1) as lock")
        .bind(locks)
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_once_each_and_in_one_order() {
        let [a, b] = [Uuid::from_u128(1 << 64), Uuid::from_u128(2 << 64)];
        assert_eq!(locks_of(vec![b, a, b]), [1, 2]);
        assert_eq!(locks_of(vec![a, b]), [1, 2]);
    }

    #[test]
    fn no_limit_of_a_transaction_is_0_which_would_be_none_nor_more_than_the_server_takes() {
        assert!(begin(Duration::from_millis(1)).contains("lock_timeout = 1;"));
        assert!(begin(Duration::MAX).contains("statement_timeout = 1073741824;"));
        assert!(begin(Duration::from_secs(30)).ends_with("idle_in_transaction_session_timeout = 30000"));
    }
}

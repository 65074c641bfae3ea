//! Noticing that somebody has committed, whichever process it was.

use std::time::Duration;

use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::broadcast;

use super::SqliteJobs;
use crate::jobs::StoreError;
use crate::jobs::changes::{Change, Hear};

/// How often one looks. It reads one number.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A connection that never writes, and what it saw last.
pub(super) struct Watch {
    connection: SqliteConnection,
    version: i64,
}

/// What is committed from now on is noticed.
pub(super) async fn begin(store: &SqliteJobs) -> Result<Watch, StoreError> {
    let begun = async {
        let mut connection = store.pool.connect_options().connect().await?;
        let version = version(&mut connection).await?;
        Ok((connection, version))
    };
    let (connection, version) = begun.await.map_err(|error| store.error(error))?;
    Ok(Watch { connection, version })
}

impl Hear for Watch {
    async fn hear(mut self, readers: broadcast::Sender<Change>) {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            match version(&mut self.connection).await {
                Ok(version) if version == self.version => continue,
                Ok(version) => self.version = version,
                Err(error) => tracing::debug!(%error, "changes cannot be noticed just now"),
            }
            // Nobody may be reading.
            let _ = readers.send(Change::Any);
        }
    }
}

/// Another number whenever another connection has committed: <https://www.sqlite.org/pragma.html#pragma_data_version>.
async fn version(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    let (version,): (i64,) = sqlx::query_as("pragma data_version").fetch_one(connection).await?;
    Ok(version)
}

//! Hearing what other processes tell.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::broadcast;
use tokio::time::timeout;
use uuid::Uuid;

use super::fault::store_error;
use super::{CHANNEL, PostgresSettings};
use crate::jobs::StoreError;
use crate::jobs::changes::{Change, Hear};

/// Before a connection that was lost is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// After so much silence the connection is asked whether it is still one.
const SILENCE: Duration = Duration::from_secs(30);

/// A connection that listens.
pub(super) struct Listener {
    settings: Arc<PostgresSettings>,
    connection: PgListener,
}

/// What is told from now on is heard. The connection is none of those that statements wait for.
pub(super) async fn begin(settings: Arc<PostgresSettings>) -> Result<Listener, StoreError> {
    let connection = listen(&settings).await.map_err(|error| store_error(&settings, error))?;
    Ok(Listener { settings, connection })
}

async fn listen(settings: &PostgresSettings) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(settings.connect_timeout)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(settings.options()?);
    let mut connection = PgListener::connect_with(&pool).await?;
    // Whoever listens again says so.
    connection.eager_reconnect(false);
    connection.listen(CHANNEL).await?;
    Ok(connection)
}

impl Listener {
    /// The next change; `None` where the connection is lost.
    async fn next(&mut self) -> Option<Change> {
        loop {
            match timeout(SILENCE, self.connection.try_recv()).await {
                Ok(Ok(told)) => return Some(Uuid::parse_str(told?.payload()).map_or(Change::Any, Change::Job)),
                Ok(Err(_)) => return None,
                Err(_) => {
                    let ask = sqlx::query("select 1").execute(&mut self.connection);
                    timeout(self.settings.timeout, ask).await.ok()?.ok()?;
                }
            }
        }
    }

    async fn reconnect(&mut self) {
        loop {
            match listen(&self.settings).await {
                Ok(connection) => {
                    self.connection = connection;
                    return;
                }
                Err(error) => tracing::debug!(%error, "changes of jobs are not heard just now"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Hear for Listener {
    /// What is told while the connection is lost is not heard; so readers are told to look once it is back.
    async fn hear(mut self, readers: broadcast::Sender<Change>) {
        loop {
            let change = match self.next().await {
                Some(change) => change,
                None => {
                    self.reconnect().await;
                    Change::Any
                }
            };
            // Nobody may be reading.
            let _ = readers.send(change);
        }
    }
}

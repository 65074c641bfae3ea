//! The schema, step by step.
//!
//! All steps that are missing are taken in one transaction, under a lock: of several who do it at once the first one
//! does it, and the others find it done. A step that fails leaves nothing behind.

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection as _};

use super::fault::{self, store_error};
use super::{PostgresJobs, PostgresSettings};
use crate::jobs::StoreError;
use crate::jobs::schema::{Schema, Step};

/// The schema, step by step; a released step is never changed.
const STEPS: [Step; 1] = [Step { name: "files_jobs_facts", sql: include_str!("0001_files_jobs_facts.sql") }];

/// The lock of whoever takes steps: the first eight letters of `frameline`.
const LOCK: i64 = i64::from_be_bytes(*b"framelin");

impl PostgresJobs {
    /// How far the schema is; 0 where there is none. Nothing is changed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn schema(settings: &PostgresSettings) -> Result<Schema, StoreError> {
        let look = async {
            let mut connection = connect(settings).await?;
            let version = version(&mut connection).await.map_err(|error| store_error(settings, error))?;
            // It answered: how it takes the farewell makes no difference.
            let _ = connection.close().await;
            Ok(version)
        };
        // The one look that has no pool's patience behind it.
        let looked = tokio::time::timeout(settings.timeout, look).await;
        Ok(schema_of(settings, looked.map_err(|_| fault::silence(settings))??))
    }

    /// Takes all steps that are missing, and gives the schema as it is then.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::Unavailable`].
    pub async fn migrate(settings: &PostgresSettings) -> Result<Schema, StoreError> {
        let mut connection = connect(settings).await?;
        let reached = take_steps(&mut connection).await.map_err(|error| store_error(settings, error))?;
        let _ = connection.close().await;
        let schema = schema_of(settings, reached);
        schema.refuse_newer()?;
        Ok(schema)
    }
}

fn schema_of(settings: &PostgresSettings, version: i64) -> Schema {
    Schema { place: settings.place(), version, steps: &STEPS }
}

/// A connection of its own: the pool would only say that none was to be had.
async fn connect(settings: &PostgresSettings) -> Result<PgConnection, StoreError> {
    let options = settings.options().map_err(|error| store_error(settings, error))?;
    match tokio::time::timeout(settings.connect_timeout, options.connect()).await {
        Ok(connected) => connected.map_err(|error| store_error(settings, error)),
        Err(_) => Err(store_error(settings, sqlx::Error::PoolTimedOut)),
    }
}

async fn version(connection: &mut PgConnection) -> sqlx::Result<i64> {
    let table = "select to_regclass('frameline_migrations') is not null";
    let (is_there,): (bool,) = sqlx::query_as(table).fetch_one(&mut *connection).await?;
    if !is_there {
        return Ok(0);
    }
    let newest = "select coalesce(max(version), 0) from frameline_migrations";
    let (version,): (i64,) = sqlx::query_as(newest).fetch_one(connection).await?;
    Ok(version)
}

/// Takes as long as it takes: a step may have large tables to change.
async fn take_steps(connection: &mut PgConnection) -> sqlx::Result<i64> {
    let mut transaction = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    sqlx::raw_sql(
        "create table if not exists frameline_migrations (version bigint primary key, name text not null, \
         applied_at timestamptz not null default now())",
    )
    .execute(&mut *transaction)
    .await?;
    let found = version(&mut transaction).await?;
    let mut reached = found;
    for (step, number) in STEPS.iter().zip(1..).filter(|(_, number)| *number > found) {
        sqlx::raw_sql(step.sql).execute(&mut *transaction).await?;
        let note = sqlx::query("insert into frameline_migrations (version, name) values ($1, $2)");
        note.bind(number).bind(step.name).execute(&mut *transaction).await?;
        reached = number;
    }
    transaction.commit().await?;
    Ok(reached)
}

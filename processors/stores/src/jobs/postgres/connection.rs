//! Statements and rows as PostgreSQL has them.

use std::borrow::Cow;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use super::CHANNEL;
use crate::jobs::sql::{Connection, Row, Statement, Value, corrupt, plain_columns};

impl Connection for PgConnection {
    type Row = PgRow;

    async fn all(&mut self, statement: Statement<'_>) -> sqlx::Result<Vec<PgRow>> {
        query(statement).fetch_all(self).await
    }

    async fn run(&mut self, statement: Statement<'_>) -> sqlx::Result<()> {
        query(statement).execute(self).await.map(drop)
    }

    /// A notification is a part of the transaction: it is sent when that is committed, once for each job.
    async fn tell(&mut self, jobs: &[Uuid]) -> sqlx::Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let tell = sqlx::query("select pg_notify($1, job_id::text) from unnest($2) as job_id");
        tell.bind(CHANNEL).bind(jobs).execute(self).await.map(drop)
    }
}

fn query(statement: Statement<'_>) -> Query<'static, Postgres, PgArguments> {
    let is_fixed = statement.is_fixed();
    let (sql, values) = statement.into_parts();
    let query = sqlx::query(AssertSqlSafe(sql.into_owned())).persistent(is_fixed);
    values.into_iter().fold(query, |query, value| match value {
        Value::Id(id) => query.bind(id),
        Value::Unit(unit_id) => query.bind(unit_id.map(|unit_id| unit_id.into_bytes().to_vec()).unwrap_or_default()),
        Value::Text(text) => query.bind(text.map(storable)),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Number(number) => query.bind(number),
        Value::Flag(flag) => query.bind(flag),
    })
}

/// The one character that no text in PostgreSQL has. It may be in what a stage quotes of a broken file.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

impl Row for PgRow {
    fn id(&self, column: &str) -> sqlx::Result<Uuid> {
        sqlx::Row::try_get(self, column)
    }

    fn unit(&self, column: &str) -> sqlx::Result<Option<Uuid>> {
        let bytes: &[u8] = sqlx::Row::try_get(self, column)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        Uuid::from_slice(bytes).map(Some).map_err(|error| corrupt(column, error))
    }

    plain_columns!();
}

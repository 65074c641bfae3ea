//! Statements and rows as SQLite has them: ids are texts.

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use crate::jobs::sql::{Connection, Row, Statement, Value, corrupt, plain_columns};

impl Connection for SqliteConnection {
    type Row = SqliteRow;

    async fn all(&mut self, statement: Statement<'_>) -> sqlx::Result<Vec<SqliteRow>> {
        query(statement).fetch_all(self).await
    }

    async fn run(&mut self, statement: Statement<'_>) -> sqlx::Result<()> {
        query(statement).execute(self).await.map(drop)
    }

    /// Whoever follows notices the commit.
    async fn tell(&mut self, _: &[Uuid]) -> sqlx::Result<()> {
        Ok(())
    }
}

fn query(statement: Statement<'_>) -> Query<'static, Sqlite, SqliteArguments> {
    let is_fixed = statement.is_fixed();
    let (sql, values) = statement.into_parts();
    // `$1` is a name to SQLite, and of thousands of names each is looked for one by one; `?1` is a number.
    let query = sqlx::query(AssertSqlSafe(sql.replace('$', "?"))).persistent(is_fixed);
    values.into_iter().fold(query, |query, value| match value {
        Value::Id(id) => query.bind(id.to_string()),
        Value::Unit(unit_id) => query.bind(unit_id.map(|unit_id| unit_id.to_string()).unwrap_or_default()),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Number(number) => query.bind(number),
        Value::Flag(flag) => query.bind(flag),
    })
}

impl Row for SqliteRow {
    fn id(&self, column: &str) -> sqlx::Result<Uuid> {
        let text = self.text(column)?;
        Uuid::parse_str(text).map_err(|_| corrupt(column, text))
    }

    fn unit(&self, column: &str) -> sqlx::Result<Option<Uuid>> {
        if self.text(column)?.is_empty() { Ok(None) } else { self.id(column).map(Some) }
    }

    plain_columns!();
}

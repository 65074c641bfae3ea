//! One statement with its values, in words that both databases understand.

use std::borrow::Cow;

use uuid::Uuid;

/// How many rows or ids one statement has: SQLite takes 32,766 values, PostgreSQL 65,535, and a row has ten.
pub(in crate::jobs) const ROWS_AT_ONCE: usize = 500;

/// A statement; its first value is `$1`.
#[derive(Debug)]
pub(in crate::jobs) struct Statement<'a> {
    sql: Cow<'static, str>,
    values: Vec<Value<'a>>,
}

/// A value. Each database has its own type for it.
#[derive(Debug, Clone, Copy)]
pub(in crate::jobs) enum Value<'a> {
    /// A file's or a job's id.
    Id(Uuid),
    /// The unit that a fact is about; none where it is about the whole file.
    Unit(Option<Uuid>),
    Text(Option<&'a str>),
    Bytes(&'a [u8]),
    Number(Option<i64>),
    Flag(bool),
}

impl<'a> Statement<'a> {
    pub(super) fn new(sql: &'static str) -> Self {
        Self { sql: Cow::Borrowed(sql), values: Vec::new() }
    }

    /// With its next value.
    pub(super) fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Goes on with a value.
    pub(super) fn value(mut self, value: impl Into<Value<'a>>) -> Self {
        self.values.push(value.into());
        let place = format!("${}", self.values.len());
        self.then(&place)
    }

    /// Goes on with `sql`.
    pub(super) fn then(mut self, sql: &str) -> Self {
        self.sql.to_mut().push_str(sql);
        self
    }

    /// Goes on with a list in brackets.
    pub(super) fn list(mut self, values: impl IntoIterator<Item = Value<'a>>) -> Self {
        let sql = self.sql.to_mut();
        sql.push('(');
        for (number, value) in values.into_iter().enumerate() {
            self.values.push(value);
            sql.push_str(if number == 0 { "$" } else { ", $" });
            sql.push_str(&self.values.len().to_string());
        }
        sql.push(')');
        self
    }

    /// Goes on with a list of ids in brackets.
    pub(super) fn ids(self, ids: &[Uuid]) -> Self {
        self.list(ids.iter().copied().map(Value::Id))
    }

    /// Goes on with rows of values.
    pub(super) fn rows<const COLUMNS: usize>(mut self, rows: impl IntoIterator<Item = [Value<'a>; COLUMNS]>) -> Self {
        for (number, row) in rows.into_iter().enumerate() {
            self = self.then(if number == 0 { "values " } else { ", " }).list(row);
        }
        self
    }

    /// Whether its text is the same each time, and so worth to be kept prepared.
    pub(in crate::jobs) fn is_fixed(&self) -> bool {
        matches!(self.sql, Cow::Borrowed(_))
    }

    /// Its text and its values.
    pub(in crate::jobs) fn into_parts(self) -> (Cow<'static, str>, Vec<Value<'a>>) {
        (self.sql, self.values)
    }
}

impl From<Uuid> for Value<'_> {
    fn from(id: Uuid) -> Self {
        Value::Id(id)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Some(text))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Value::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Value::Bytes(bytes)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Number(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Value::Number(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Value::Flag(flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_through_the_whole_statement() {
        let rows = [[Value::from("a"), Value::from(1)], [Value::from("b"), Value::from(2)]];
        let statement = Statement::new("with $1 ").bind(true).then("and ").rows(rows).then(" in ").ids(&[Uuid::nil()]);
        assert!(!statement.is_fixed());
        let (sql, values) = statement.into_parts();
        assert_eq!(sql, "with $1 and values ($2, $3), ($4, $5) in ($6)");
        assert_eq!(values.len(), 6);
    }
}

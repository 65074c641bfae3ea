//! What SQLite's errors mean to the port.

use std::sync::Arc;

use crate::vectors::VectorsError;

/// Primary result codes: <https://www.sqlite.org/rescode.html>.
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;
const FULL: i32 = 13;
const BUSY: i32 = 5;

/// The file, for messages.
#[derive(Debug, Clone)]
pub(super) struct Place(pub(super) Arc<str>);

impl Place {
    pub(super) fn error(&self, error: &sqlx::Error) -> VectorsError {
        let damaged = || VectorsError::Damaged { path: self.0.to_string(), reason: error.to_string() };
        match primary_code(error) {
            Some(CORRUPT | NOT_A_DATABASE) => damaged(),
            Some(FULL) => VectorsError::Unavailable(format!("the disk of {} is full; free some space", self.0)),
            _ if is_of_contents(error) => damaged(),
            _ => VectorsError::Unavailable(format!("{}: {error}", self.0)),
        }
    }
}

/// Another process has the file's lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(BUSY)
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// A row is not of the shape that was written.
fn is_of_contents(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_))
}

//! What SQLite's errors mean to the port.

use std::sync::Arc;

use crate::sqlite::result_code;
use crate::vectors::VectorsError;

/// Primary result codes: <https://www.sqlite.org/rescode.html>.
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;
const FULL: i32 = 13;

/// The file, for messages.
#[derive(Debug, Clone)]
pub(super) struct Place(pub(super) Arc<str>);

impl Place {
    pub(super) fn error(&self, error: &sqlx::Error) -> VectorsError {
        let damaged = || VectorsError::Damaged { path: self.0.to_string(), reason: error.to_string() };
        match result_code(error) {
            Some(CORRUPT | NOT_A_DATABASE) => damaged(),
            Some(FULL) => VectorsError::Unavailable(format!("the disk of {} is full; free some space", self.0)),
            _ if is_of_contents(error) => damaged(),
            _ => VectorsError::Unavailable(format!("{}: {error}", self.0)),
        }
    }
}

/// A row is not of the shape that was written.
fn is_of_contents(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_))
}

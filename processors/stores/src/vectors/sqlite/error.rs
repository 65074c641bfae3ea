//! What SQLite's errors mean to the port.

use std::sync::Arc;

use frameline_sqlite::{code, result_code};

use crate::vectors::VectorsError;

/// The file, for messages.
#[derive(Debug, Clone)]
pub(super) struct Place(pub(super) Arc<str>);

impl Place {
    pub(super) fn error(&self, error: &sqlx::Error) -> VectorsError {
        let damaged = || VectorsError::Damaged { path: self.0.to_string(), reason: error.to_string() };
        match result_code(error) {
            Some(code::CORRUPT | code::NOT_A_DATABASE) => damaged(),
            Some(code::FULL) => VectorsError::Unavailable(format!("the disk of {} is full; free some space", self.0)),
            _ if is_of_contents(error) => damaged(),
            _ => VectorsError::Unavailable(format!("{}: {error}", self.0)),
        }
    }
}

/// A row is not of the shape that was written.
fn is_of_contents(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_))
}

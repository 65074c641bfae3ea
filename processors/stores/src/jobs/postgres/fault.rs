//! What it means that there is no answer.

use sqlx::error::DatabaseError;

use super::PostgresSettings;
use crate::jobs::StoreError;

/// Whether somebody else's transaction was in the way, and the same may go well the next time.
pub(super) fn is_contention(error: &sqlx::Error) -> bool {
    // Serialization failure, deadlock: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    matches!(state_of(error).as_deref(), Some("40001" | "40P01"))
}

/// An error as the ports have it.
pub(super) fn store_error(settings: &PostgresSettings, error: sqlx::Error) -> StoreError {
    let place = settings.place();
    match fault(settings, &error) {
        Fault::Passing(advice) => StoreError::Unavailable { place, reason: format!("{advice} ({error})") },
        Fault::Refusal(advice) => StoreError::Refused { place, reason: format!("{advice} ({error})") },
        Fault::Lasting => StoreError::Damaged { place, reason: format!("{error}; put a backup of the database back") },
    }
}

/// Nothing was heard for as long as an answer may take.
pub(super) fn silence(settings: &PostgresSettings) -> StoreError {
    let reason = format!("it has not answered within jobs.timeout, which is {} s", settings.timeout.as_secs_f64());
    StoreError::Unavailable { place: settings.place(), reason }
}

enum Fault {
    Passing(&'static str),
    Refusal(&'static str),
    Lasting,
}

fn fault(settings: &PostgresSettings, error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(error) => of_state(error.as_ref()),
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => Fault::Lasting,
        error if is_handshake(error) && settings.tls.verifies() => {
            Fault::Refusal("its certificate is not accepted; check jobs.ca_file and jobs.tls")
        }
        error if is_handshake(error) => Fault::Refusal("it does not speak TLS as jobs.tls wants it"),
        sqlx::Error::Configuration(_) => Fault::Refusal("check jobs.url and jobs.ca_file"),
        sqlx::Error::PoolTimedOut => Fault::Passing("no connection was to be had within jobs.connect_timeout"),
        _ => Fault::Passing("it cannot be reached"),
    }
}

/// Whether the two did not come to speak TLS. What is wrong with a certificate comes as bad data.
fn is_handshake(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// By the classes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_state(error: &dyn DatabaseError) -> Fault {
    let state = error.code().unwrap_or_default();
    match (state.get(..2).unwrap_or_default(), state.as_ref()) {
        ("28", _) => Fault::Refusal("it does not let us in; check the user in jobs.url and jobs.password"),
        (_, "3D000") => Fault::Refusal("there is no such database; make it, or check jobs.url"),
        (_, "42501") => Fault::Refusal("our user may not do that; make it the owner of the tables"),
        (_, "25006") => Fault::Passing("it can only be read now; jobs.url has to name the primary"),
        (_, "53300") => {
            Fault::Passing("it has no connection left; lower jobs.connections, or raise its max_connections")
        }
        (_, "53100") => Fault::Passing("its disk is full; free some space, and work goes on"),
        ("08" | "53" | "57" | "58", _) => Fault::Passing("it cannot serve us just now"),
        ("40" | "55", _) => Fault::Passing("somebody else keeps it locked"),
        _ => Fault::Lasting,
    }
}

fn state_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

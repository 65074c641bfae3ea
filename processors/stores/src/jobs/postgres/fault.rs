//! What it means that there is no answer.

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
        sqlx::Error::Database(error) => of_state(&error.code().unwrap_or_default()),
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
fn of_state(state: &str) -> Fault {
    match (state.get(..2).unwrap_or_default(), state) {
        (_, "XX001" | "XX002") => Fault::Lasting,
        (_, "55P03") => Fault::Passing(
            "somebody else keeps a file locked for half of jobs.timeout; look for who in its pg_stat_activity and pg_locks",
        ),
        (_, "57014") => Fault::Passing(
            "a statement took longer than jobs.timeout, or was cancelled; look for what it waits for in its pg_stat_activity",
        ),
        (_, "25P03") => Fault::Passing(
            "our transaction stood still for longer than jobs.timeout and was ended; see that this machine is not overloaded",
        ),
        (_, "25006") => Fault::Passing("it can only be read now; jobs.url has to name the primary"),
        (_, "53100") => Fault::Passing("its disk is full; free some space, and work goes on"),
        (_, "53200") => Fault::Passing(
            "it is out of memory, maybe for locks; raise its max_locks_per_transaction, or lower stages.jobs.batch_records",
        ),
        (_, "53300") => {
            Fault::Passing("it has no connection left; lower jobs.connections, or raise its max_connections")
        }
        ("08" | "53" | "57" | "58", _) => Fault::Passing("it cannot serve us just now"),
        ("40" | "55", _) => Fault::Passing("somebody else keeps it locked"),
        ("28", _) => Fault::Refusal("it does not let us in; check the user in jobs.url and jobs.password"),
        (_, "3D000") => Fault::Refusal("there is no such database; make it, or check jobs.url"),
        (_, "42501") => Fault::Refusal("our user may not do that; make it the owner of the tables"),
        ("26", _) | (_, "42P05") => Fault::Refusal(
            "it does not keep prepared statements; set max_prepared_statements of PgBouncer, or connect to it directly",
        ),
        ("0A", _) => Fault::Refusal("it does not do that, or its tables were changed; start this process again"),
        ("3F" | "42", _) => Fault::Refusal(
            "its tables are not those of frameline; check the user's search_path, that nothing else uses the database, \
             and `frameline migrate`",
        ),
        _ => Fault::Refusal("it refuses a statement of ours; its log tells more"),
    }
}

fn state_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_broken_on_its_disk_asks_for_a_backup() {
        for state in ["XX001", "XX002"] {
            assert!(matches!(of_state(state), Fault::Lasting), "{state}");
        }
        for state in ["", "XX000", "23505", "25P02", "42P01", "0A000", "26000", "ZZZZZ"] {
            assert!(matches!(of_state(state), Fault::Refusal(_)), "{state}");
        }
    }

    #[test]
    fn what_passes_is_tried_again_and_told_with_what_to_look_at() {
        for (state, words) in [
            ("55P03", "pg_locks"),
            ("57014", "jobs.timeout"),
            ("25P03", "overloaded"),
            ("25006", "primary"),
            ("53200", "max_locks_per_transaction"),
            ("53300", "jobs.connections"),
            ("57P01", "just now"),
        ] {
            assert!(matches!(of_state(state), Fault::Passing(advice) if advice.contains(words)), "{state}");
        }
    }

    #[test]
    fn what_somebody_has_to_set_right_is_refused_with_what_to_look_at() {
        for (state, words) in [
            ("42P01", "search_path"),
            ("42703", "frameline migrate"),
            ("3F000", "search_path"),
            ("42501", "owner"),
            ("42P05", "PgBouncer"),
            ("26000", "PgBouncer"),
            ("0A000", "start this process again"),
        ] {
            assert!(matches!(of_state(state), Fault::Refusal(advice) if advice.contains(words)), "{state}");
        }
    }
}

//! Every metric of the product, in one table: what it is called, what it counts, by which labels.
//!
//! Names begin with `frameline_` and end with their base unit; labels have few values, never the name or id of a
//! file. Whoever counts something names it from here, so a metric that is not in the table cannot be published by
//! accident; a test of the whole product holds the table and a scrape to each other.

use std::time::{Duration, Instant};

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, histogram};

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As it is called in a scrape.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it is counted in; `None` for a bare number.
    pub unit: Option<Unit>,
    /// What it is told apart by, in the order of the alphabet.
    pub labels: &'static [&'static str],
    /// What it means.
    pub about: &'static str,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// It only grows, from the start of the process.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How values are spread, with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As a scrape calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// Bounds for work and calls, in seconds: from a fast commit to a record that takes minutes.
const WORK_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Bounds for a file's way through the whole chain, in seconds; 1,800 is the promise of half an hour.
const CHAIN_SECONDS: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0];
/// Bounds for records of a batch.
const BATCH_RECORDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 2_048.0, 8_192.0];

/// Bounds for the size of a file, in bytes: from a small text to the largest that is taken.
const FILE_BYTES: &[f64] = &[1e3, 1e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 2e8];

/// A file is to be searchable this long after its discovery.
pub const PROMISE: Duration = Duration::from_secs(1_800);

const fn counter(
    name: &'static str,
    unit: Option<Unit>,
    labels: &'static [&'static str],
    about: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, unit, labels, about }
}

const fn gauge(name: &'static str, unit: Option<Unit>, labels: &'static [&'static str], about: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, labels, about }
}

const fn seconds(
    name: &'static str,
    bounds: &'static [f64],
    labels: &'static [&'static str],
    about: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram(bounds), unit: Some(Unit::Seconds), labels, about }
}

/// Records by how they ended.
pub const RECORDS: Metric = counter(
    "frameline_records_total",
    None,
    &["outcome", "stage"],
    "records that ended: done, skipped with a reason, or dead_lettered",
);
/// Records that were skipped, by why.
pub const SKIPS: Metric = counter(
    "frameline_skips_total",
    None,
    &["reason", "stage"],
    "records that were skipped, by the code of the reason that their job is told",
);
/// A batch's work.
pub const PROCESSING: Metric =
    seconds("frameline_processing_seconds", WORK_SECONDS, &["stage"], "the work on one batch");
/// A commit.
pub const COMMIT: Metric = seconds(
    "frameline_commit_seconds",
    WORK_SECONDS,
    &["stage"],
    "one commit of outputs, dead letters, progress and positions together",
);
/// Commits that were not written.
pub const COMMITS_FAILED: Metric = counter(
    "frameline_commits_failed_total",
    None,
    &["reason", "stage"],
    "commits that were not written, nothing of them: fenced, refused, revoked, or the log was unavailable",
);
/// A batch's size.
pub const BATCH: Metric = Metric {
    name: "frameline_batch_records",
    kind: Kind::Histogram(BATCH_RECORDS),
    unit: None,
    labels: &["stage"],
    about: "records of one batch",
};
/// Records in hand.
pub const IN_FLIGHT: Metric =
    gauge("frameline_in_flight_records", None, &["stage"], "records taken in and not yet committed");
/// Records that wait for their turn.
pub const QUEUED: Metric = gauge(
    "frameline_queued_records",
    None,
    &["stage"],
    "records in hand that wait in the lanes of their keys, for their turn or to be tried again",
);
/// Batches under way.
pub const WORKING: Metric =
    gauge("frameline_working_batches", None, &["stage"], "batches that the stage works on just now");
/// Failures that are tried again.
pub const RETRIES: Metric = counter(
    "frameline_retries_total",
    None,
    &["class", "stage"],
    "failures after which a record is tried again: transient, or busy with a dependency (the record waits), or \
     unavailable (the stage waits)",
);
/// Dead letters.
pub const DEAD_LETTERS: Metric = counter(
    "frameline_dead_letters_total",
    None,
    &["class", "stage"],
    "records that were given up: permanent, or transient and out of attempts",
);
/// Records that a partition still has for the stage.
pub const LAG: Metric = gauge(
    "frameline_lag_records",
    None,
    &["partition", "stage", "topic"],
    "records, and transaction markers, that the stage's group has not come past, in the partitions that this process \
     has; 0 for one that went to another",
);
/// Records that a stage's group has before it, whether it is at work or not.
pub const GROUP_LAG: Metric = gauge(
    "frameline_group_lag_records",
    None,
    &["stage", "topic"],
    "records, and transaction markers, that the stage's group has not come past, all partitions together; told by the \
     process that has the stage jobs, of every stage, also of one that nobody runs; counted once a minute",
);
/// The oldest record in hand.
pub const OLDEST_UNFINISHED: Metric = gauge(
    "frameline_oldest_unfinished_seconds",
    Some(Unit::Seconds),
    &["stage"],
    "age of the oldest record in hand that is not committed, by when it was written; 0 with none in hand",
);
/// Changes of who has which partitions.
pub const REBALANCES: Metric = counter(
    "frameline_rebalances_total",
    None,
    &["change", "stage"],
    "partitions assigned to this process, or revoked from it; one a change, however many partitions",
);
/// How long partitions stand still in a rebalance.
pub const REBALANCE_PAUSE: Metric = seconds(
    "frameline_rebalance_pause_seconds",
    WORK_SECONDS,
    &["side", "stage"],
    "how long a partition stood still in a rebalance: kept, at the longest; given, from the revocation until it was \
     let go; taken, from the assignment until its first record, or its end",
);
/// What a revocation's deadline cut off.
pub const REBALANCE_GIVEN_UP: Metric = counter(
    "frameline_rebalance_given_up_total",
    None,
    &["stage"],
    "records in hand of revoked partitions that were not finished within the deadline; the next owner does them",
);
/// How many calls may be under way.
pub const LIMITER_LIMIT: Metric = gauge(
    "frameline_limiter_limit",
    None,
    &["dependency", "stage"],
    "calls of the dependency that may be under way at the same time, as it answers: batches of the stage; or without \
     one, the requests of this process",
);
/// The stage waits.
pub const PAUSED: Metric = gauge(
    "frameline_paused",
    None,
    &["stage"],
    "1 while something that every record needs is down, and the stage waits for it; it goes on by itself",
);
/// What the stage waits for.
pub const DEPENDENCY_DOWN: Metric = gauge(
    "frameline_dependency_down",
    None,
    &["dependency", "stage"],
    "1 while the stage waits for this: schema_registry, log (commits are not taken), or, once it was down, blobs, \
     vectors, job-store, or the child process that opens files",
);
/// The stage has stopped taking.
pub const HALTED: Metric = gauge(
    "frameline_halted",
    None,
    &["stage"],
    "1 after too many dead letters in a row: the stage takes no more until it is started anew",
);
/// The stage is ready.
pub const READY: Metric = gauge("frameline_ready", None, &["stage"], "1 while the stage is warm and in its group");
/// The poll loops are alive.
pub const HEARTBEAT_AGE: Metric = gauge(
    "frameline_heartbeat_age_seconds",
    Some(Unit::Seconds),
    &["stage"],
    "how long ago the slower of the stage's loops went round, the one that polls the log or the one that works; \
     what /healthz judges by",
);
/// A file's way through the chain.
pub const FILE_SEARCHABLE: Metric = seconds(
    "frameline_file_searchable_seconds",
    CHAIN_SECONDS,
    &["origin"],
    "from a file's discovery until all of it is in the index, committed; live, backfill or replay",
);
/// Files that were opened, by their format.
pub const FILE_SIZE: Metric = Metric {
    name: "frameline_file_size_bytes",
    kind: Kind::Histogram(FILE_BYTES),
    unit: Some(Unit::Bytes),
    labels: &["format"],
    about: "files that the stage identify has opened, by their size",
};
/// Calls to the blobs.
pub const BLOB_CALLS: Metric = seconds(
    "frameline_blob_call_seconds",
    WORK_SECONDS,
    &["operation", "outcome"],
    "calls to the store of blobs: get, put, head; ok, exists (put: it was there), missing (get, head), or error",
);
/// Bytes to and from the blobs.
pub const BLOB_BYTES: Metric = counter(
    "frameline_blob_bytes_total",
    Some(Unit::Bytes),
    &["operation"],
    "bytes read from the store of blobs, or written to it",
);
/// Calls to the index.
pub const VECTOR_CALLS: Metric = seconds(
    "frameline_vector_call_seconds",
    WORK_SECONDS,
    &["operation", "outcome"],
    "calls of the stage index to the vector index: upsert, finish; ok or error",
);
/// Units in the index.
pub const UNITS: Metric =
    gauge("frameline_units", None, &["kind"], "units in the index, frames and passages; counted once a minute");
/// Jobs by state.
pub const JOBS: Metric = gauge("frameline_jobs", None, &["state"], "jobs by state; counted once a minute");
/// Jobs that are late.
pub const OVERDUE_JOBS: Metric = gauge(
    "frameline_overdue_jobs",
    None,
    &[],
    "jobs that have not ended half an hour after their file was accepted; counted once a minute",
);
/// Files in the catalogue.
pub const FILES: Metric = gauge(
    "frameline_files",
    None,
    &["state"],
    "files in the catalogue: known, deleted, and pending, whose newest revision waits to be handed over; counted once \
     a minute",
);
/// What became of spans.
pub const SPANS: Metric = counter(
    "frameline_trace_spans_total",
    None,
    &["outcome"],
    "spans of traces: exported; dropped, because the queue was full; failed, because the receiver refused them",
);
/// The canary's time.
pub const CANARY: Metric = seconds(
    "frameline_canary_seconds",
    CHAIN_SECONDS,
    &[],
    "from handing a drawn file over until a search finds it; told by `frameline canary`",
);
/// When the canary was last found.
pub const CANARY_SUCCESS: Metric = gauge(
    "frameline_canary_last_success_timestamp_seconds",
    Some(Unit::Seconds),
    &[],
    "when a search last found a new drawn file, in seconds since 1970; 0 before the first; told by `frameline canary`",
);
/// Canaries that were not found.
pub const CANARY_FAILURES: Metric = counter(
    "frameline_canary_failures_total",
    None,
    &["reason"],
    "drawn files that no search has found: refused at the hand-over, failed on their way, or late; told by \
     `frameline canary`",
);
/// Room for the data directory.
pub const DISK_FREE: Metric = gauge(
    "frameline_disk_free_bytes",
    Some(Unit::Bytes),
    &[],
    "room that is left in the file system of the data directory",
);
/// All of it.
pub const DISK_SIZE: Metric =
    gauge("frameline_disk_size_bytes", Some(Unit::Bytes), &[], "size of the file system of the data directory");
/// Memory of the process.
pub const RESIDENT: Metric = gauge(
    "frameline_resident_bytes",
    Some(Unit::Bytes),
    &[],
    "memory of this process that is in use, without that of the child processes which open files",
);
/// The program.
pub const BUILD: Metric = gauge("frameline_build_info", None, &["version"], "1, with the version of the program");

/// All of them.
pub const ALL: &[Metric] = &[
    RECORDS,
    SKIPS,
    PROCESSING,
    COMMIT,
    COMMITS_FAILED,
    BATCH,
    IN_FLIGHT,
    QUEUED,
    WORKING,
    RETRIES,
    DEAD_LETTERS,
    LAG,
    GROUP_LAG,
    OLDEST_UNFINISHED,
    REBALANCES,
    REBALANCE_PAUSE,
    REBALANCE_GIVEN_UP,
    LIMITER_LIMIT,
    PAUSED,
    DEPENDENCY_DOWN,
    HALTED,
    READY,
    HEARTBEAT_AGE,
    FILE_SEARCHABLE,
    FILE_SIZE,
    BLOB_CALLS,
    BLOB_BYTES,
    VECTOR_CALLS,
    UNITS,
    JOBS,
    OVERDUE_JOBS,
    FILES,
    SPANS,
    CANARY,
    CANARY_SUCCESS,
    CANARY_FAILURES,
    DISK_FREE,
    DISK_SIZE,
    RESIDENT,
    BUILD,
];

/// Tells the process's recorder what each of them means.
pub fn describe() {
    for Metric { name, kind, unit, about, .. } in ALL.iter().copied() {
        let unit = unit.unwrap_or(Unit::Count);
        match kind {
            Kind::Counter => describe_counter!(name, unit, about),
            Kind::Gauge => describe_gauge!(name, unit, about),
            Kind::Histogram(_) => describe_histogram!(name, unit, about),
        }
    }
}

/// Makes a call, and tells in a histogram with the labels `operation` and `outcome` how long it took: `ok`, or what
/// `name` calls the error.
pub async fn timed<T, E>(
    histogram: Metric,
    operation: &'static str,
    call: impl Future<Output = Result<T, E>>,
    name: impl FnOnce(&E) -> &'static str,
) -> Result<T, E> {
    let started = Instant::now();
    let result = call.await;
    let outcome = result.as_ref().map_or_else(name, |_| "ok");
    histogram!(histogram.name, "operation" => operation, "outcome" => outcome).record(started.elapsed());
    result
}

/// The formats that files are told apart by.
const FORMATS: [&str; 8] = ["svg", "png", "jpeg", "webp", "gif", "markdown", "html", "text"];

/// Tells of every format that no file was opened yet.
pub fn begin_files() {
    for format in FORMATS {
        let _ = histogram!(FILE_SIZE.name, "format" => format);
    }
}

/// A file was opened. What a child process calls its format is taken only where it is one that is known.
pub fn file_opened(format: &str, size_bytes: i64) {
    let format = FORMATS.into_iter().find(|known| *known == format).unwrap_or("other");
    histogram!(FILE_SIZE.name, "format" => format).record(size_bytes as f64);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// What a label may say has few values, whatever comes in.
    const BOUNDED: &str = "change class dependency format kind operation origin outcome partition reason side stage state store topic version";

    #[test]
    fn names_say_the_unit_and_labels_are_bounded_and_sorted() {
        let mut names = HashSet::new();
        for metric in ALL {
            let Metric { name, kind, unit, labels, about } = metric;
            assert!(name.starts_with("frameline_") && names.insert(name), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            let base = name.trim_end_matches("_total");
            assert_eq!(base.ends_with("_seconds"), *unit == Some(Unit::Seconds), "{name}");
            assert_eq!(base.ends_with("_bytes"), *unit == Some(Unit::Bytes), "{name}");
            assert!(
                labels.is_sorted() && labels.iter().all(|label| BOUNDED.split(' ').any(|known| known == *label)),
                "{name}: {labels:?}"
            );
            assert!(!about.is_empty() && !about.ends_with('.') && !about.contains("  "), "{name}: {about}");
        }
    }

    #[test]
    fn bounds_rise_and_the_promise_of_half_an_hour_is_one_of_them() {
        for metric in ALL {
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(bounds.is_sorted_by(|low, high| low < high), "{}", metric.name);
            }
        }
        let promise = PROMISE.as_secs_f64();
        assert!(matches!(FILE_SEARCHABLE.kind, Kind::Histogram(bounds) if bounds.contains(&promise)));
    }
}

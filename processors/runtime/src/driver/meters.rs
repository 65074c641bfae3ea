//! The driver's metrics, all of one stage.
//!
//! Every handle is made when the stage starts, so each metric is there from the start, with zeros, and counting
//! neither allocates nor locks.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::stillness::Side;
use super::task::{Ending, Finished};
use crate::headers;
use crate::log::CommitError;
use crate::metric;
use crate::moment::now_ms;
use crate::stage::{Class, Stage};

/// What every stage may wait for; the others are told once they were down.
const ALWAYS_NEEDED: [&str; 2] = ["log", "schema_registry"];
const ENDINGS: [Ending; 3] = [Ending::Done, Ending::Skipped, Ending::DeadLettered];

pub(super) struct Meters {
    records: Counters<3>,
    retries: Counters<3>,
    dead_letters: Counters<2>,
    commits_failed: Counters<4>,
    rebalances: Counters<2>,
    rebalance_pauses: [(Side, Histogram); 3],
    given_up: Counter,
    batch_records: Histogram,
    processing_seconds: Histogram,
    commit_seconds: Histogram,
    in_flight: Gauge,
    queued: Gauge,
    working: Gauge,
    /// What the stage waits for.
    down: Option<(&'static str, Gauge)>,
    stage: &'static str,
    limit: Option<Gauge>,
    searchable: Option<Searchable>,
}

impl Meters {
    pub(super) fn new(stage: &impl Stage) -> Self {
        let name = stage.name();
        for reason in stage.skips() {
            // There from the start, so that the first one is seen to be counted.
            skips(name, reason).increment(0);
        }
        for dependency in ALWAYS_NEEDED {
            dependency_down(name, dependency).set(0.0);
        }
        let limit = |to| gauge!(metric::LIMITER_LIMIT.name, "stage" => name, "dependency" => to);
        Self {
            records: Counters::new(metric::RECORDS.name, name, "outcome", ENDINGS.map(Ending::as_str)),
            retries: Counters::new(metric::RETRIES.name, name, "class", ["transient", "busy", "unavailable"]),
            dead_letters: Counters::new(metric::DEAD_LETTERS.name, name, "class", ["permanent", "transient"]),
            commits_failed: Counters::new(
                metric::COMMITS_FAILED.name,
                name,
                "reason",
                ["fenced", "refused", "revoked", "unavailable"],
            ),
            rebalances: Counters::new(metric::REBALANCES.name, name, "change", ["assigned", "revoked"]),
            rebalance_pauses: [Side::Kept, Side::Given, Side::Taken]
                .map(|side| (side, histogram!(metric::REBALANCE_PAUSE.name, "stage" => name, "side" => side.as_str()))),
            given_up: counter!(metric::REBALANCE_GIVEN_UP.name, "stage" => name),
            batch_records: histogram!(metric::BATCH.name, "stage" => name),
            processing_seconds: histogram!(metric::PROCESSING.name, "stage" => name),
            commit_seconds: histogram!(metric::COMMIT.name, "stage" => name),
            in_flight: gauge!(metric::IN_FLIGHT.name, "stage" => name),
            queued: gauge!(metric::QUEUED.name, "stage" => name),
            working: gauge!(metric::WORKING.name, "stage" => name),
            down: None,
            stage: name,
            limit: stage.dependency().map(limit),
            searchable: stage.makes_searchable().then(Searchable::new),
        }
    }

    pub(super) fn worked(&self, records: usize, took: Duration) {
        self.batch_records.record(records as f64);
        self.processing_seconds.record(took.as_secs_f64());
    }

    pub(super) fn committed(&self, finished: &[Finished], took: Duration) {
        self.commit_seconds.record(took.as_secs_f64());
        let mut counts = [0_u64; ENDINGS.len()];
        finished.iter().for_each(|record| counts[record.ending as usize] += 1);
        for (ending, (_, counter)) in ENDINGS.into_iter().zip(&self.records.0) {
            counter.increment(counts[ending as usize]);
        }
        for reason in finished.iter().filter_map(|record| record.skipped) {
            skips(self.stage, reason).increment(1);
        }
        if let Some(searchable) = &self.searchable {
            finished.iter().for_each(|record| searchable.observe(record));
        }
    }

    pub(super) fn not_committed(&self, error: &CommitError) {
        self.commits_failed.count(match error {
            CommitError::Fenced(_) => "fenced",
            CommitError::Refused { .. } => "refused",
            CommitError::Revoked(_) => "revoked",
            CommitError::Unavailable(_) => "unavailable",
        });
    }

    pub(super) fn dead_letter(&self, class: Class) {
        self.dead_letters.count(class.as_str());
    }

    pub(super) fn retried(&self, class: Class) {
        self.retries.count(class.as_str());
    }

    pub(super) fn in_hand(&self, records: usize, queued: usize, batches: usize) {
        self.in_flight.set(records as f64);
        self.queued.set(queued as f64);
        self.working.set(batches as f64);
    }

    /// The stage waits for this, or for nothing.
    pub(super) fn waits_for(&mut self, dependency: Option<&'static str>) {
        if self.down.as_ref().map(|(down, _)| *down) == dependency {
            return;
        }
        if let Some((_, gauge)) = self.down.take() {
            gauge.set(0.0);
        }
        self.down = dependency.map(|dependency| (dependency, dependency_down(self.stage, dependency)));
        if let Some((_, gauge)) = &self.down {
            gauge.set(1.0);
        }
    }

    pub(super) fn limit(&self, limit: usize) {
        if let Some(gauge) = &self.limit {
            gauge.set(limit as f64);
        }
    }

    pub(super) fn assigned(&self) {
        self.rebalances.count("assigned");
    }

    pub(super) fn revoked(&self) {
        self.rebalances.count("revoked");
    }

    pub(super) fn stood_still(&self, side: Side, how_long: Duration) {
        if let Some((_, histogram)) = self.rebalance_pauses.iter().find(|(known, _)| *known == side) {
            histogram.record(how_long.as_secs_f64());
        }
    }

    pub(super) fn given_up(&self, records: usize) {
        self.given_up.increment(records as u64);
    }
}

fn skips(stage: &'static str, reason: &'static str) -> Counter {
    counter!(metric::SKIPS.name, "stage" => stage, "reason" => reason)
}

fn dependency_down(stage: &'static str, dependency: &'static str) -> Gauge {
    gauge!(metric::DEPENDENCY_DOWN.name, "stage" => stage, "dependency" => dependency)
}

/// The counters of one metric, one a value of the label that they differ in.
struct Counters<const VALUES: usize>([(&'static str, Counter); VALUES]);

impl<const VALUES: usize> Counters<VALUES> {
    fn new(metric: &'static str, stage: &'static str, label: &'static str, values: [&'static str; VALUES]) -> Self {
        Self(values.map(|value| (value, counter!(metric, "stage" => stage, label => value))))
    }

    fn count(&self, value: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == value) {
            counter.increment(1);
        }
    }
}

/// How long files take to be searchable, by why they travel.
struct Searchable([(&'static str, Histogram); 3]);

impl Searchable {
    fn new() -> Self {
        Self(headers::ORIGINS.map(|origin| (origin, histogram!(metric::FILE_SEARCHABLE.name, "origin" => origin))))
    }

    /// Counts a record if it is the end of a file.
    fn observe(&self, record: &Finished) {
        let Some(discovered_at_ms) = record.subject.as_ref().and_then(|subject| subject.searchable_since_ms) else {
            return;
        };
        if record.ending != Ending::Done {
            return;
        }
        let origin = record.record.headers.text(headers::ORIGIN).unwrap_or(headers::LIVE);
        if let Some((_, histogram)) = self.0.iter().find(|(known, _)| *known == origin) {
            histogram.record(seconds_since(discovered_at_ms));
        }
    }
}

/// Seconds by the wall clock; never less than none, whatever the other machine's clock said.
pub(super) fn seconds_since(then_ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(now_ms() - then_ms).unwrap_or(0)).as_secs_f64()
}

//! The driver's metrics, all with the label `stage`.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::task::Ending;
use crate::stage::Class;

pub(super) struct Meters {
    stage: &'static str,
    done: Counter,
    skipped: Counter,
    dead_lettered: Counter,
    retries: Counter,
    batch_records: Histogram,
    processing_seconds: Histogram,
    commit_seconds: Histogram,
    in_flight: Gauge,
    limit: Gauge,
    rebalances: Counter,
}

impl Meters {
    pub(super) fn new(stage: &'static str) -> Self {
        let records =
            |outcome: &'static str| counter!("frameline_records_total", "stage" => stage, "outcome" => outcome);
        Self {
            stage,
            done: records("done"),
            skipped: records("skipped"),
            dead_lettered: records("dead_lettered"),
            retries: counter!("frameline_retries_total", "stage" => stage),
            batch_records: histogram!("frameline_batch_records", "stage" => stage),
            processing_seconds: histogram!("frameline_processing_seconds", "stage" => stage),
            commit_seconds: histogram!("frameline_commit_seconds", "stage" => stage),
            in_flight: gauge!("frameline_in_flight_records", "stage" => stage),
            limit: gauge!("frameline_limiter_limit", "stage" => stage),
            rebalances: counter!("frameline_rebalances_total", "stage" => stage),
        }
    }

    pub(super) fn worked(&self, records: usize, took: Duration) {
        self.batch_records.record(records as f64);
        self.processing_seconds.record(took.as_secs_f64());
    }

    pub(super) fn committed(&self, endings: impl Iterator<Item = Ending>, took: Duration) {
        self.commit_seconds.record(took.as_secs_f64());
        let mut counts = [0_u64; 3];
        for ending in endings {
            counts[ending as usize] += 1;
        }
        self.done.increment(counts[Ending::Done as usize]);
        self.skipped.increment(counts[Ending::Skipped as usize]);
        self.dead_lettered.increment(counts[Ending::DeadLettered as usize]);
    }

    pub(super) fn dead_letter(&self, class: Class) {
        counter!("frameline_dead_letters_total", "stage" => self.stage, "class" => class.as_str()).increment(1);
    }

    pub(super) fn retried(&self, records: usize) {
        self.retries.increment(records as u64);
    }

    pub(super) fn in_flight(&self, records: usize) {
        self.in_flight.set(records as f64);
    }

    pub(super) fn limit(&self, limit: usize) {
        self.limit.set(limit as f64);
    }

    pub(super) fn rebalanced(&self) {
        self.rebalances.increment(1);
    }
}

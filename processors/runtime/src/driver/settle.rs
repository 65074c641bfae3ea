//! What becomes of a batch that came back: through, again after a wait, or given up.

use std::time::Instant;

use frameline_schemas::Outcome as Told;
use tokio::task::JoinError;

use super::status::State;
use super::task::{BatchResult, Ending, Finished, Made, Task};
use super::{Driver, Pause, StageError, work};
use crate::dead_letter::DeadLetter;
use crate::lanes::{Item, LaneId};
use crate::record::TopicPartition;
use crate::stage::{Class, Failure, Stage, Subject};

/// A record of a batch with what came of it.
type Settled = (Task, Result<Made, Failure>, Option<Subject>);

impl<S: Stage> Driver<S> {
    pub(super) fn settle_batch(
        &mut self,
        result: Result<BatchResult, JoinError>,
        now: Instant,
    ) -> Result<(), StageError> {
        let batch =
            result.map_err(|error| StageError::Broken { stage: self.stage.name(), reason: error.to_string() })?;
        self.working_records -= batch.tasks.len();
        self.meters.worked(batch.tasks.len(), batch.took);
        let unavailable = batch
            .results
            .iter()
            .find_map(|result| result.as_ref().err().filter(|failure| failure.class == Class::Unavailable));
        let unavailable = unavailable.map(|failure| failure.error.clone());
        if let (Some(limiter), Some(ticket)) = (&mut self.limiter, batch.ticket) {
            limiter.finish(ticket, batch.took, unavailable.is_some());
        }
        self.settle_pause(unavailable, now);

        let mut run: Option<(LaneId, Vec<Settled>)> = None;
        for (((lane, task), result), subject) in batch.tasks.into_iter().zip(batch.results).zip(batch.subjects) {
            self.taken_bytes -= task.size_bytes();
            if let Some(assigned) = self.partitions.get_mut(task.assignment) {
                assigned.working -= 1;
            }
            match &mut run {
                Some((same, settled)) if *same == lane => settled.push((task, result, subject)),
                _ => {
                    let before = run.replace((lane, vec![(task, result, subject)]));
                    before.into_iter().for_each(|(lane, settled)| self.settle_lane(lane, settled, batch.broke, now));
                }
            }
        }
        run.into_iter().for_each(|(lane, settled)| self.settle_lane(lane, settled, batch.broke, now));
        Ok(())
    }

    /// The dependency is down: the stage waits. A probe came back well: it goes on.
    fn settle_pause(&mut self, unavailable: Option<String>, now: Instant) {
        match (unavailable, &mut self.pause) {
            (Some(reason), pause) => {
                let failures = pause.as_ref().map_or(0, |pause| pause.failures) + 1;
                let until = now + self.backoff.delay(failures, fastrand::f64());
                *pause = Some(Pause { until, failures, probing: false });
                self.status.enter(State::Paused(reason));
            }
            (None, Some(pause)) if pause.probing => self.pause = None,
            (None, _) => {}
        }
    }

    /// The records of one key, in order: up to the first that is to be tried again they are through.
    fn settle_lane(&mut self, lane: LaneId, settled: Vec<Settled>, broke: bool, now: Instant) {
        let mut settled = settled.into_iter();
        while let Some((task, result, subject)) = settled.next() {
            match result {
                Ok(made) => self.through(task, made, subject, now),
                Err(failure) if self.is_given_up(&task, &failure) => self.give_up(task, &failure, subject, now),
                Err(failure) => {
                    let rest = settled.map(|(task, ..)| task);
                    self.try_again(lane, task, rest, &failure, broke, now);
                    return;
                }
            }
        }
        self.lanes.release(lane, now);
    }

    fn is_given_up(&self, task: &Task, failure: &Failure) -> bool {
        match failure.class {
            Class::Permanent => true,
            Class::Transient => task.failures + 1 >= self.plan.settings.retry_attempts,
            Class::Unavailable => false,
        }
    }

    fn through(&mut self, task: Task, made: Made, subject: Option<Subject>, now: Instant) {
        if made.ending != Ending::DeadLettered {
            self.breaker.passed();
        }
        let Some(assigned) = self.partitions.get_mut(task.assignment) else { return };
        assigned.waiting += 1;
        let finished = Finished {
            assignment: task.assignment,
            offset: task.record.offset,
            ending: made.ending,
            outputs: made.outputs,
            record: task.record,
            subject,
        };
        self.outbox.push(finished, now);
    }

    fn give_up(&mut self, mut task: Task, failure: &Failure, subject: Option<Subject>, now: Instant) {
        let Some(assigned) = self.partitions.get(task.assignment) else { return };
        let partition = assigned.partition.clone();
        task.failures += 1;
        let made = self.dead_letter(&partition, &task, failure, subject.as_ref());
        self.through(task, made, subject, now);
    }

    /// What is committed for a record that is given up.
    pub(super) fn dead_letter(
        &mut self,
        partition: &TopicPartition,
        task: &Task,
        failure: &Failure,
        subject: Option<&Subject>,
    ) -> Made {
        let stage = self.stage.name();
        let (offset, class, code, error) = (task.record.offset, failure.class.as_str(), failure.code, &failure.error);
        tracing::warn!(stage, %partition, offset, class, code, error, "dead letter");
        self.meters.dead_letter(failure.class);
        self.breaker.failed();
        if self.breaker.tripped() {
            let count = self.plan.settings.halt_after;
            self.status.enter(State::Halted(format!(
                "{count} dead letters in a row; last: {error}. See {stage}.dlq, mend the cause, start the stage anew"
            )));
            self.pause_all();
        }
        let first_failed_at_ms = if task.first_failed_at_ms > 0 { task.first_failed_at_ms } else { work::now_ms() };
        let letter =
            DeadLetter { stage, partition, record: &task.record, failure, attempts: task.failures, first_failed_at_ms };
        let mut outputs = vec![letter.output()];
        match work::progress(stage, subject, Told::Failed, Some((failure.code, failure.error.clone()))) {
            Ok(progress) => {
                let mut progress: Vec<_> = progress.into_iter().collect();
                work::inherit(&task.record.headers, &mut progress);
                outputs.extend(progress);
            }
            Err(failure) => {
                tracing::error!(stage, error = failure.error, "the progress of a dead letter cannot be told")
            }
        }
        Made { ending: Ending::DeadLettered, outputs }
    }

    fn try_again(
        &mut self,
        lane: LaneId,
        mut task: Task,
        rest: impl Iterator<Item = Task>,
        failure: &Failure,
        broke: bool,
        now: Instant,
    ) {
        let until = match failure.class {
            // The whole stage waits already.
            Class::Unavailable => now,
            Class::Transient | Class::Permanent => {
                task.failures += 1;
                now + self.backoff.delay(task.failures, fastrand::f64())
            }
        };
        if task.first_failed_at_ms == 0 {
            task.first_failed_at_ms = work::now_ms();
        }
        self.meters.retried(1);
        tracing::debug!(
            stage = self.stage.name(),
            offset = task.record.offset,
            failures = task.failures,
            error = failure.error,
            "again"
        );
        let draining = self.draining_until.is_some();
        let again =
            std::iter::once(task).chain(rest).filter(|task| !draining && self.partitions.is_staying(task.assignment));
        let mut again: Vec<Task> = again.collect();
        if again.is_empty() {
            self.lanes.release(lane, now);
            return;
        }
        for task in &mut again {
            task.suspect |= broke;
            self.taken_bytes += task.size_bytes();
        }
        self.lanes.give_back(lane, again.into_iter(), until);
    }
}

//! What becomes of a batch that came back: through, again after a wait, or given up.

use std::time::Instant;

use frameline_schemas::Outcome as Told;
use tokio::task::JoinError;

use super::about::About;
use super::meters::seconds_since;
use super::spans::{self, Hop, Try, Worked};
use super::status::State;
use super::task::{BatchResult, Ending, Finished, Made, Task};
use super::{Driver, Pause, StageError, work};
use crate::dead_letter::DeadLetter;
use crate::lanes::{Item, LaneId};
use crate::moment::now_ms;
use crate::record::TopicPartition;
use crate::stage::{Class, Failure, Stage, Subject};

/// A record of a batch with what came of it.
struct Settled {
    task: Task,
    result: Result<Made, Failure>,
    subject: Option<Subject>,
    hop: Option<Box<Hop>>,
}

impl<S: Stage> Driver<S> {
    /// Settles this batch, and what came back with it.
    pub(super) fn settle_batches(
        &mut self,
        first: Result<BatchResult, JoinError>,
        now: Instant,
    ) -> Result<(), StageError> {
        self.settle_batch(first, now)?;
        while let Some(result) = self.working.try_join_next() {
            self.settle_batch(result, now)?;
        }
        Ok(())
    }

    fn settle_batch(&mut self, result: Result<BatchResult, JoinError>, now: Instant) -> Result<(), StageError> {
        let batch =
            result.map_err(|error| StageError::Broken { stage: self.stage.name(), reason: error.to_string() })?;
        self.working_records -= batch.tasks.len();
        self.meters.worked(batch.tasks.len(), batch.worked.took);
        let first_of = |class| {
            let mut failures = batch.results.iter().filter_map(|result| result.as_ref().err());
            failures.find(|failure| failure.class == class)
        };
        let unavailable = first_of(Class::Unavailable).cloned();
        let pushed_back = unavailable.is_some() || first_of(Class::Busy).is_some();
        if let (Some(limiter), Some(ticket)) = (&mut self.limiter, batch.ticket) {
            limiter.finish(ticket, batch.worked.took, pushed_back);
        }
        self.settle_pause(unavailable, now);
        if let Some(span) = spans::of_batch(&self.plan.tracer, self.stage.name(), batch.worked, &batch.hops) {
            self.plan.tracer.record(span);
        }

        let mut run: Option<(LaneId, Vec<Settled>)> = None;
        let records = batch.tasks.into_iter().zip(batch.results).zip(batch.subjects).zip(batch.hops);
        for ((((lane, task), result), subject), hop) in records {
            self.taken_bytes -= task.size_bytes();
            if let Some(assigned) = self.partitions.get_mut(task.assignment) {
                assigned.working -= 1;
            }
            let record = Settled { task, result, subject, hop };
            match &mut run {
                Some((same, settled)) if *same == lane => settled.push(record),
                _ => {
                    let before = run.replace((lane, vec![record]));
                    before.into_iter().for_each(|(lane, settled)| self.settle_lane(lane, settled, batch.worked, now));
                }
            }
        }
        run.into_iter().for_each(|(lane, settled)| self.settle_lane(lane, settled, batch.worked, now));
        Ok(())
    }

    /// The dependency is down: the stage waits. A probe came back well: it goes on.
    pub(super) fn settle_pause(&mut self, unavailable: Option<Failure>, now: Instant) {
        match (unavailable, &mut self.pause) {
            // One outage is one failure, however many batches it met; until the next look.
            (Some(_), Some(pause)) if !pause.probing => {}
            (Some(Failure { code, error, .. }), pause) => {
                let failures = pause.as_ref().map_or(0, |pause| pause.failures) + 1;
                let until = now + self.backoff.delay(failures, fastrand::f64());
                *pause = Some(Pause { dependency: code, until, failures, probing: false });
                self.status.enter(State::Paused(error));
            }
            (None, Some(pause)) if pause.probing => self.pause = None,
            (None, _) => {}
        }
    }

    /// The records of one key, in order: up to the first that is to be tried again they are through.
    fn settle_lane(&mut self, lane: LaneId, settled: Vec<Settled>, worked: Worked, now: Instant) {
        let mut settled = settled.into_iter();
        while let Some(record) = settled.next() {
            self.tell_span(&record, worked, None);
            let Settled { task, result, subject, hop } = record;
            match result {
                Ok(made) => self.through(task, made, subject, now),
                Err(failure) if self.is_given_up(&task, &failure, worked) => {
                    self.give_up(task, &failure, subject, hop.as_deref(), now)
                }
                Err(failure) => {
                    self.tell_again(&task, subject.as_ref(), &failure);
                    // They come again behind it, for the order of the key.
                    settled.as_slice().iter().for_each(|record| self.tell_span(record, worked, Some("put_back")));
                    let rest = settled.map(|record| record.task);
                    self.try_again(lane, task, rest, &failure, worked, now);
                    return;
                }
            }
        }
        self.lanes.release(lane, now);
    }

    /// Hands over the span of a record that was worked on, where its trace is kept.
    fn tell_span(&self, record: &Settled, worked: Worked, put_back: Option<&'static str>) {
        let Settled { task, result, subject, hop } = record;
        let Some(hop) = hop.as_deref().filter(|hop| self.plan.tracer.takes(&hop.goes_on)) else { return };
        let (outcome, failure) = match result {
            Ok(made) => (put_back.unwrap_or(made.ending.as_str()), None),
            Err(failure) if put_back.is_some() => ("put_back", Some(failure)),
            Err(failure) if self.is_given_up(task, failure, worked) => (Ending::DeadLettered.as_str(), Some(failure)),
            Err(failure) => ("retried", Some(failure)),
        };
        let is_found = outcome == Ending::Done.as_str() && self.stage.makes_searchable();
        let found_since = subject.as_ref().and_then(|subject| subject.searchable_since_ms);
        let told = Try {
            stage: self.stage.name(),
            partition: self.partitions.get(task.assignment).map(|assigned| &assigned.partition),
            task,
            subject: subject.as_ref(),
            outcome,
            failure,
            searchable_s: found_since.filter(|_| is_found).map(seconds_since),
        };
        self.plan.tracer.record(spans::of_try(hop, worked, &told));
    }

    fn tell_again(&self, task: &Task, subject: Option<&Subject>, failure: &Failure) {
        let Some(assigned) = self.partitions.get(task.assignment) else { return };
        let (stage, attempt, class, code) =
            (self.stage.name(), task.failures + 1, failure.class.as_str(), failure.code);
        let About { topic, partition, offset, file, job } = About::of(&task.record, &assigned.partition, subject);
        tracing::debug!(
            stage,
            topic,
            partition,
            offset,
            file,
            job,
            attempt,
            class,
            code,
            error = failure.error,
            "tried again later"
        );
    }

    fn is_given_up(&self, task: &Task, failure: &Failure, worked: Worked) -> bool {
        match failure.class {
            Class::Permanent => true,
            Class::Transient if !counts(task, worked) => false,
            Class::Transient => task.failures + 1 >= self.plan.settings.retry_attempts,
            Class::Busy | Class::Unavailable => false,
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
            skipped: made.skipped,
            outputs: made.outputs,
            record: task.record,
            subject,
        };
        self.outbox.push(finished, now);
    }

    fn give_up(
        &mut self,
        mut task: Task,
        failure: &Failure,
        subject: Option<Subject>,
        hop: Option<&Hop>,
        now: Instant,
    ) {
        let Some(assigned) = self.partitions.get(task.assignment) else { return };
        let partition = assigned.partition.clone();
        task.failures += 1;
        let made = self.dead_letter(&partition, &task, failure, subject.as_ref(), hop);
        self.through(task, made, subject, now);
    }

    /// What is committed for a record that is given up.
    pub(super) fn dead_letter(
        &mut self,
        partition: &TopicPartition,
        task: &Task,
        failure: &Failure,
        subject: Option<&Subject>,
        hop: Option<&Hop>,
    ) -> Made {
        let stage = self.stage.name();
        let (class, code, error) = (failure.class.as_str(), failure.code, &failure.error);
        let about = About::of(&task.record, partition, subject);
        let About { topic, partition: number, offset, file, job } = about;
        tracing::warn!(stage, topic, partition = number, offset, file, job, class, code, error, "dead letter");
        self.meters.dead_letter(failure.class);
        self.breaker.failed();
        if self.breaker.tripped() {
            let count = self.plan.settings.halt_after;
            self.status.enter(State::Halted(format!(
                "{count} dead letters in a row; last: {error}. See {stage}.dlq, mend the cause, start the stage anew"
            )));
            self.pause_all(Instant::now());
        }
        let first_failed_at_ms = if task.first_failed_at_ms > 0 { task.first_failed_at_ms } else { now_ms() };
        let letter =
            DeadLetter { stage, partition, record: &task.record, failure, attempts: task.failures, first_failed_at_ms };
        let mut outputs = vec![letter.output()];
        let reason = Some((failure.code, failure.error.clone()));
        let told = work::progress(stage, &task.record, subject, Told::Failed, reason).and_then(|progress| {
            let mut progress: Vec<_> = progress.into_iter().collect();
            work::inherit(&task.record.headers, hop, &mut progress);
            self.plan.wire.address(&mut progress)?;
            Ok(progress)
        });
        match told {
            Ok(progress) => outputs.extend(progress),
            Err(failure) => {
                tracing::error!(stage, error = failure.error, "the progress of a dead letter cannot be told")
            }
        }
        Made { ending: Ending::DeadLettered, skipped: None, outputs }
    }

    fn try_again(
        &mut self,
        lane: LaneId,
        mut task: Task,
        rest: impl Iterator<Item = Task>,
        failure: &Failure,
        worked: Worked,
        now: Instant,
    ) {
        let until = match failure.class {
            // The whole stage waits already.
            Class::Unavailable => now,
            // No attempt of the record's own: it never ends among the dead letters for it.
            Class::Busy => now + self.backoff.delay(task.failures + 1, fastrand::f64()),
            Class::Transient | Class::Permanent => {
                task.failures += u32::from(counts(&task, worked));
                now + self.backoff.delay(task.failures.max(1), fastrand::f64())
            }
        };
        if task.first_failed_at_ms == 0 {
            task.first_failed_at_ms = now_ms();
        }
        self.meters.retried(failure.class);
        let draining = self.draining_until.is_some();
        let again =
            std::iter::once(task).chain(rest).filter(|task| !draining && self.partitions.is_staying(task.assignment));
        let mut again: Vec<Task> = again.collect();
        if again.is_empty() {
            self.lanes.release(lane, now);
            return;
        }
        for task in &mut again {
            task.suspect |= worked.broke;
            self.taken_bytes += task.size_bytes();
        }
        self.lanes.give_back(lane, again.into_iter(), until);
    }
}

/// Whether a failure is an attempt of the record's own. When a stage breaks down over a batch nobody knows over which of
/// its records: each is tried alone before it is held against it.
fn counts(task: &Task, worked: Worked) -> bool {
    task.suspect || !worked.broke
}

//! One batch: decode, let the stage work, and dress what it made with headers and progress.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use frameline_schemas::{Head, Outcome as Told, Progress, Step};
use futures::FutureExt;

use super::task::{BatchResult, Ending, Made, Task};
use crate::headers;
use crate::lanes::LaneId;
use crate::limiter::Ticket;
use crate::record::{Headers, Output, Record};
use crate::stage::{Decoded, Failure, Input, Outcome, Reason, Stage, Subject};

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Lets the stage work on a batch. Never panics, whatever the stage does.
pub(super) async fn work<S: Stage>(stage: Arc<S>, tasks: Vec<(LaneId, Task)>, ticket: Option<Ticket>) -> BatchResult {
    let started = Instant::now();
    let (mut inputs, mut subjects, mut undecodable) =
        (Vec::with_capacity(tasks.len()), Vec::with_capacity(tasks.len()), Vec::with_capacity(tasks.len()));
    for (_, task) in &tasks {
        match decode::<S::In>(&task.record) {
            Ok(decoded) => {
                inputs.push(decoded.value);
                subjects.push(decoded.subject);
                undecodable.push(None);
            }
            Err(failure) => {
                subjects.push(subject_of_headers(&task.record));
                undecodable.push(Some(failure));
            }
        }
    }
    let (outcomes, broke) = outcomes_of(&stage, inputs).await;
    let mut outcomes = outcomes.into_iter();
    let mut results = Vec::with_capacity(tasks.len());
    for (((_, task), subject), undecodable) in tasks.iter().zip(&subjects).zip(undecodable) {
        results.push(match undecodable {
            Some(failure) => Err(failure),
            None => match outcomes.next() {
                Some(outcome) => made(stage.name(), &task.record, subject.as_ref(), outcome),
                None => Err(Failure::transient("stage_broke", "the stage gave no outcome")),
            },
        });
    }
    BatchResult { results, subjects, tasks, took: started.elapsed(), ticket, broke }
}

/// Whatever the bytes are, they do not stop the stage.
fn decode<I: Input>(record: &Record) -> Result<Decoded<I>, Failure> {
    let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| I::decode(record)));
    decoded.unwrap_or_else(|panic| {
        Err(Failure::permanent("undecodable", format!("decoding panicked: {}", text_of(&*panic))))
    })
}

/// One outcome an input; and whether the stage broke down instead of giving them.
async fn outcomes_of<S: Stage>(stage: &Arc<S>, inputs: Vec<S::In>) -> (Vec<Outcome>, bool) {
    let count = inputs.len();
    if count == 0 {
        return (Vec::new(), false);
    }
    let trouble = match AssertUnwindSafe(stage.process(inputs)).catch_unwind().await {
        Ok(outcomes) if outcomes.len() == count => return (outcomes, false),
        Ok(outcomes) => format!("the stage gave {} outcomes for {count} records", outcomes.len()),
        Err(panic) => format!("the stage panicked: {}", text_of(&*panic)),
    };
    let fail = || Outcome::Fail(Failure::transient("stage_broke", &trouble));
    (std::iter::repeat_with(fail).take(count).collect(), true)
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

fn made(stage: &str, record: &Record, subject: Option<&Subject>, outcome: Outcome) -> Result<Made, Failure> {
    let (ending, mut outputs, told, reason) = match outcome {
        Outcome::Emit(outputs) => (Ending::Done, outputs, Told::Done, None),
        Outcome::Skip(reason) => (Ending::Skipped, Vec::new(), Told::Skipped, Some(reason)),
        Outcome::Fail(failure) => return Err(failure),
    };
    let reason = reason.map(|Reason { code, text }| (code, text));
    outputs.extend(progress(stage, subject, told, reason)?);
    inherit(&record.headers, &mut outputs);
    Ok(Made { ending, outputs })
}

/// The progress that a record's job is told, where it has one.
pub(super) fn progress(
    stage: &str,
    subject: Option<&Subject>,
    outcome: Told,
    reason: Option<(&str, String)>,
) -> Result<Option<Output>, Failure> {
    let Some(subject) = subject else { return Ok(None) };
    let (reason_code, reason) = reason.map(|(code, text)| (code.to_owned(), text)).unzip();
    let progress = Progress {
        head: subject.head.clone(),
        stage: stage.to_owned(),
        step: subject.step,
        unit_id: subject.unit_id,
        outcome,
        reason_code,
        reason,
        frames: None,
        passages: None,
        at: now_ms(),
    };
    Ok(Some(Output::of(frameline_topics::PROGRESS, subject.head.file_id, &progress)?))
}

/// Hands the headers of every hop on: the same trace with a new span, the origin, the job.
pub(super) fn inherit(from: &Headers, outputs: &mut [Output]) {
    if from.is_empty() {
        return;
    }
    for output in outputs {
        if let Some(traceparent) = from.text(headers::TRACEPARENT).and_then(child_of) {
            output.headers.set(headers::TRACEPARENT, Bytes::from(traceparent));
        }
        for name in [headers::ORIGIN, headers::JOB] {
            if let Some(value) = from.get(name) {
                output.headers.set(name, Bytes::copy_from_slice(value));
            }
        }
    }
}

/// The same trace, another span (W3C Trace Context, version 00); none where there is no trace to go on with.
fn child_of(traceparent: &str) -> Option<String> {
    let mut parts = traceparent.split('-');
    let (version, trace, _span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let valid = is_hex(version, 2) && is_hex(trace, 32) && is_hex(flags, 2);
    valid.then(|| format!("00-{trace}-{:016x}-{flags}", fastrand::u64(1..)))
}

/// Whom an unreadable record is about, as far as key and headers say.
fn subject_of_headers(record: &Record) -> Option<Subject> {
    let uuid = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
    let head = Head {
        tenant: String::new(),
        file_id: uuid(key)?,
        revision: 0,
        job_id: uuid(record.headers.text(headers::JOB))?,
        file_name: String::new(),
    };
    Some(Subject { head, step: Step::Unit, unit_id: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_with_another_span_and_garbage_does_not() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let child = child_of(parent).unwrap();
        assert_eq!((&child[..36], &child[52..]), (&parent[..36], "-01"));
        assert_ne!(child, parent);
        for garbage in ["", "00-xyz-1-01", "00-4bf92f3577b34da6a3ce929d0e0e4736"] {
            assert_eq!(child_of(garbage), None);
        }
    }
}

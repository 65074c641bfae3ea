//! One batch: decode, let the stage work, and dress what it made with headers and progress.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use frameline_schemas::{Outcome as Told, Progress, SchemaIds};
use futures::FutureExt;
use tracing::Instrument;

use super::spans::{Hop, Worked};
use super::task::{BatchResult, Ending, Made, Task};
use crate::dead_letter;
use crate::headers;
use crate::lanes::LaneId;
use crate::limiter::Ticket;
use crate::moment::now_ms;
use crate::record::{Headers, Output, Record};
use crate::stage::{Decoded, Failure, Input, Outcome, Reason, Stage, Subject, UNDECODABLE};
use crate::wire::Wire;

/// Lets the stage work on a batch. Never panics, whatever the stage does.
pub(super) async fn work<S: Stage>(
    stage: Arc<S>,
    wire: Arc<Wire>,
    tasks: Vec<(LaneId, Task)>,
    ticket: Option<Ticket>,
) -> BatchResult {
    let (started_at, started) = (SystemTime::now(), Instant::now());
    let schemas = wire.learn(tasks.iter().filter_map(|(_, task)| S::In::schema_id(&task.record))).await;
    let (mut inputs, mut subjects, mut undecodable) =
        (Vec::with_capacity(tasks.len()), Vec::with_capacity(tasks.len()), Vec::with_capacity(tasks.len()));
    for (_, task) in &tasks {
        match schemas.clone().map_err(Failure::from).and_then(|()| decode::<S::In>(&task.record, wire.ids())) {
            Ok(decoded) => {
                inputs.push(decoded.value);
                subjects.push(decoded.subject);
                undecodable.push(None);
            }
            Err(failure) => {
                subjects.push(Subject::of_unreadable(&task.record));
                undecodable.push(Some(failure));
            }
        }
    }
    let (outcomes, broke) = outcomes_of(&stage, inputs).await;
    let mut outcomes = outcomes.into_iter();
    let mut results = Vec::with_capacity(tasks.len());
    let hops: Vec<_> = tasks.iter().map(|(_, task)| Hop::of(&task.record.headers).map(Box::new)).collect();
    for ((((_, task), hop), subject), undecodable) in tasks.iter().zip(&hops).zip(&subjects).zip(undecodable) {
        results.push(match undecodable {
            Some(failure) => Err(failure),
            None => match outcomes.next() {
                Some(outcome) => made(stage.name(), &task.record, hop.as_deref(), subject.as_ref(), outcome)
                    .and_then(|made| made.addressed(&wire)),
                None => Err(Failure::transient("stage_broke", "the stage gave no outcome")),
            },
        });
    }
    let worked = Worked { started_at, took: started.elapsed(), broke };
    BatchResult { results, subjects, hops, tasks, worked, ticket }
}

/// Whatever the bytes are, they do not stop the stage.
fn decode<I: Input>(record: &Record, ids: &SchemaIds) -> Result<Decoded<I>, Failure> {
    let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| I::decode(record, ids)));
    decoded.unwrap_or_else(|panic| {
        Err(Failure::permanent(UNDECODABLE, format!("decoding panicked: {}", text_of(&*panic))))
    })
}

/// One outcome an input; and whether the stage broke down instead of giving them.
async fn outcomes_of<S: Stage>(stage: &Arc<S>, inputs: Vec<S::In>) -> (Vec<Outcome>, bool) {
    let count = inputs.len();
    if count == 0 {
        return (Vec::new(), false);
    }
    // Whatever the stage's own code logs carries the stage.
    let work = AssertUnwindSafe(stage.process(inputs)).catch_unwind();
    let trouble = match work.instrument(tracing::error_span!("work", stage = stage.name())).await {
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

fn made(
    stage: &str,
    record: &Record,
    hop: Option<&Hop>,
    subject: Option<&Subject>,
    outcome: Outcome,
) -> Result<Made, Failure> {
    let (ending, mut outputs, told, reason) = match outcome {
        Outcome::Emit(outputs) => (Ending::Done, outputs, Told::Done, None),
        Outcome::Skip(reason) => (Ending::Skipped, Vec::new(), Told::Skipped, Some(reason)),
        Outcome::Fail(failure) => return Err(failure),
    };
    let skipped = reason.as_ref().map(|reason| reason.code);
    let reason = reason.map(|Reason { code, text }| (code, text));
    outputs.extend(progress(stage, record, subject, told, reason)?);
    inherit(&record.headers, hop, &mut outputs);
    Ok(Made { ending, skipped, outputs })
}

/// The progress that a record's job is told, where it has one.
pub(super) fn progress(
    stage: &str,
    record: &Record,
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
        redrives: i32::try_from(dead_letter::redrives(&record.headers)).unwrap_or(i32::MAX),
        redriven: false,
    };
    Ok(Some(Output::of(frameline_topics::PROGRESS, subject.head.file_id, &progress)?))
}

/// Hands the headers of every hop on: the trace, with the span of this hop, the origin, the job.
pub(super) fn inherit(from: &Headers, hop: Option<&Hop>, outputs: &mut [Output]) {
    if from.is_empty() || outputs.is_empty() {
        return;
    }
    let traceparent = hop.map(|hop| Bytes::from(hop.goes_on.to_string()));
    for output in outputs {
        if let Some(traceparent) = &traceparent {
            output.headers.set(headers::TRACEPARENT, traceparent.clone());
        }
        for name in [headers::ORIGIN, headers::JOB] {
            if let Some(value) = from.get(name) {
                output.headers.set(name, Bytes::copy_from_slice(value));
            }
        }
    }
}

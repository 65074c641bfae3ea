//! The spans of a stage's work: one for each try of a record, one for a batch, which links to those of its records.
//!
//! A batch is nobody's parent: as the parent of its records it would tie thousands of traces into one.

use std::time::{Duration, SystemTime};

use super::task::Task;
use crate::headers;
use crate::record::{Headers, TopicPartition};
use crate::stage::{Failure, Subject};
use crate::trace::{Span, SpanKind, TraceContext, Tracer, Value};

/// Links of a batch at most, as OpenTelemetry limits them by default; how many were left out is told.
const LINKS: usize = 128;

/// When a batch was worked on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worked {
    pub(super) started_at: SystemTime,
    pub(super) took: Duration,
    /// The stage broke down: any record may be the cause.
    pub(super) broke: bool,
}

/// One try of a record, as its span tells it.
pub(super) struct Try<'a> {
    pub(super) stage: &'static str,
    pub(super) partition: Option<&'a TopicPartition>,
    pub(super) task: &'a Task,
    pub(super) subject: Option<&'a Subject>,
    pub(super) outcome: &'static str,
    pub(super) failure: Option<&'a Failure>,
    /// Seconds since the discovery of the file that can be found from now on.
    pub(super) searchable_s: Option<f64>,
}

/// A record's place in its trace: the span that it came with, and the one that what is made of it goes on with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hop {
    came_with: TraceContext,
    pub(super) goes_on: TraceContext,
}

impl Hop {
    /// The place of a record with these headers; none where it belongs to no trace.
    pub(super) fn of(carried: &Headers) -> Option<Self> {
        let came_with = TraceContext::parse(carried.get(headers::TRACEPARENT)?)?;
        Some(Self { came_with, goes_on: came_with.child() })
    }
}

/// The span of one try.
pub(super) fn of_try(hop: &Hop, worked: Worked, told: &Try<'_>) -> Span {
    let record = &told.task.record;
    let mut attributes: Vec<(&'static str, Value)> = vec![
        ("messaging.operation.type", "process".into()),
        ("messaging.consumer.group.name", told.stage.into()),
        ("messaging.kafka.offset", record.offset.into()),
        ("frameline.outcome", told.outcome.into()),
        ("frameline.attempt", i64::from(told.task.failures + 1).into()),
        ("frameline.origin", record.headers.text(headers::ORIGIN).unwrap_or(headers::LIVE).to_owned().into()),
    ];
    if let Some(partition) = told.partition {
        attributes.push(("messaging.destination.name", partition.topic.to_string().into()));
        attributes.push(("messaging.destination.partition.id", partition.partition.to_string().into()));
    }
    if let Some(Subject { head, unit_id, .. }) = told.subject {
        attributes.push(("frameline.file", head.file_name.clone().into()));
        attributes.push(("frameline.file_id", head.file_id.to_string().into()));
        attributes.push(("frameline.revision", head.revision.into()));
        attributes.extend(unit_id.map(|unit_id| ("frameline.unit_id", unit_id.to_string().into())));
    }
    attributes.extend(record.headers.text(headers::JOB).map(|job| ("frameline.job_id", job.to_owned().into())));
    if let Some(failure) = told.failure {
        attributes.push(("error.type", failure.code.into()));
        attributes.push(("frameline.failure.class", failure.class.as_str().into()));
    }
    attributes.extend(told.searchable_s.map(|seconds| ("frameline.searchable_seconds", seconds.into())));
    Span {
        context: hop.goes_on,
        parent: Some(hop.came_with.span_id()),
        name: told.stage.into(),
        kind: SpanKind::Consumer,
        started_at: worked.started_at,
        ended_at: worked.started_at + worked.took,
        attributes,
        links: Vec::new(),
        links_left_out: 0,
        error: told.failure.map(|failure| failure.error.clone()),
    }
}

/// The span of a batch; none where no record of it is kept.
pub(super) fn of_batch(
    tracer: &Tracer,
    stage: &'static str,
    worked: Worked,
    hops: &[Option<Box<Hop>>],
) -> Option<Span> {
    let mut links: Vec<TraceContext> =
        hops.iter().flatten().map(|hop| hop.goes_on).filter(|hop| tracer.takes(hop)).collect();
    let links_left_out = links.len().saturating_sub(LINKS);
    links.truncate(LINKS);
    if links.is_empty() {
        return None;
    }
    Some(Span {
        context: TraceContext::root(),
        parent: None,
        name: format!("{stage} batch").into(),
        kind: SpanKind::Consumer,
        started_at: worked.started_at,
        ended_at: worked.started_at + worked.took,
        attributes: vec![
            ("messaging.operation.type", "process".into()),
            ("messaging.consumer.group.name", stage.into()),
            ("messaging.batch.message_count", i64::try_from(hops.len()).unwrap_or(i64::MAX).into()),
        ],
        links,
        links_left_out,
        error: worked.broke.then(|| "the stage broke down over it".to_owned()),
    })
}

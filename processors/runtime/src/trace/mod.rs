//! Traces: one upload is one trace, through all hops.
//!
//! Every record carries its [`TraceContext`] in the header `traceparent`. A stage's work on a record is a [`Span`]
//! whose parent is the span that the record came with; what the stage makes of it carries the new span on. A batch
//! is a trace of its own, whose one span *links* to the spans of its records: it is nobody's parent, so a trace
//! stays the story of one file.
//!
//! Whether a trace is kept is decided by its id alone ([`Tracer::takes`]), so every hop decides alike, in whatever
//! process.

mod context;
mod sampling;

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::SystemTime;

pub use context::TraceContext;
pub use sampling::Share;

/// Where finished spans go. It never blocks: what it has no room for it drops, and counts.
pub trait SpanSink: Send + Sync + 'static {
    /// Takes a span, or drops it.
    fn take(&self, span: Span);
}

/// What a stage, or whoever begins traces, hands spans to. Cheap to clone; [`Tracer::default`] keeps none.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    sink: Arc<dyn SpanSink>,
    share: Share,
}

impl Tracer {
    /// Hands this share of all traces to `sink`.
    pub fn new(sink: Arc<dyn SpanSink>, share: Share) -> Self {
        Self(Some(Arc::new(Inner { sink, share })))
    }

    /// Whether any spans are kept at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether spans of this trace are kept.
    pub fn takes(&self, context: &TraceContext) -> bool {
        self.0.as_ref().is_some_and(|inner| context.is_sampled() && inner.share.takes(context.trace_id()))
    }

    /// Hands a finished span over.
    pub fn record(&self, span: Span) {
        if let Some(inner) = &self.0 {
            inner.sink.take(span);
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_on() { "Tracer(on)" } else { "Tracer(off)" })
    }
}

/// Finished work.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its trace and its own id.
    pub context: TraceContext,
    /// The id of the span that it follows from, in the same trace.
    pub parent: Option<NonZeroU64>,
    /// What was done, one of few names.
    pub name: Cow<'static, str>,
    /// What kind of work it was.
    pub kind: SpanKind,
    /// When it began.
    pub started_at: SystemTime,
    /// When it ended.
    pub ended_at: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Other spans that it has to do with.
    pub links: Vec<TraceContext>,
    /// How many links were left out.
    pub links_left_out: usize,
    /// What went wrong, if anything did.
    pub error: Option<String>,
}

/// The kinds of spans that there are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// It hands a record over to the log.
    Producer,
    /// It works on what came by the log.
    Consumer,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Whole(i64),
    /// Any other number.
    Number(f64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

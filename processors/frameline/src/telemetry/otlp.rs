//! Spans as OTLP carries them over HTTP, in its JSON encoding
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): ids in hexadecimal, whole numbers of 64 bits
//! as texts, enumerations as numbers.

use std::time::{SystemTime, UNIX_EPOCH};

use frameline_runtime::trace::{Span, SpanKind, TraceContext, Value};
use serde_json::json;

/// `Status.STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// The body of a request to `/v1/traces`.
pub(super) fn request(instance: &str, spans: &[Span]) -> serde_json::Value {
    let resource = [
        ("service.name", Value::from("frameline")),
        ("service.version", Value::from(env!("CARGO_PKG_VERSION"))),
        ("service.instance.id", Value::from(instance.to_owned())),
    ];
    json!({"resourceSpans": [{
        "resource": {"attributes": attributes(&resource)},
        "scopeSpans": [{
            "scope": {"name": "frameline", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

/// How many spans the receiver says, in the body of a good answer, that it did not take.
pub(super) fn rejected(answer: &[u8]) -> usize {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    let number = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok());
    number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}

fn span(span: &Span) -> serde_json::Value {
    let kind = match span.kind {
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    };
    let mut told = json!({
        "traceId": trace_id(&span.context),
        "spanId": span_id(&span.context),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": nanos(span.started_at),
        "endTimeUnixNano": nanos(span.ended_at),
        "attributes": attributes(&span.attributes),
        "links": span.links.iter().map(link).collect::<Vec<_>>(),
        "droppedLinksCount": span.links_left_out,
    });
    if let Some(parent) = span.parent {
        told["parentSpanId"] = format!("{parent:016x}").into();
    }
    if let Some(error) = &span.error {
        told["status"] = json!({"code": ERROR, "message": error});
    }
    told
}

fn link(to: &TraceContext) -> serde_json::Value {
    json!({"traceId": trace_id(to), "spanId": span_id(to)})
}

fn attributes(attributes: &[(&'static str, Value)]) -> Vec<serde_json::Value> {
    let value = |value: &Value| match value {
        Value::Text(text) => json!({"stringValue": text}),
        Value::Whole(number) => json!({"intValue": number.to_string()}),
        Value::Number(number) => json!({"doubleValue": number}),
    };
    attributes.iter().map(|(key, told)| json!({"key": key, "value": value(told)})).collect()
}

fn trace_id(context: &TraceContext) -> String {
    format!("{:032x}", context.trace_id())
}

fn span_id(context: &TraceContext) -> String {
    format!("{:016x}", context.span_id())
}

fn nanos(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_span_is_told_as_the_specification_has_it() {
        let context = TraceContext::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let at = UNIX_EPOCH + Duration::from_nanos(1_544_712_660_300_000_000);
        let told = span(&Span {
            context,
            parent: Some(context.span_id()),
            name: "render".into(),
            kind: SpanKind::Consumer,
            started_at: at,
            ended_at: at + Duration::from_millis(2),
            attributes: vec![("a", "text".into()), ("b", 7_i64.into()), ("c", 0.5.into())],
            links: vec![context],
            links_left_out: 3,
            error: Some("truncated".to_owned()),
        });
        assert_eq!(
            told,
            json!({
                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                "spanId": "00f067aa0ba902b7",
                "parentSpanId": "00f067aa0ba902b7",
                "name": "render",
                "kind": 5,
                "startTimeUnixNano": "1544712660300000000",
                "endTimeUnixNano": "1544712660302000000",
                "attributes": [
                    {"key": "a", "value": {"stringValue": "text"}},
                    {"key": "b", "value": {"intValue": "7"}},
                    {"key": "c", "value": {"doubleValue": 0.5}},
                ],
                "links": [{"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7"}],
                "droppedLinksCount": 3,
                "status": {"code": 2, "message": "truncated"},
            })
        );
    }

    #[test]
    fn what_the_receiver_did_not_take_is_read_from_its_answer() {
        for (answer, expected) in [
            (r#"{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "full"}}"#, 3),
            (r#"{"partialSuccess": {"rejectedSpans": 2}}"#, 2),
            (r#"{"partialSuccess": {}}"#, 0),
            ("{}", 0),
            ("", 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }
}

//! A receiver of OTLP over HTTP: it takes what a collector takes, refuses what one refuses, and keeps the spans.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::Value;

/// The message `ExportTraceServiceRequest`; a field that it does not have is refused.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScopeSpans {
    #[serde(rename = "scope")]
    _scope: Value,
    spans: Vec<Span>,
}

/// A span.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Span {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) parent_span_id: Option<String>,
    pub(super) name: String,
    pub(super) kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    pub(super) links: Vec<Link>,
    pub(super) dropped_links_count: u32,
    #[serde(default)]
    pub(super) status: Status,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Link {
    pub(super) trace_id: String,
    pub(super) span_id: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Status {
    pub(super) code: u8,
    pub(super) message: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Attribute {
    key: String,
    value: BTreeMap<String, Value>,
}

impl Span {
    /// An attribute as text, whatever its kind.
    pub(super) fn attribute(&self, key: &str) -> Option<String> {
        let attribute = self.attributes.iter().find(|attribute| attribute.key == key)?;
        let (kind, value) = attribute.value.iter().next()?;
        Some(match kind.as_str() {
            "stringValue" | "intValue" => value.as_str().unwrap().to_owned(),
            "doubleValue" => value.as_f64().unwrap().to_string(),
            other => panic!("{key} is a {other}"),
        })
    }

    fn check(&self) {
        let is_hex = |text: &str, length: usize| {
            text.len() == length
                && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
                && text.bytes().any(|byte| byte != b'0')
        };
        assert!(is_hex(&self.trace_id, 32) && is_hex(&self.span_id, 16), "{self:?}");
        assert!(self.parent_span_id.as_ref().is_none_or(|parent| is_hex(parent, 16)), "{self:?}");
        assert!(self.links.iter().all(|link| is_hex(&link.trace_id, 32) && is_hex(&link.span_id, 16)), "{self:?}");
        let nanos = |text: &str| text.parse::<u64>().unwrap();
        assert!(nanos(&self.start_time_unix_nano) <= nanos(&self.end_time_unix_nano), "{self:?}");
        assert!((1..=5).contains(&self.kind), "{self:?}");
    }
}

/// A receiver on a free port of the loopback; it ends with the process.
pub(super) struct Receiver {
    port: u16,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    refused: Vec<String>,
    headers: Vec<String>,
    /// Requests that are still to be answered with 503.
    busy: usize,
}

impl Receiver {
    /// Answers its first requests with 503, as many as `busy`.
    pub(super) fn start(busy: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(Taken { busy, ..Taken::default() }));
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || while answer(&stream, &shared).is_some() {});
            }
        });
        Self { port, taken }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All spans so far; panics if a request was none that a collector takes.
    pub(super) fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        assert!(taken.refused.is_empty(), "{:?}", taken.refused);
        taken.spans.clone()
    }

    /// The header lines of all requests.
    pub(super) fn headers(&self) -> Vec<String> {
        self.taken.lock().unwrap().headers.clone()
    }
}

/// Reads a request and answers it; none when the other side is through.
fn answer(stream: &TcpStream, taken: &Mutex<Taken>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length:")).unwrap().trim().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let status = take(&lines, &body, &mut taken.lock().unwrap());
    let answer = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}");
    let mut stream = stream;
    stream.write_all(answer.as_bytes()).ok()
}

fn take(lines: &[String], body: &[u8], taken: &mut Taken) -> &'static str {
    taken.headers.extend(lines.iter().skip(1).cloned());
    if taken.busy > 0 {
        taken.busy -= 1;
        return "503 Service Unavailable";
    }
    let is_ours =
        lines[0].starts_with("post /v1/traces ") && lines.contains(&"content-type: application/json".to_owned());
    match serde_json::from_slice::<Request>(body) {
        Ok(request) if is_ours => {
            for ResourceSpans { resource, scope_spans } in request.resource_spans {
                assert!(resource.attributes.iter().any(|attribute| attribute.key == "service.name"));
                let spans = scope_spans.into_iter().flat_map(|scope| scope.spans);
                taken.spans.extend(spans.inspect(Span::check));
            }
            "200 OK"
        }
        other => {
            taken.refused.push(format!("{} {:?}", lines[0], other.err()));
            "400 Bad Request"
        }
    }
}

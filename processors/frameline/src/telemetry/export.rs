//! Sends spans to a receiver of OTLP, in bundles, from a queue that is bounded and never waited for: a receiver that
//! is slow or away costs spans, which are counted, and nothing else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use frameline_runtime::metric;
use frameline_runtime::retry::Backoff;
use frameline_runtime::seldom::Seldom;
use frameline_runtime::trace::{Share, Span, SpanSink, Tracer};
use metrics::counter;
use reqwest::{Client, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::otlp;
use crate::config::Telemetry;
use crate::host;

/// Spans of a request, at most.
const BUNDLE: usize = 512;
/// How long a bundle waits to fill up.
const LINGER: Duration = Duration::from_millis(500);
/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A receiver that is away is asked again, so often and after such waits.
const ATTEMPTS: u32 = 6;
/// The same at the end of the process, which a receiver that is away must not hold up.
const LAST_ATTEMPTS: u32 = 2;
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };
/// How long the end of the process waits for what is still queued.
const FLUSH: Duration = Duration::from_secs(5);

/// What sends the spans of this process; nothing where no receiver is configured.
#[derive(Default)]
pub(crate) struct Exporter(Option<(CancellationToken, JoinHandle<()>)>);

impl Exporter {
    /// Starts sending as the configuration says, and gives what takes the spans.
    pub(crate) fn start(settings: &Telemetry) -> Result<(Self, Tracer)> {
        if settings.otlp_endpoint.is_empty() {
            return Ok((Self::default(), Tracer::default()));
        }
        let client = Client::builder()
            .timeout(TIMEOUT)
            .default_headers(settings.headers()?)
            .build()
            .context("the client for traces cannot be made")?;
        let (spans, queued) = mpsc::channel(settings.queue_spans);
        let stop = CancellationToken::new();
        let sender = Sender {
            client,
            url: format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/')),
            instance: format!("{}-{}", host::name(), std::process::id()),
            stop: stop.clone(),
            trouble: Seldom::default(),
        };
        let queue = Queue { spans, trouble: Mutex::default() };
        let tracer = Tracer::new(Arc::new(queue), Share::of(settings.sample_ratio));
        Ok((Self(Some((stop, tokio::spawn(sender.run(queued))))), tracer))
    }

    /// Sends what is queued, as far as that goes quickly.
    pub(crate) async fn finish(self) {
        let Some((stop, sending)) = self.0 else { return };
        stop.cancel();
        if tokio::time::timeout(FLUSH, sending).await.is_err() {
            tracing::warn!("the receiver of traces is too slow; the last spans are lost");
        }
    }
}

struct Queue {
    spans: mpsc::Sender<Span>,
    trouble: Mutex<Seldom>,
}

impl SpanSink for Queue {
    fn take(&self, span: Span) {
        if self.spans.try_send(span).is_ok() {
            return;
        }
        count("dropped", 1);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left_out) = trouble.say(Instant::now()) {
            tracing::warn!(left_out, "spans are dropped: the receiver of traces does not keep up");
        }
    }
}

struct Sender {
    client: Client,
    url: String,
    instance: String,
    stop: CancellationToken,
    trouble: Seldom,
}

/// The process may begin to collect metrics after it begins to send spans, so the counter is looked up each time.
fn count(outcome: &'static str, spans: usize) {
    counter!(metric::SPANS.name, "outcome" => outcome).increment(spans as u64);
}

/// Why a bundle was not taken.
enum Refused {
    /// It may be taken later.
    NotNow(String),
    /// It never will be.
    Never(String),
}

impl Sender {
    async fn run(mut self, mut queued: mpsc::Receiver<Span>) {
        let mut bundle = Vec::with_capacity(BUNDLE);
        while self.fill(&mut queued, &mut bundle).await {
            self.send(&bundle).await;
            bundle.clear();
        }
    }

    /// Waits for spans; false once the process ends and none is left.
    async fn fill(&self, queued: &mut mpsc::Receiver<Span>, bundle: &mut Vec<Span>) -> bool {
        tokio::select! {
            biased;
            _ = queued.recv_many(bundle, BUNDLE) => {}
            () = self.stop.cancelled() => return false,
        }
        let full_at = tokio::time::Instant::now() + LINGER;
        while bundle.len() < BUNDLE {
            let room = BUNDLE - bundle.len();
            tokio::select! {
                biased;
                more = queued.recv_many(bundle, room) => if more == 0 { break },
                () = tokio::time::sleep_until(full_at) => break,
                () = self.stop.cancelled() => break,
            }
        }
        !bundle.is_empty()
    }

    async fn send(&mut self, bundle: &[Span]) {
        let body = otlp::request(&self.instance, bundle).to_string();
        let mut failures = 0;
        loop {
            let answer = self.post(body.clone()).await;
            let is_ending = self.stop.is_cancelled();
            let attempts = if is_ending { LAST_ATTEMPTS } else { ATTEMPTS };
            let reason = match answer {
                Ok(rejected) => {
                    let rejected = rejected.min(bundle.len());
                    count("failed", rejected);
                    return count("exported", bundle.len() - rejected);
                }
                Err(Refused::NotNow(reason)) if failures + 1 < attempts => reason,
                Err(Refused::NotNow(reason) | Refused::Never(reason)) => {
                    count("failed", bundle.len());
                    return self.warn(&reason);
                }
            };
            self.warn(&reason);
            failures += 1;
            tokio::select! {
                () = tokio::time::sleep(BACKOFF.delay(failures, fastrand::f64())) => {}
                () = self.stop.cancelled(), if !is_ending => {}
            }
        }
    }

    async fn post(&self, body: String) -> Result<usize, Refused> {
        let request = self.client.post(&self.url).header("content-type", "application/json").body(body);
        let answer = request.send().await.map_err(|error| Refused::NotNow(told(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(otlp::rejected(&answer.bytes().await.unwrap_or_default()));
        }
        let reason = format!("it answers {status}");
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Refused::NotNow(reason),
            _ => Refused::Never(reason),
        })
    }

    fn warn(&mut self, reason: &str) {
        if let Some(left_out) = self.trouble.say(Instant::now()) {
            tracing::warn!(url = self.url, reason, left_out, "the receiver of traces does not take them");
        }
    }
}

/// With its cause, which alone says what is wrong.
fn told(error: &reqwest::Error) -> String {
    let cause = std::iter::successors(std::error::Error::source(error), |cause| cause.source()).last();
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}

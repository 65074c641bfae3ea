//! Requests to a bucket: no more at the same time than it takes, as it answers ([`frameline_runtime::limiter`]).
//!
//! This is below the client's own retries: each attempt stands in line, and one that is refused slows down all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use frameline_runtime::limiter::{Limiter, Ticket};
use frameline_runtime::metric::LIMITER_LIMIT;
use metrics::gauge;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, Result};
use tokio::sync::Notify;

/// Requests of a process at the same time, at best.
const MOST_REQUESTS: usize = 128;
/// Answers of a server, or of what stands before it, that has too much to do or is not there.
const PUSH_BACK: [u16; 4] = [429, 502, 503, 504];

/// Makes clients that share one limit.
#[derive(Debug, Clone)]
pub(super) struct Limited {
    gate: Arc<Gate>,
}

/// Who may send.
#[derive(Debug)]
struct Gate {
    limiter: Mutex<Limiter>,
    /// Whoever has it is the next one: all go through in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    freed: Notify,
}

#[derive(Debug)]
struct Client {
    http: HttpClient,
    gate: Arc<Gate>,
}

/// A request that is under way.
struct Pass<'a> {
    gate: &'a Gate,
    ticket: Option<Ticket>,
    began: Instant,
    pushed_back: bool,
}

impl Limited {
    pub(super) fn new() -> Self {
        let limiter = Mutex::new(Limiter::new(MOST_REQUESTS));
        Self { gate: Arc::new(Gate { limiter, turn: tokio::sync::Mutex::new(()), freed: Notify::new() }) }
    }
}

impl HttpConnector for Limited {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let http = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Client { http, gate: Arc::clone(&self.gate) }))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut pass = self.gate.enter().await;
        let answer = self.http.execute(request).await;
        pass.pushed_back = answer.as_ref().map_or(true, |answer| PUSH_BACK.contains(&answer.status().as_u16()));
        answer
    }
}

impl Gate {
    async fn enter(&self) -> Pass<'_> {
        let _turn = self.turn.lock().await;
        loop {
            let ticket = self.limiter().start();
            if ticket.is_some() {
                return Pass { gate: self, ticket, began: Instant::now(), pushed_back: false };
            }
            self.freed.notified().await;
        }
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Also where whoever asked waits for the answer no longer.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut limiter = self.gate.limiter();
        limiter.finish(ticket, self.began.elapsed(), self.pushed_back);
        gauge!(LIMITER_LIMIT.name, "stage" => "", "dependency" => "blobs").set(limiter.limit() as f64);
        drop(limiter);
        self.gate.freed.notify_one();
    }
}

//! The limiter against an HTTP server, by connections of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use frameline_runtime::limiter::Limiter;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{HIDDEN_LIMITS, MOST, Outcome};

const PHASE: Duration = Duration::from_secs(4);
const CALL: Duration = Duration::from_millis(25);

/// A server that takes a hidden number of calls at a time.
struct Server {
    started: Instant,
    in_service: AtomicUsize,
}

impl Server {
    fn hidden_limit(&self) -> Option<usize> {
        let phase = self.started.elapsed().as_millis() / PHASE.as_millis();
        HIDDEN_LIMITS.get(usize::try_from(phase).ok()?).copied()
    }
}

async fn serve(State(server): State<Arc<Server>>) -> StatusCode {
    let before = server.in_service.fetch_add(1, Ordering::Relaxed);
    let is_taken = server.hidden_limit().is_some_and(|limit| before < limit);
    if is_taken {
        tokio::time::sleep(CALL).await;
    }
    server.in_service.fetch_sub(1, Ordering::Relaxed);
    if is_taken { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS }
}

/// What the limiter reached, and what calls reach whose number is told.
pub(super) fn run() -> anyhow::Result<(Outcome, Outcome)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let adaptive = runtime.block_on(calls(false))?;
    let told = runtime.block_on(calls(true))?;
    Ok((adaptive, told))
}

async fn calls(is_told: bool) -> anyhow::Result<Outcome> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let server = Arc::new(Server { started: Instant::now(), in_service: AtomicUsize::new(0) });
    let serving = axum::serve(listener, Router::new().route("/", get(serve)).with_state(Arc::clone(&server)));
    let serving = tokio::spawn(async move { serving.await });
    let mut limiter = Limiter::new(MOST);
    let mut outcome = Outcome { taken: 0, refused: 0 };
    let mut idle: Vec<Connection> = Vec::new();
    let mut under_way = JoinSet::new();
    while let Some(hidden) = server.hidden_limit() {
        loop {
            let ticket = if is_told { None } else { limiter.start() };
            if ticket.is_none() && !(is_told && under_way.len() < hidden) {
                break;
            }
            let connection = match idle.pop() {
                Some(connection) => connection,
                None => Connection::open(port).await?,
            };
            under_way.spawn(async move {
                let started = Instant::now();
                let (connection, status) = connection.call().await?;
                anyhow::Ok((connection, status, ticket, started.elapsed()))
            });
        }
        let (connection, status, ticket, took) = under_way.join_next().await.context("no call is under way")???;
        idle.push(connection);
        let is_refused = match status {
            200 => false,
            429 => true,
            other => bail!("the server answered {other}"),
        };
        outcome.taken += u64::from(!is_refused);
        outcome.refused += u64::from(is_refused);
        if let Some(ticket) = ticket {
            limiter.finish(ticket, took, is_refused);
        }
    }
    serving.abort();
    Ok(outcome)
}

/// One connection, for one call at a time.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks, and gives the answer's status.
    async fn call(mut self) -> anyhow::Result<(Self, u16)> {
        self.0.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        let (mut status, mut length, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            self.0.read_line(&mut line).await?;
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if status.is_none() {
                status = header.split(' ').nth(1).and_then(|code| code.parse().ok());
            } else if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        self.0.read_exact(&mut vec![0; length]).await?;
        Ok((self, status.context("the server closed the connection")?))
    }
}

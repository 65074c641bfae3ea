//! `frameline canary`: every few minutes a small drawn file goes through the whole chain, and how long it takes until a
//! search finds it is told as a metric. It is the wait of a user, measured also while nobody adds anything.

mod drawing;
mod flight;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use frameline_runtime::metric;
use frameline_runtime::moment::now_ms;
use metrics::{counter, gauge, histogram};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Context;
use crate::cli;
use crate::error::Refusal;
use crate::http::{self, Probes};
use crate::service::stop_on_signals;
use flight::{Flight, Miss};

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Ready { address: SocketAddr, pid: u32, every_s: f64 },
    Found { seconds: f64 },
    Missed { reason: &'static str, error: String },
    Stopped,
}

pub(super) async fn run(context: Context, command: cli::Canary) -> Result<()> {
    if command.every.is_zero() {
        return Err(Refusal::new("--every is zero, and each file takes its time", "say how often: --every 5m").into());
    }
    context.ports.prepare().await?;
    if command.once { once(&context, &command).await } else { again_and_again(&context, &command).await }
}

/// One file, which is taken out of the index again.
async fn once(context: &Context, command: &cli::Canary) -> Result<()> {
    let flight = Flight::new(context, "once.svg", command.timeout)?;
    let flown = flight.fly().await;
    flight.clear_away().await;
    match flown {
        Ok(took) => context.output.print(&Event::found(took)),
        Err(miss) => {
            let help = "`frameline lag` shows where it waits, `frameline doctor` what does not work";
            Err(Refusal::new(format!("the drawn file was not found: {miss}"), help).into())
        }
    }
}

/// One after the other, until it is told to stop: a file that is late holds up the next one, so they never pile up.
async fn again_and_again(context: &Context, command: &cli::Canary) -> Result<()> {
    let stop = stop_on_signals()?;
    let flight = Flight::new(context, "canary.svg", command.timeout)?;
    let (_probes, address) = listen(context, command).await?;
    begin();
    let every_s = command.every.as_secs_f64();
    context.output.print(&Event::Ready { address, pid: std::process::id(), every_s })?;
    let mut ticks = interval(command.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(flown) = until(&stop, async { (ticks.tick().await, flight.fly().await).1 }).await {
        tell(&flown);
        context.output.print(&Event::of(flown))?;
    }
    context.output.print(&Event::Stopped)
}

async fn until<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        done = work => Some(done),
    }
}

async fn listen(context: &Context, command: &cli::Canary) -> Result<(AbortOnDropHandle<()>, SocketAddr)> {
    let config = &context.loaded.config;
    let listener = http::bind(command.listen.unwrap_or(config.service.listen)).await?;
    let address = listener.local_addr().context("the address that was bound")?;
    let probes = Probes {
        stages: Arc::default(),
        session_timeout: config.log.session_timeout,
        data: context.ports.data().root().to_owned(),
        metrics: http::record_metrics()?,
    };
    Ok((AbortOnDropHandle::new(tokio::spawn(http::serve(listener, probes))), address))
}

/// Every metric is there from the start.
fn begin() {
    let _ = histogram!(metric::CANARY.name);
    gauge!(metric::CANARY_SUCCESS.name).set(0.0);
    for reason in Miss::REASONS {
        counter!(metric::CANARY_FAILURES.name, "reason" => reason).increment(0);
    }
}

fn tell(flown: &Result<Duration, Miss>) {
    match flown {
        Ok(took) => {
            histogram!(metric::CANARY.name).record(took.as_secs_f64());
            gauge!(metric::CANARY_SUCCESS.name).set(now_ms() as f64 / 1e3);
        }
        Err(miss) => {
            counter!(metric::CANARY_FAILURES.name, "reason" => miss.reason()).increment(1);
            tracing::warn!(reason = miss.reason(), error = %miss, "no search has found the drawn file");
        }
    }
}

impl Event {
    fn found(took: Duration) -> Self {
        Event::Found { seconds: took.as_secs_f64() }
    }

    fn of(flown: Result<Duration, Miss>) -> Self {
        match flown {
            Ok(took) => Self::found(took),
            Err(miss) => Event::Missed { reason: miss.reason(), error: miss.to_string() },
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Ready { address, every_s, .. } => {
                write!(formatter, "a drawn file every {every_s} s; metrics at http://{address}/metrics; Ctrl-C ends it")
            }
            Event::Found { seconds } => write!(formatter, "found after {seconds:.1} s"),
            Event::Missed { error, .. } => write!(formatter, "not found: {error}"),
            Event::Stopped => formatter.write_str("stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_the_events_is_kept() {
        let events = [
            Event::Ready { address: "127.0.0.1:8470".parse().unwrap(), pid: 7, every_s: 300.0 },
            Event::found(Duration::from_millis(1_500)),
            Event::of(Err(Miss::Late(Duration::from_secs(1_800)))),
            Event::Stopped,
        ];
        let events = events.map(|event| serde_json::to_value(event).unwrap());
        assert_eq!(events.as_slice(), documented("canary"));
    }
}

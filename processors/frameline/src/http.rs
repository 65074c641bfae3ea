//! What the service answers to probes and to Prometheus: `/healthz`, `/readyz`, `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use frameline_runtime::driver::{self, Snapshot};
use frameline_runtime::metric;
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::error::Refusal;
use crate::footprint;

/// Values of histograms pile up until they are sorted into their buckets; nobody may ever scrape.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the answers are made of.
#[derive(Clone)]
pub(crate) struct Probes {
    /// The stages of this process.
    pub(crate) stages: Arc<Vec<driver::Status>>,
    /// A stage of which a loop has not gone round for this long is not alive.
    pub(crate) session_timeout: Duration,
    /// Where the data is; how much room is left there is told.
    pub(crate) data: PathBuf,
    /// All metrics.
    pub(crate) metrics: PrometheusHandle,
}

/// How long an answer may take: it comes from this machine, or from beside it.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a service answers.
pub(crate) async fn ask(url: &str) -> reqwest::Result<reqwest::Response> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    client.get(url).send().await
}

/// A stage, as `/readyz` tells of it.
#[derive(Debug, Serialize)]
pub(crate) struct StageReport {
    stage: &'static str,
    ready: bool,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    done: u64,
    skipped: u64,
    failed: u64,
    in_flight: usize,
    polled_ms_ago: u64,
    looped_ms_ago: u64,
    oldest_unfinished_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    stages: Vec<StageReport>,
}

/// Takes the address; a taken one is refused with a way out.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let help = format!("choose another with --listen, or any free one: --listen {}:0", address.ip());
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                Refusal::new(format!("port {} of {} is taken by another program", address.port(), address.ip()), help)
            }
            _ => Refusal::new(format!("cannot listen on {address}"), help).because(error),
        }
    })?;
    Ok(listener)
}

/// Makes this process collect metrics. Once a process.
pub(crate) fn record_metrics() -> Result<PrometheusHandle> {
    let mut builder = PrometheusBuilder::new();
    for metric in metric::ALL {
        if let metric::Kind::Histogram(bounds) = metric.kind {
            let named = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(named, bounds).context("the metrics' bounds are wrong")?;
        }
    }
    let handle = builder.install_recorder().context("the metrics cannot be collected")?;
    metric::describe();
    gauge!(metric::BUILD.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// Answers for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, probes: Probes) {
    let metrics = probes.metrics.clone();
    let app = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(probes);
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP).await;
            metrics.run_upkeep();
        }
    };
    tokio::select! {
        Err(error) = axum::serve(listener, app).into_future() => {
            tracing::error!(%error, "probes are no longer answered");
        }
        () = upkeep => {}
    }
}

async fn healthz(State(probes): State<Probes>) -> (StatusCode, String) {
    liveness(probes.stages.iter().map(driver::Status::snapshot), probes.session_timeout)
}

/// A stage of which a loop stands still does not come back by itself: the process is to be started anew.
fn liveness(stages: impl Iterator<Item = Snapshot>, bound: Duration) -> (StatusCode, String) {
    let still = stages.filter(|snapshot| snapshot.heartbeat_ago() > bound).map(|snapshot| {
        let Snapshot { stage, polled_ago, looped_ago, .. } = snapshot;
        format!("{stage}: polled the log {} s ago, worked on {} s ago\n", polled_ago.as_secs(), looped_ago.as_secs())
    });
    let still: String = still.collect();
    if still.is_empty() { (StatusCode::OK, "ok\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, still) }
}

async fn readyz(State(probes): State<Probes>) -> (StatusCode, Json<Readiness>) {
    let stages: Vec<_> = probes.stages.iter().map(|status| StageReport::of(&status.snapshot())).collect();
    let ready = stages.iter().all(|stage| stage.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, stages }))
}

async fn scrape(State(probes): State<Probes>) -> String {
    probes.stages.iter().for_each(driver::Status::publish);
    footprint::publish(&probes.data);
    probes.metrics.render()
}

impl StageReport {
    /// What a stage's snapshot says.
    pub(crate) fn of(snapshot: &driver::Snapshot) -> Self {
        let (state, reason) = match &snapshot.state {
            driver::State::Starting => ("starting", None),
            driver::State::Running => ("running", None),
            driver::State::Paused(reason) => ("paused", Some(reason.clone())),
            driver::State::Halted(reason) => ("halted", Some(reason.clone())),
            driver::State::Draining => ("draining", None),
            driver::State::Stopped => ("stopped", None),
        };
        Self {
            stage: snapshot.stage,
            ready: snapshot.ready,
            state: state.to_owned(),
            reason,
            done: snapshot.done,
            skipped: snapshot.skipped,
            failed: snapshot.failed,
            in_flight: snapshot.in_flight,
            polled_ms_ago: whole_ms(snapshot.polled_ago),
            looped_ms_ago: whole_ms(snapshot.looped_ago),
            oldest_unfinished_ms: snapshot.oldest.map(whole_ms),
        }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    fn snapshot() -> Snapshot {
        Snapshot {
            stage: "render",
            ready: true,
            state: driver::State::Paused("the disk is full".to_owned()),
            done: 3,
            skipped: 1,
            failed: 0,
            in_flight: 2,
            polled_ago: Duration::from_millis(40),
            looped_ago: Duration::from_millis(12),
            oldest: Some(Duration::from_millis(1_500)),
        }
    }

    #[test]
    fn a_process_is_alive_while_both_loops_of_each_stage_go_round_be_they_paused_or_not() {
        let bound = Duration::from_secs(10);
        let status = |stages: Vec<Snapshot>| liveness(stages.into_iter(), bound).0;
        let (late, later) = (Duration::from_secs(9), Duration::from_secs(11));
        assert_eq!(status(Vec::new()), StatusCode::OK);
        assert_eq!(status(vec![snapshot(), Snapshot { looped_ago: late, ..snapshot() }]), StatusCode::OK);
        for still in [Snapshot { looped_ago: later, ..snapshot() }, Snapshot { polled_ago: later, ..snapshot() }] {
            let (status, text) = liveness([snapshot(), still].into_iter(), bound);
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(text.contains("render") && text.contains("11 s"), "{text}");
        }
    }

    #[test]
    fn the_shape_of_readiness_is_kept() {
        let readiness = Readiness { ready: true, stages: vec![StageReport::of(&snapshot())] };
        assert_eq!([serde_json::to_value(readiness).unwrap()].as_slice(), documented("readyz"));
    }

    #[tokio::test]
    async fn a_taken_port_is_told_with_a_way_out() {
        let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).await.unwrap_err();
        assert!(error.to_string().contains(&format!("port {}", address.port())), "{error}");
        assert!(error.downcast_ref::<Refusal>().unwrap().help().contains("--listen 127.0.0.1:0"));
    }
}

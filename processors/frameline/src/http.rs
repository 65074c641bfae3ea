//! What the service answers to probes and to Prometheus: `/healthz`, `/readyz`, `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use frameline_runtime::driver;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::error::Refusal;

/// Bounds of histograms of durations, in seconds: from a fast commit to the promise of half an hour.
const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0, 1_800.0, 7_200.0];
/// Bounds of histograms of counts.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 2_048.0];

/// What the answers are made of.
#[derive(Clone)]
pub(crate) struct Probes {
    /// The stages of this process.
    pub(crate) stages: Arc<Vec<driver::Status>>,
    /// A stage that has not polled for this long is not alive.
    pub(crate) session_timeout: Duration,
    /// All metrics.
    pub(crate) metrics: PrometheusHandle,
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
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| builder.set_buckets(&COUNTS))
        .context("the metrics' buckets are wrong")?
        .install_recorder()
        .context("the metrics cannot be collected")
}

/// Answers for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, probes: Probes) {
    let app = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes);
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "probes are no longer answered");
    }
}

async fn healthz(State(probes): State<Probes>) -> (StatusCode, String) {
    let silent: Vec<_> = probes
        .stages
        .iter()
        .map(driver::Status::snapshot)
        .filter(|snapshot| snapshot.ready && snapshot.polled_ago > probes.session_timeout)
        .map(|snapshot| format!("{} has not polled for {} s", snapshot.stage, snapshot.polled_ago.as_secs()))
        .collect();
    if silent.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", silent.join("\n")))
}

async fn readyz(State(probes): State<Probes>) -> (StatusCode, Json<Readiness>) {
    let stages: Vec<_> = probes.stages.iter().map(|status| StageReport::of(&status.snapshot())).collect();
    let ready = stages.iter().all(|stage| stage.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, stages }))
}

async fn metrics(State(probes): State<Probes>) -> String {
    probes.metrics.run_upkeep();
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
            polled_ms_ago: u64::try_from(snapshot.polled_ago.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_readiness_is_kept() {
        let snapshot = driver::Snapshot {
            stage: "render",
            ready: true,
            state: driver::State::Paused("the disk is full".to_owned()),
            done: 3,
            skipped: 1,
            failed: 0,
            in_flight: 2,
            polled_ago: Duration::from_millis(40),
        };
        let readiness = Readiness { ready: true, stages: vec![StageReport::of(&snapshot)] };
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

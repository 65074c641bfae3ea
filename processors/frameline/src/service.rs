//! The stages at work in this process: claimed, started, watched, drained.

mod build;
mod gauges;
mod signals;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use frameline_runtime::driver::{self, Plan, StageError, Status};
use frameline_runtime::log::Log;
use frameline_runtime::stage::Stage;
use frameline_runtime::trace::Tracer;
use frameline_runtime::wire::Wire;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, LogKind};
use crate::data::Claim;
use crate::error::Refusal;
use crate::host;
use crate::http::{self, Probes};
use crate::ports::Ports;
use crate::stages::Name;
use crate::tampering::Tampering;

pub(crate) use signals::stop_on_signals;

/// How often the start looks whether every stage is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The stages.
    pub(crate) stages: Vec<Name>,
    /// Whether these are all that work on the data directory.
    pub(crate) alone: bool,
    /// Where probes are answered.
    pub(crate) listen: SocketAddr,
    /// Stable name of this process on Kafka.
    pub(crate) instance: Option<String>,
}

/// Stages at work.
pub(crate) struct Service {
    address: SocketAddr,
    statuses: Arc<Vec<Status>>,
    stop: CancellationToken,
    tasks: JoinSet<Result<()>>,
    /// Probes are answered until the last stage has drained.
    _probes: AbortOnDropHandle<()>,
    _claim: Option<Claim>,
}

impl Service {
    /// Starts; returns once all stages are on their way. `stop` drains and ends them.
    pub(crate) async fn start(
        ports: &Arc<Ports>,
        config: &Config,
        order: &Order,
        stop: CancellationToken,
    ) -> Result<Self> {
        ports.prepare_folders()?;
        let mut claim = claim(ports, config, order)?;
        ports.prepare().await?;
        if order.stages.contains(&Name::Index) {
            ports.meet_index().await?;
        }
        let listener = http::bind(order.listen).await?;
        let address = listener.local_addr().context("the address that was bound")?;
        if let Some(claim) = &mut claim {
            claim.tell(Some(address))?;
        }

        let statuses = Arc::new(order.stages.iter().map(|name| Status::new(name.as_str())).collect::<Vec<_>>());
        let probes = Probes {
            stages: Arc::clone(&statuses),
            session_timeout: config.log.session_timeout,
            data: ports.data().root().to_owned(),
            metrics: http::record_metrics()?,
        };
        let probes = AbortOnDropHandle::new(tokio::spawn(http::serve(listener, probes)));

        let mut tasks = JoinSet::new();
        let mut starter = Starter {
            log: ports.log().await?,
            instance: instance(config, order.instance.as_deref())?,
            config,
            tracer: ports.tracer(),
            wire: ports.wire().await?,
            tampering: ports.tampering(),
            stop: &stop,
            tasks: &mut tasks,
        };
        for (name, status) in order.stages.iter().zip(statuses.iter()) {
            build::start(*name, ports, config, &mut starter, status.clone()).await?;
        }
        tasks.spawn(gauges::run(Arc::clone(ports), order.stages.clone(), stop.clone()));
        // One that is there in every installation, however its stages are spread over processes.
        if order.stages.contains(&Name::Jobs) {
            let discover = ports.discover().await?;
            tasks.spawn(upkeep::run(Arc::clone(ports), discover, stop.clone()));
        }
        Ok(Self { address, statuses, stop, tasks, _probes: probes, _claim: claim })
    }

    /// Where probes are answered.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The stages, for whoever watches them.
    pub(crate) fn statuses(&self) -> Arc<Vec<Status>> {
        Arc::clone(&self.statuses)
    }

    /// Waits until every stage is ready, or it is time to stop.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let statuses = Arc::clone(&self.statuses);
        let all_ready = async move {
            while !statuses.iter().all(|status| status.snapshot().ready) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ok(())
        };
        self.meanwhile(all_ready).await.map(drop)
    }

    /// Does `work` while the stages run. `None` when it is time to stop, an error when a stage cannot go on.
    pub(crate) async fn meanwhile<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        let stop = self.stop.clone();
        tokio::select! {
            done = work => done.map(Some),
            () = stop.cancelled() => Ok(None),
            Some(ended) = self.tasks.join_next() => self.end(ended).await.map(|()| None),
        }
    }

    /// Goes on until it is told to stop, then drains; an error when a stage cannot go on.
    pub(crate) async fn run(mut self) -> Result<()> {
        while let Some(ended) = self.tasks.join_next().await {
            self.end(ended).await?;
        }
        Ok(())
    }

    /// A part that ends before it is told to takes the others with it, in order: they drain first.
    async fn end(&mut self, ended: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
        let ended = ended.map_err(|error| anyhow!("a part of the service broke: {error}")).and_then(|result| result);
        if ended.is_ok() && self.stop.is_cancelled() {
            return Ok(());
        }
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        ended.and_then(|()| Err(anyhow!("a part of the service ended by itself")))
    }
}

/// What it takes to start one stage after the other.
struct Starter<'a> {
    log: Arc<dyn Log>,
    instance: String,
    config: &'a Config,
    tracer: Tracer,
    wire: Arc<Wire>,
    tampering: &'a Tampering,
    stop: &'a CancellationToken,
    tasks: &'a mut JoinSet<Result<()>>,
}

impl Starter<'_> {
    fn start<S: Stage>(&mut self, name: Name, stage: S, status: Status) {
        debug_assert_eq!(stage.name(), name.as_str());
        let plan = Plan {
            settings: self.config.stages.of(name).clone(),
            instance: self.instance.clone(),
            session_timeout: self.config.log.session_timeout,
            drain_deadline: self.config.log.drain_deadline,
            tracer: self.tracer.clone(),
            wire: Arc::clone(&self.wire),
            breach: self.tampering.breach,
            gate: self.tampering.gate.clone(),
        };
        let (log, stop) = (Arc::clone(&self.log), self.stop.clone());
        self.tasks.spawn(async move { driver::run(Arc::new(stage), log, plan, status, stop).await.map_err(advised) });
    }
}

/// On the embedded log a stage has one process. On Kafka the group shares the work among many, so only a process
/// that has all stages claims them.
fn claim(ports: &Ports, config: &Config, order: &Order) -> Result<Option<Claim>> {
    if config.log.kind == LogKind::Kafka && !order.alone {
        return Ok(None);
    }
    let names: Vec<_> = order.stages.iter().map(|name| name.as_str()).collect();
    ports.data().serve(&names).map(Some)
}

/// The name that fences an earlier run of this process, so that its unfinished work is free at once.
fn instance(config: &Config, named: Option<&str>) -> Result<String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    if config.log.kind == LogKind::Embedded {
        return Ok("local".to_owned());
    }
    let host = host::name();
    if host.is_empty() {
        return Err(Refusal::new("this machine has no name", "name this process: --instance NAME").into());
    }
    Ok(host)
}

fn advised(error: StageError) -> anyhow::Error {
    let help = match &error {
        StageError::Fenced { .. } => "give each process a name of its own: --instance NAME, or $FRAMELINE_INSTANCE",
        StageError::Warm { .. } | StageError::Join { .. } => "put that right and start again; nothing was lost",
        StageError::Stuck { .. } | StageError::Closed { .. } | StageError::Broken { .. } => {
            "start again: it goes on where it was; nothing was lost"
        }
    };
    Refusal::new(format!("{error}, so the service has stopped"), help).into()
}

//! What there is in the stores, counted now and then for whoever watches: by the process that has the stage which
//! fills the store, so that one of many tells it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use frameline_runtime::log::PartitionLag;
use frameline_runtime::metric;
use frameline_runtime::moment::{now_ms, whole_ms};
use frameline_stores::jobs::JobState;
use metrics::gauge;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::ports::Ports;
use crate::stages::Name;

/// Counting reads whole tables.
const EVERY: Duration = Duration::from_secs(60);

/// Goes on until `stop`. What cannot be counted now keeps its last value; the stage over that store says why.
pub(super) async fn run(ports: Arc<Ports>, stages: Vec<Name>, stop: CancellationToken) -> Result<()> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        for stage in &stages {
            match stage {
                Name::Jobs => {
                    tell(*stage, jobs(&ports).await);
                    tell(*stage, lag(&ports).await);
                }
                Name::Index => tell(*stage, units(&ports).await),
                _ => {}
            }
        }
    }
}

fn tell(stage: Name, counted: Result<()>) {
    if let Err(error) = counted {
        tracing::debug!(stage = stage.as_str(), %error, "not counted now");
    }
}

async fn jobs(ports: &Ports) -> Result<()> {
    let store = ports.jobs().await?;
    let jobs = store.job_counts().await?;
    for state in JobState::ALL {
        gauge!(metric::JOBS.name, "state" => state.as_str()).set(jobs.get(&state).copied().unwrap_or(0) as f64);
    }
    let promised_by_ms = now_ms().saturating_sub(whole_ms(metric::PROMISE));
    gauge!(metric::OVERDUE_JOBS.name).set(store.overdue(promised_by_ms).await? as f64);
    let files = store.file_counts().await?;
    for (state, count) in [("known", files.files), ("deleted", files.deleted), ("pending", files.pending)] {
        gauge!(metric::FILES.name, "state" => state).set(count as f64);
    }
    Ok(())
}

/// Of every stage, so that also the lag of one is known that nobody runs.
async fn lag(ports: &Ports) -> Result<()> {
    let log = ports.log().await?;
    for stage in Name::ALL {
        let topics = stage.topics();
        let lags = log.lag(stage.as_str(), &topics).await?;
        for topic in topics {
            let of_topic = lags.iter().filter(|lag| *lag.partition.topic == *topic);
            let records: i64 = of_topic.map(PartitionLag::records).sum();
            gauge!(metric::GROUP_LAG.name, "stage" => stage.as_str(), "topic" => topic).set(records as f64);
        }
    }
    Ok(())
}

async fn units(ports: &Ports) -> Result<()> {
    let units = ports.vectors().await?.counts().await?;
    for (kind, count) in [("frame", units.frames), ("passage", units.passages)] {
        gauge!(metric::UNITS.name, "kind" => kind).set(count as f64);
    }
    Ok(())
}

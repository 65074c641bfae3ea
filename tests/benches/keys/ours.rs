//! The runtime's driver with a stage that sleeps for each record and passes it on.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use frameline_runtime::driver::{self, Plan, Status};
use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings};
use frameline_runtime::settings::StageSettings;
use frameline_runtime::stage::{Outcome, Raw, Stage};
use tokio_util::sync::CancellationToken;

use super::sleeper::Sleeper;
use super::{CONCURRENCY, work};
use crate::kafka::{Cluster, Topic};

const DEADLINE: Duration = Duration::from_secs(300);

/// Works off `input` as the group `name`; seconds from the first start of work to the commit of everything.
pub(super) fn run(cluster: &Cluster, input: Topic<'static>, name: &str, records: usize) -> anyhow::Result<f64> {
    let output = Topic { name, partitions: 1 };
    cluster.create(output)?;
    let settings = StageSettings {
        batch_records: 1,
        linger: Duration::ZERO,
        concurrency: CONCURRENCY,
        in_flight_records: 50_000,
        ..StageSettings::default()
    };
    let first = Arc::new(OnceLock::new());
    // A stage's name is its group's, and lives as long as the program; so do the topics that it reads.
    let name: &'static str = name.to_owned().leak();
    let stage =
        Arc::new(Works { name, reads: vec![input.name].leak(), first: Arc::clone(&first), sleeper: Sleeper::start()? });
    let (plan, status, stop) = (Plan::new(settings, "bench"), Status::new(name), CancellationToken::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let log = runtime.block_on(async { KafkaLog::connect(KafkaSettings::new(cluster.bootstrap())) })?;
    let driving = runtime.spawn(driver::run(stage, Arc::new(log), plan, status, stop.clone()));
    let finished = cluster.wait_for_end(name, input, DEADLINE, || driving.is_finished());
    stop.cancel();
    runtime.block_on(driving)??;
    let finished = finished?;
    let written = cluster.count(output)?;
    ensure!(written == records as u64, "{written} records were written of {records}");
    cluster.delete(output)?;
    let first: &Instant = first.get().context("no record came")?;
    Ok(finished.duration_since(*first).as_secs_f64())
}

struct Works {
    name: &'static str,
    reads: &'static [&'static str],
    first: Arc<OnceLock<Instant>>,
    sleeper: Sleeper,
}

#[async_trait]
impl Stage for Works {
    type In = Raw;

    fn name(&self) -> &'static str {
        self.name
    }

    fn reads(&self) -> &'static [&'static str] {
        self.reads
    }

    async fn process(&self, batch: Vec<Raw>) -> Vec<Outcome> {
        self.first.get_or_init(Instant::now);
        let mut outcomes = Vec::with_capacity(batch.len());
        for Raw(record) in batch {
            let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            let key = key.and_then(|key| key.strip_prefix("key-")?.parse().ok()).unwrap_or_default();
            self.sleeper.sleep(work::time_of(key, record.offset.unsigned_abs())).await;
            outcomes.push(Outcome::Emit(vec![record.onto(self.name)]));
        }
        outcomes
    }
}

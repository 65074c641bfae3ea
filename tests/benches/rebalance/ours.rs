//! The runtime's driver, with a stage some of whose records take long.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use async_trait::async_trait;
use frameline_runtime::driver::{self, Plan, Status};
use frameline_runtime::log::Log;
use frameline_runtime::log::kafka::KafkaLog;
use frameline_runtime::{Outcome, Raw, Stage, StageSettings, TopicPartition};
use tokio_util::sync::CancellationToken;

use super::sightings::Sightings;
use super::{Member, PARTITIONS, Run, load};

/// Of so many records one takes long, so that there is something to finish whenever a partition goes.
const SLOW_EVERY: u64 = 50;
const SLOW: Duration = Duration::from_millis(200);
const QUICK: Duration = Duration::from_millis(1);

/// A thread with a runtime and a member, as a process would have it.
pub(super) struct Replica {
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    pub(super) fn start(run: &Run, name: &'static str) -> anyhow::Result<Self> {
        let settings = StageSettings { batch_records: 1, concurrency: 32, ..StageSettings::default() };
        let stage = Arc::new(Works {
            name: run.name,
            input: Box::leak(Box::new([run.input])),
            output: run.output.into(),
            member: name,
            sightings: Arc::clone(&run.sightings),
        });
        let log = Arc::new(KafkaLog::connect(run.settings.clone())?);
        let (stop, status) = (CancellationToken::new(), Status::new(run.name));
        let told = stop.clone();
        let running = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(driver::run(stage, log, Plan::new(settings, name), status, told))?)
        })?;
        Ok(Self { stop, running })
    }
}

impl Member for Replica {
    fn leave(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.join().map_err(|_| anyhow!("a replica panicked"))?
    }
}

/// Whether a committed reader sees every record once, and those of a partition in their order.
pub(super) fn check(run: &Run, written: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let log = KafkaLog::connect(run.settings.clone())?;
    let mut seen: HashMap<(usize, u64), usize> = HashMap::new();
    for partition in 0..PARTITIONS {
        let records = runtime.block_on(log.read(&TopicPartition::new(run.output, partition), 0, usize::MAX))?;
        for record in &records {
            let said = load::read(record.value.as_deref()).context("an output is not one of the load")?;
            *seen.entry(said).or_default() += 1;
        }
    }
    let repeated = seen.values().filter(|times| **times > 1).count();
    let expected = written * u64::try_from(PARTITIONS)?;
    ensure!(repeated == 0, "{repeated} records are there more than once");
    ensure!(seen.len() as u64 == expected, "{} records are there of {expected}", seen.len());
    Ok(())
}

/// A stage that waits, and passes its record on.
struct Works {
    name: &'static str,
    input: &'static [&'static str],
    output: Arc<str>,
    member: &'static str,
    sightings: Arc<Sightings>,
}

#[async_trait]
impl Stage for Works {
    type In = Raw;

    fn name(&self) -> &'static str {
        self.name
    }

    fn reads(&self) -> &'static [&'static str] {
        self.input
    }

    async fn process(&self, batch: Vec<Raw>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for Raw(record) in batch {
            if let Some((partition, number)) = load::read(record.value.as_deref()) {
                self.sightings.add(self.member, partition, number);
                tokio::time::sleep(if number.is_multiple_of(SLOW_EVERY) { SLOW } else { QUICK }).await;
            }
            outcomes.push(Outcome::Emit(vec![record.onto(Arc::clone(&self.output))]));
        }
        outcomes
    }
}

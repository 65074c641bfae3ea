//! Stages that pass on what they read, each under a driver of its own, one behind the other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frameline_runtime::driver::{self, Plan, StageError, Status};
use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings};
use frameline_runtime::settings::StageSettings;
use frameline_runtime::stage::{Outcome, Raw, Stage};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// As one sets it who wants records to be passed on soon: more transactions, each of fewer records.
const COMMIT_INTERVAL: Duration = Duration::from_millis(5);

pub(super) struct Stages {
    runtime: Runtime,
    driving: Vec<JoinHandle<Result<(), StageError>>>,
    stop: CancellationToken,
}

impl Stages {
    /// A stage between each topic and the next.
    pub(super) fn start(bootstrap: &str, topics: &[String]) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let log = Arc::new(runtime.block_on(async { KafkaLog::connect(KafkaSettings::new(bootstrap)) })?);
        let stop = CancellationToken::new();
        let mut driving = Vec::new();
        for (input, output) in topics.iter().zip(topics.iter().skip(1)) {
            // What a stage says of itself lives as long as the program.
            let name: &'static str = format!("to-{output}").leak();
            let reads: &'static [&'static str] = vec![&*input.clone().leak()].leak();
            let stage = Arc::new(PassesOn { name, reads, output: output.as_str().into() });
            let settings =
                StageSettings { linger: Duration::ZERO, commit_interval: COMMIT_INTERVAL, ..StageSettings::default() };
            let plan = Plan::new(settings, "bench");
            driving.push(runtime.spawn(driver::run(stage, log.clone(), plan, Status::new(name), stop.clone())));
        }
        Ok(Self { runtime, driving, stop })
    }

    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        for driving in self.driving {
            self.runtime.block_on(driving)??;
        }
        Ok(())
    }
}

struct PassesOn {
    name: &'static str,
    reads: &'static [&'static str],
    output: Arc<str>,
}

#[async_trait]
impl Stage for PassesOn {
    type In = Raw;

    fn name(&self) -> &'static str {
        self.name
    }

    fn reads(&self) -> &'static [&'static str] {
        self.reads
    }

    async fn process(&self, batch: Vec<Raw>) -> Vec<Outcome> {
        batch.into_iter().map(|Raw(record)| Outcome::Emit(vec![record.onto(Arc::clone(&self.output))])).collect()
    }
}

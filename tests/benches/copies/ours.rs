//! The runtime's driver with a stage that copies.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use frameline_runtime::driver::{self, Plan, Status};
use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings};
use frameline_runtime::record::{Output, Record};
use frameline_runtime::settings::StageSettings;
use frameline_runtime::stage::{Outcome, Raw, Stage};

use super::{COMMIT_INTERVAL, INPUT, Run};

pub(crate) fn pass(run: &Run) -> anyhow::Result<()> {
    let settings = StageSettings {
        batch_records: 5_000,
        commit_interval: COMMIT_INTERVAL,
        in_flight_records: 200_000,
        in_flight_bytes: 256 << 20,
        ..StageSettings::default()
    };
    let stage = Arc::new(Copies {
        // A stage's name is its group's, and lives as long as the program.
        name: run.group.clone().leak(),
        output: run.output.as_str().into(),
        first: Arc::clone(&run.first),
    });
    let plan = Plan::new(settings, "bench");
    let status = Status::new(stage.name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let log = Arc::new(KafkaLog::connect(KafkaSettings::new(&run.bootstrap))?);
        driver::run(stage, log, plan, status, run.stop.clone()).await?;
        Ok(())
    })
}

struct Copies {
    name: &'static str,
    output: Arc<str>,
    first: Arc<OnceLock<Instant>>,
}

impl Copies {
    fn copy(&self, record: Record) -> Output {
        record.onto(Arc::clone(&self.output))
    }
}

#[async_trait]
impl Stage for Copies {
    type In = Raw;

    fn name(&self) -> &'static str {
        self.name
    }

    fn reads(&self) -> &'static [&'static str] {
        &[INPUT.name]
    }

    async fn process(&self, batch: Vec<Raw>) -> Vec<Outcome> {
        self.first.get_or_init(Instant::now);
        batch.into_iter().map(|Raw(record)| Outcome::Emit(vec![self.copy(record)])).collect()
    }
}

//! What the fault harness changes in processes of its own. The product changes nothing.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use frameline_runtime::breach::Breach;
use frameline_runtime::gate::Gate;
use frameline_runtime::{Failure, Outcome, Stage};

/// What is changed.
#[derive(Debug, Clone, Default)]
pub struct Tampering {
    /// The promise that is not kept.
    pub breach: Option<Breach>,
    /// The models fail on every so many-th input.
    pub model_failures: Option<NonZeroU64>,
    /// Where a batch may be held.
    pub gate: Option<Gate>,
}

/// A stage that fails on every so many-th input, as if a model had, and otherwise does what the stage does.
pub(crate) struct Flaky<S> {
    stage: S,
    every: NonZeroU64,
    inputs: AtomicU64,
}

impl<S> Flaky<S> {
    pub(crate) fn new(stage: S, every: NonZeroU64) -> Self {
        Self { stage, every, inputs: AtomicU64::new(0) }
    }
}

#[async_trait]
impl<S: Stage> Stage for Flaky<S> {
    type In = S::In;

    fn name(&self) -> &'static str {
        self.stage.name()
    }

    fn reads(&self) -> &'static [&'static str] {
        self.stage.reads()
    }

    async fn warm(&self) -> anyhow::Result<()> {
        self.stage.warm().await
    }

    fn dependency(&self) -> Option<&'static str> {
        self.stage.dependency()
    }

    async fn process(&self, batch: Vec<Self::In>) -> Vec<Outcome> {
        let mut outcomes = self.stage.process(batch).await;
        for outcome in &mut outcomes {
            if (self.inputs.fetch_add(1, Relaxed) + 1).is_multiple_of(self.every.get()) {
                *outcome = Outcome::Fail(Failure::transient("inference", "the harness had the model fail"));
            }
        }
        outcomes
    }
}

//! `jobs`: folds what the stages tell into the job store, for the owners who watch.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::sync::Arc;

use async_trait::async_trait;
use frameline_runtime::{Failure, Outcome, Stage};
use frameline_schemas::Progress;
use frameline_stores::jobs::JobStore;

/// The stage's name.
pub const NAME: &str = "jobs";

/// The topics that `jobs` reads.
pub const READS: &[&str] = &[frameline_topics::PROGRESS];

/// The stage `jobs`.
pub struct Jobs {
    store: Arc<dyn JobStore>,
}

impl Jobs {
    /// Folds into `store`.
    pub fn new(store: Arc<dyn JobStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Stage for Jobs {
    type In = Progress;

    fn name(&self) -> &'static str {
        NAME
    }

    fn reads(&self) -> &'static [&'static str] {
        READS
    }

    async fn process(&self, batch: Vec<Progress>) -> Vec<Outcome> {
        let folded = self.store.fold(&batch).await;
        let outcome = |_: &Progress| match &folded {
            Ok(()) => Outcome::Emit(Vec::new()),
            // A fold is a union, which takes any record: whatever fails is the store's, and every record needs it.
            Err(error) => Outcome::Fail(Failure::unavailable("job-store", error)),
        };
        batch.iter().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use frameline_runtime::Class;
    use frameline_schemas::{Head, Outcome as Ended, Step, file_id, job_id};
    use frameline_stores::jobs::{JobState, SqliteJobs};

    use super::*;

    fn progress(stage: &str, step: Step) -> Progress {
        let file_id = file_id("default", b"/a.svg");
        let head = Head {
            tenant: "default".to_owned(),
            file_id,
            revision: 1,
            job_id: job_id(file_id, 1),
            file_name: "/a.svg".to_owned(),
        };
        Progress {
            head,
            stage: stage.to_owned(),
            step,
            unit_id: None,
            outcome: Ended::Done,
            reason_code: None,
            reason: None,
            frames: None,
            passages: None,
            at: 1,
            redrives: 0,
            redriven: false,
        }
    }

    #[tokio::test]
    async fn a_batch_is_folded_and_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
        let stage = Jobs::new(store.clone());
        let batch = vec![progress("index", Step::End), progress("identify", Step::File)];
        let outcomes = stage.process(batch.clone()).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Emit(outputs) if outputs.is_empty())));
        assert_eq!(outcomes.len(), 2);
        let jobs = store.jobs(10).await.unwrap();
        assert_eq!(jobs[0].state, JobState::Done);
        stage.process(batch).await;
        assert_eq!(store.jobs(10).await.unwrap(), jobs);
    }

    #[tokio::test]
    async fn a_store_that_is_away_pauses_the_stage() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
        store.close().await;
        let outcomes = Jobs::new(Arc::new(store)).process(vec![progress("index", Step::End)]).await;
        let [Outcome::Fail(failure)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        assert_eq!(failure.class, Class::Unavailable);
        assert!(failure.error.contains("jobs.db"), "{}", failure.error);
    }
}

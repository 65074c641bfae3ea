//! `frameline jobs [ID]`: what was added, and how it went.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use frameline_schemas::{Outcome, Step};
use frameline_stores::jobs::{Job, StageCounts, Trouble};
use serde::Serialize;
use uuid::Uuid;

use super::Context;
use crate::cli;
use crate::error::Refusal;
use crate::output::{Table, one_line};

/// How many of a job's troubles are told.
const TROUBLES: usize = 1_000;

#[derive(Debug, Serialize)]
struct List {
    jobs: Vec<Row>,
    #[serde(skip)]
    now: SystemTime,
}

/// A job, as every command tells it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) file: String,
    pub(super) state: &'static str,
    pub(super) percent: u8,
    pub(super) revision: i64,
    pub(super) frames: Option<i32>,
    pub(super) passages: Option<i32>,
    pub(super) created_at_ms: i64,
    pub(super) updated_at_ms: i64,
    pub(super) stage: Option<String>,
    pub(super) code: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Detail {
    #[serde(flatten)]
    row: Row,
    stages: BTreeMap<String, Counts>,
    troubles: Vec<TroubleRow>,
}

#[derive(Debug, Serialize)]
struct Counts {
    done: u64,
    skipped: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct TroubleRow {
    stage: String,
    about: &'static str,
    unit_id: Option<Uuid>,
    outcome: &'static str,
    code: String,
    reason: String,
}

pub(super) async fn run(context: Context, command: cli::Jobs) -> Result<()> {
    context.needs_data()?;
    let store = context.ports.jobs().await?;
    let Some(id) = command.id else {
        let jobs = store.jobs(usize::try_from(command.limit)?).await?;
        let list = List { jobs: jobs.iter().map(Row::of).collect(), now: SystemTime::now() };
        return context.output.print(&list);
    };
    let Some(job) = store.job(&id).await? else {
        return Err(Refusal::new(format!("there is no job {id}"), "`frameline jobs` lists the newest").into());
    };
    let troubles = store.troubles(job.job_id, TROUBLES).await?;
    context.output.print(&Detail::of(&job, troubles))
}

impl Row {
    pub(super) fn of(job: &Job) -> Self {
        let trouble = job.trouble.as_ref();
        Self {
            id: job.job_id,
            file: job.name.clone(),
            state: job.state.as_str(),
            percent: job.percent,
            revision: job.revision,
            frames: job.frames,
            passages: job.passages,
            created_at_ms: job.created_at_ms,
            updated_at_ms: job.updated_at_ms,
            stage: trouble.map(|trouble| trouble.stage.clone()),
            code: trouble.map(|trouble| trouble.reason_code.clone()),
            reason: trouble.map(|trouble| trouble.reason.clone()),
        }
    }

    /// What is in it, or what went wrong.
    pub(super) fn told(&self) -> String {
        match (&self.stage, &self.reason) {
            (Some(stage), Some(reason)) => format!("{stage}: {reason}"),
            _ => match (self.frames, self.passages) {
                (Some(frames), Some(passages)) => format!("{frames} frames, {passages} passages"),
                _ => String::new(),
            },
        }
    }
}

impl Detail {
    fn of(job: &Job, troubles: Vec<Trouble>) -> Self {
        let stages = job.stages.iter().map(|(stage, counts)| (stage.clone(), Counts::of(*counts))).collect();
        Self { row: Row::of(job), stages, troubles: troubles.into_iter().map(TroubleRow::of).collect() }
    }
}

impl Counts {
    fn of(counts: StageCounts) -> Self {
        Self { done: counts.done, skipped: counts.skipped, failed: counts.failed }
    }
}

impl TroubleRow {
    fn of(trouble: Trouble) -> Self {
        Self {
            stage: trouble.stage,
            about: match trouble.step {
                Step::File => "file",
                Step::Unit => "unit",
                Step::End => "end",
            },
            unit_id: trouble.unit_id,
            outcome: match trouble.outcome {
                Outcome::Done => "done",
                Outcome::Skipped => "skipped",
                Outcome::Failed => "failed",
            },
            code: trouble.reason_code,
            reason: trouble.reason,
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.jobs.is_empty() {
            return formatter.write_str("no jobs yet; `frameline add PATH` makes some");
        }
        let mut table = Table::new(["job", "state", "%", "updated", "file", "what"]);
        for job in &self.jobs {
            table.row([
                job.id.to_string().chars().take(8).collect(),
                job.state.to_owned(),
                job.percent.to_string(),
                age(self.now, job.updated_at_ms),
                job.file.clone(),
                job.told(),
            ]);
        }
        table.fmt(formatter)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = &self.row;
        writeln!(formatter, "job       {}", row.id)?;
        writeln!(formatter, "file      {}", one_line(&row.file))?;
        writeln!(formatter, "revision  {}", row.revision)?;
        write!(formatter, "state     {}, {} %", row.state, row.percent)?;
        if !row.told().is_empty() {
            write!(formatter, "\n          {}", one_line(&row.told()))?;
        }
        if !self.stages.is_empty() {
            let mut table = Table::new(["stage", "done", "skipped", "failed"]);
            for (stage, counts) in &self.stages {
                let numbers = [counts.done, counts.skipped, counts.failed].map(|number| number.to_string());
                let [done, skipped, failed] = numbers;
                table.row([stage.clone(), done, skipped, failed]);
            }
            write!(formatter, "\n\n{table}")?;
        }
        if !self.troubles.is_empty() {
            let mut table = Table::new(["outcome", "stage", "about", "code", "reason"]);
            for trouble in &self.troubles {
                table.row([
                    trouble.outcome.to_owned(),
                    trouble.stage.clone(),
                    trouble.unit_id.map_or_else(|| trouble.about.to_owned(), |unit_id| unit_id.to_string()),
                    trouble.code.clone(),
                    trouble.reason.clone(),
                ]);
            }
            write!(formatter, "\n\n{table}")?;
        }
        Ok(())
    }
}

fn age(now: SystemTime, at_ms: i64) -> String {
    let then = UNIX_EPOCH + Duration::from_millis(u64::try_from(at_ms).unwrap_or_default());
    let seconds = now.duration_since(then).unwrap_or_default().as_secs();
    match seconds {
        0..=89 => format!("{seconds} s ago"),
        90..=5_399 => format!("{} min ago", seconds / 60),
        5_400..=172_799 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    fn row() -> Row {
        Row {
            id: Uuid::nil(),
            file: "/d/a.svg".to_owned(),
            state: "failed",
            percent: 100,
            revision: 1,
            frames: None,
            passages: None,
            created_at_ms: 0,
            updated_at_ms: 1,
            stage: Some("identify".to_owned()),
            code: Some("truncated".to_owned()),
            reason: Some("it ends early".to_owned()),
        }
    }

    #[test]
    fn the_shape_of_a_job_is_kept() {
        let list = List { jobs: vec![row()], now: UNIX_EPOCH + Duration::from_secs(601) };
        assert_eq!([serde_json::to_value(&list).unwrap()].as_slice(), documented("jobs"));
        assert!(list.to_string().contains("10 min ago"), "{list}");
    }

    #[test]
    fn the_shape_of_a_single_job_is_the_same_with_stages_and_troubles() {
        let trouble = Trouble {
            stage: "render".to_owned(),
            step: Step::Unit,
            unit_id: Some(Uuid::nil()),
            outcome: Outcome::Skipped,
            reason_code: "blank".to_owned(),
            reason: "nothing on it".to_owned(),
            at_ms: 5,
        };
        let counts = Counts { done: 3, skipped: 1, failed: 0 };
        let detail = Detail {
            row: row(),
            stages: BTreeMap::from([("render".to_owned(), counts)]),
            troubles: vec![TroubleRow::of(trouble)],
        };
        assert_eq!([serde_json::to_value(&detail).unwrap()].as_slice(), documented("jobs ID"));
    }
}

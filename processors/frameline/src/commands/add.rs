//! `frameline add PATH…`: hands files over, and with `--wait` follows them until each has ended.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use frameline_discover::{AddEvent, AddOutcome};
use frameline_stores::jobs::{Job, StoreError};
use serde::Serialize;
use uuid::Uuid;

use super::{Context, jobs};
use crate::cli;
use crate::config::LogKind;
use crate::data::Server;
use crate::error::{Interrupted, Told};
use crate::output::{self, count, one_line};
use crate::progress::Progress;
use crate::stages::Name;

/// Between two looks, however much happens.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// More files than this are summed up; what failed or was skipped is always listed.
const LISTED: usize = 30;

/// Files that were handed over, and what became of each.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    files: Vec<Row>,
    counts: BTreeMap<&'static str, usize>,
    service: Option<Server>,
    #[serde(skip)]
    note: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) file: String,
    pub(super) state: &'static str,
    pub(super) job: Option<Uuid>,
    pub(super) stage: Option<String>,
    pub(super) code: Option<String>,
    pub(super) reason: Option<String>,
}

pub(super) async fn run(context: Context, command: cli::Add) -> Result<()> {
    tokio::select! {
        ended = add(&context, &command) => ended,
        _ = tokio::signal::ctrl_c() => {
            let text = "no longer followed; what was queued goes on, and `frameline jobs` tells how";
            Err(Interrupted(text.to_owned()).into())
        }
    }
}

async fn add(context: &Context, command: &cli::Add) -> Result<()> {
    context.ports.prepare().await?;
    let mut rows = hand_over(context, &command.paths).await?;
    let service = context.ports.data().server(Name::Identify.as_str())?;
    let note = (service.is_none() && context.loaded.config.log.kind == LogKind::Embedded).then(|| unserved(context));
    let mut is_over = true;
    if command.wait {
        if let Some(note) = &note {
            output::note(note);
        }
        is_over = follow(context, &mut rows, command.timeout).await?;
    }
    let report = Report::of(rows, service, note.filter(|_| !command.wait));
    context.output.print(&report)?;
    if !is_over {
        output::note("gave up following; the work goes on, and `frameline jobs` tells how");
    }
    if is_over && !report.counts.contains_key("failed") { Ok(()) } else { Err(Told.into()) }
}

/// Hands over files and folders; the rows are in the order in which they were found.
pub(super) async fn hand_over(context: &Context, paths: &[PathBuf]) -> Result<Vec<Row>> {
    let discover = context.ports.discover().await?;
    let mut handed_over = 0;
    let mut progress = Progress::start(context.output, None);
    let report = discover
        .add(paths, |event| {
            handed_over += 1;
            progress.set(handed_over, &event.path.to_string_lossy());
        })
        .await
        .context("the files cannot be handed over")?;
    Ok(report.files.into_iter().map(Row::of_event).collect())
}

fn unserved(context: &Context) -> String {
    let data = context.ports.data().root();
    let named = context.common.data.as_ref().map_or_else(String::new, |_| format!(" --data {}", data.display()));
    format!("nobody works on them yet; in another terminal: frameline up{named}")
}

/// Waits until all jobs have ended, and says of each file how. False when the time was up before.
async fn follow(context: &Context, rows: &mut [Row], timeout: Option<Duration>) -> Result<bool> {
    let store = context.ports.jobs().await?;
    let mut changes = store.changes().await?;
    let jobs: Vec<Uuid> = rows.iter().filter_map(|row| row.job).collect();
    let followed: HashSet<Uuid> = store.unfinished(&jobs).await?.into_iter().collect();
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut progress = Progress::start(context.output, Some(jobs.len()));
    let unfinished = loop {
        let unfinished = patiently(deadline, async || store.unfinished(&jobs).await).await?;
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let current = unfinished.first().and_then(|job| rows.iter().find(|row| row.job == Some(*job)));
        progress.set(jobs.len() - unfinished.len(), current.map_or("", |row| &row.file));
        if unfinished.is_empty() || is_late {
            break unfinished;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        let rest = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        // Where the time is up, too, there is one more look.
        let _ = tokio::time::timeout(rest, changes.next()).await;
    };
    drop(progress);
    for row in rows.iter_mut() {
        // A file that was done before stays `unchanged`; one that was still on its way has something to tell.
        let Some(job_id) = row.job.filter(|job_id| row.state != "unchanged" || followed.contains(job_id)) else {
            continue;
        };
        if let Some(job) = patiently(deadline, async || store.job(&job_id.to_string()).await).await? {
            row.take(&job);
        }
    }
    Ok(unfinished.is_empty())
}

/// Asks until there is an answer, or it is late: the work goes on while the store is away for a moment.
async fn patiently<T>(
    deadline: Option<Instant>,
    ask: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut is_told = false;
    loop {
        match ask().await {
            Err(error @ StoreError::Unavailable { .. })
                if deadline.is_none_or(|deadline| Instant::now() < deadline) =>
            {
                if !std::mem::replace(&mut is_told, true) {
                    output::note(format!("{error}; waiting for it"));
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            answer => return answer,
        }
    }
}

impl Row {
    fn of_event(event: AddEvent) -> Self {
        let file = one_line(&event.path.to_string_lossy());
        let row = |state, job| Self { file, state, job, stage: None, code: None, reason: None };
        match event.outcome {
            AddOutcome::Queued { job_id } => row("queued", Some(job_id)),
            AddOutcome::Unchanged { job_id } => row("unchanged", Some(job_id)),
            AddOutcome::Refused { job_id, code, reason } => Self {
                stage: Some(frameline_discover::NAME.to_owned()),
                code: Some(code.to_owned()),
                reason: Some(reason),
                // A socket in a folder is no reason for a script to stop.
                ..row(if code == "special" { "skipped" } else { "failed" }, job_id)
            },
        }
    }

    fn take(&mut self, job: &Job) {
        let jobs::Row { state, stage, code, reason, .. } = jobs::Row::of(job);
        (self.state, self.stage, self.code, self.reason) = (state, stage, code, reason);
    }
}

impl Report {
    fn of(files: Vec<Row>, service: Option<Server>, note: Option<String>) -> Self {
        let mut counts = BTreeMap::new();
        for row in &files {
            *counts.entry(row.state).or_default() += 1;
        }
        Self { files, counts, service, note }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_short = self.files.len() <= LISTED;
        for row in &self.files {
            if is_short || ["failed", "skipped"].contains(&row.state) {
                write!(formatter, "{:9}  {}", row.state, row.file)?;
                if let (Some(stage), Some(reason)) = (&row.stage, &row.reason) {
                    write!(formatter, "\n           {stage}: {}", one_line(reason))?;
                }
                writeln!(formatter)?;
            }
        }
        let counts: Vec<_> = self.counts.iter().map(|(state, number)| format!("{number} {state}")).collect();
        write!(formatter, "{}: {}", count(self.files.len(), "file"), counts.join(", "))?;
        match &self.note {
            Some(note) => write!(formatter, "\n{note}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    fn row() -> Row {
        Row {
            file: "/d/broken.svg".to_owned(),
            state: "failed",
            job: Some(Uuid::nil()),
            stage: Some("identify".to_owned()),
            code: Some("truncated".to_owned()),
            reason: Some("it ends early".to_owned()),
        }
    }

    #[test]
    fn the_shape_of_an_added_file_is_kept() {
        let server = Server { pid: Some(7), address: Some("127.0.0.1:8470".parse().unwrap()) };
        let report = Report::of(vec![row()], Some(server), None);
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("add"));
    }

    #[test]
    fn of_many_files_only_those_in_trouble_are_listed() {
        let queued =
            Row { state: "queued", file: "/d/fine.svg".to_owned(), stage: None, code: None, reason: None, ..row() };
        let mut files = vec![queued; 100];
        files.push(row());
        let text = Report::of(files, None, None).to_string();
        assert_eq!(
            text,
            "failed     /d/broken.svg\n           identify: it ends early\n101 files: 1 failed, 100 queued"
        );
    }
}

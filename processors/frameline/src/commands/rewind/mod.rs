//! `frameline rewind`: puts a stage back, so that it does records again.
//!
//! Plan, backup, commit, read back. The group has to be empty, and where the plan says that it is; the log itself
//! refuses anything else, so nothing that happens in between can slip through.

mod report;
mod target;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use frameline_runtime::log::operate::{GroupMember, Move, Operate, ResetError};
use frameline_runtime::moment::now_ms;
use frameline_runtime::rewind::{Offsets, Step, backup};

use super::Context;
use crate::audit::audited;
use crate::cli::Rewind;
use crate::data::DataDir;
use crate::error::Refusal;
use crate::stages::Name;
use report::Report;
use target::Target;

pub(super) async fn run(context: Context, rewind: Rewind) -> Result<()> {
    context.needs_data()?;
    let log = context.ports.operate().await?;
    let target = Target::of(&rewind)?;
    let stage = target.stage();
    let topics: Vec<String> = stage.reads().iter().map(|topic| (*topic).to_owned()).collect();
    let group = log.lag(stage.as_str(), &topics).await.with_context(|| format!("where {stage} is"))?;
    let steps = target.steps(log.as_ref(), &group, now_ms()).await?;
    let members = log.members(stage.as_str()).await?;
    let mut report = Report::new(stage, &steps, written_at(log.as_ref(), &steps).await?, &members);
    if !rewind.execute || steps.is_empty() {
        return context.output.print(&report);
    }
    if !members.is_empty() {
        return Err(at_work(stage, &members, context.ports.data()).into());
    }
    let kept = rewind.backup.unwrap_or_else(|| backup_file(context.ports.data(), stage));
    keep(&kept, &steps)?;
    report.keep(&kept);
    let moves: Vec<Move> = steps.iter().map(Step::as_move).collect();
    let done = audited(log.as_ref(), &report, async {
        let reset = log.reset(stage.as_str(), &moves).await;
        reset.map_err(|error| refusal(error, stage, context.ports.data(), &kept).into())
    });
    done.await?;
    report.executed();
    context.output.print(&report)
}

/// When the first record that each step leads to was written.
async fn written_at(log: &dyn Operate, steps: &[Step]) -> Result<Vec<Option<i64>>> {
    let places: Vec<_> = steps.iter().map(|step| (step.partition.clone(), step.to)).collect();
    log.written_at(&places).await.context("the times of the records that are to be done again")
}

/// A file of that name that is not there yet.
fn backup_file(data: &DataDir, stage: Name) -> PathBuf {
    data.backups().join(format!("{stage}-{}.csv", now_ms()))
}

/// Writes where the steps begin; on the disk before anything is moved.
fn keep(file: &Path, steps: &[Step]) -> Result<()> {
    let offsets: Offsets = steps.iter().map(|step| (step.partition.clone(), step.from)).collect();
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        let mut opened = File::create_new(file)?;
        opened.write_all(backup::render(&offsets).as_bytes())?;
        opened.sync_all()
    });
    written.map_err(|error| {
        let message = format!("the backup {} cannot be written, so nothing was moved", file.display());
        Refusal::new(message, "name another file: --backup FILE").because(error).into()
    })
}

fn at_work(stage: Name, members: &[GroupMember], data: &DataDir) -> Refusal {
    let mut who: Vec<String> = members.iter().map(GroupMember::to_string).collect();
    // On the embedded log members have no address, but whoever runs the stage says who it is.
    if let Ok(Some(server)) = data.server(stage.as_str()) {
        who.push(server.to_string());
    }
    let help = "stop it (SIGTERM, or scale it to zero) and run the same again once `frameline lag` shows no members; \
                one that was killed stays a member until its session timeout";
    Refusal::new(format!("{stage} is at work, and nothing was moved: {}", who.join(", ")), help)
}

fn refusal(error: ResetError, stage: Name, data: &DataDir, kept: &Path) -> Refusal {
    if !matches!(error, ResetError::Unconfirmed { .. } | ResetError::Unread(_)) {
        // Nothing was moved, so there is nothing to undo. One that cannot be removed does no harm.
        let _ = fs::remove_file(kept);
    }
    match error {
        ResetError::HasMembers { members, .. } => at_work(stage, &members, data),
        moved @ ResetError::Moved { .. } => Refusal::new(
            format!("{stage} has moved since the plan was made, and nothing was changed: {moved}"),
            "run the same again for a new plan",
        ),
        unconfirmed @ ResetError::Unconfirmed { .. } => Refusal::new(
            format!("not all of it is as it was written: {unconfirmed}"),
            format!("look at `frameline lag {stage}`; where it was before is in {}", kept.display()),
        ),
        unread @ ResetError::Unread(_) => Refusal::new(
            format!("whether {stage} was moved is not known: {unread}"),
            format!(
                "look at `frameline lag {stage}` once the log answers; where it was before is in {}",
                kept.display()
            ),
        ),
        ResetError::Log(error) => {
            Refusal::new("nothing was moved", "run the same again once the log answers").because(error)
        }
    }
}

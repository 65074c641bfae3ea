//! `frameline rewind`: puts a stage back, so that it does records again.
//!
//! Plan, backup, commit, read back. The group has to be empty, and where the plan says that it is; the log itself
//! refuses anything else, so nothing that happens in between can slip through. On Kubernetes the stage's Deployment is
//! held still first, and let go after; the plan is made anew once nobody is at work.

mod commands;
mod held;
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
use crate::kubernetes::Workload;
use crate::stages::Name;
use commands::Commands;
use held::Hold;
use report::{LetGo, Report};
use target::Target;

pub(super) async fn run(context: Context, rewind: Rewind) -> Result<()> {
    let workload = if rewind.cluster.kubernetes {
        let unnamed = || Refusal::new("no stage is named", "name it: its Deployment is what is held");
        Some(Workload::of(rewind.stage.ok_or_else(unnamed)?, &rewind.cluster).await?)
    } else {
        None
    };
    if let (Some(workload), Some(stage), true) = (&workload, rewind.stage, rewind.target.resume) {
        let commands = commands(&context, stage, &rewind, Some(workload));
        return let_go(&context, &Hold { workload, stage, commands: &commands }, rewind.execute).await;
    }
    context.needs_data()?;
    let log = context.ports.operate().await?;
    let (log, target) = (log.as_ref(), Target::of(&rewind)?);
    let plan = Plan::make(log, &target, workload.as_ref()).await?;
    // One that is there already, and still held, was put there by a rewind that did not come to its end.
    if !rewind.execute || (plan.steps.is_empty() && !plan.report.is_held()) {
        return context.output.print(&plan.report);
    }
    let (stage, data) = (target.stage(), context.ports.data());
    let commands = commands(&context, stage, &rewind, workload.as_ref());
    let kept = std::path::absolute(rewind.backup.unwrap_or_else(|| backup_file(data, stage)))?;
    let done = match &workload {
        None => {
            plan.refuse_members(data)?;
            keep(&kept, &plan.steps)?;
            audited(log, &plan.report, plan.carry_out(log, data, &kept, &commands)).await?;
            plan.report.executed(&kept)
        }
        Some(workload) => {
            let work = async {
                // It went on until it stood still.
                let plan = Plan::make(log, &target, Some(workload)).await?;
                if !plan.steps.is_empty() {
                    keep(&kept, &plan.steps)?;
                    plan.carry_out(log, data, &kept, &commands).await?;
                }
                Ok(plan.report.executed(&kept))
            };
            let hold = Hold { workload, stage, commands: &commands };
            audited(log, &plan.report, hold.still(log, rewind.cluster.within, work)).await?
        }
    };
    context.output.print(&done)
}

/// What takes back what this rewind does.
fn commands(context: &Context, stage: Name, rewind: &Rewind, workload: Option<&Workload>) -> Commands {
    Commands::new(stage, context.common.config.as_deref(), &rewind.cluster, workload.map(Workload::place))
}

/// What was held by a rewind that did not come to its end.
async fn let_go(context: &Context, hold: &Hold<'_>, is_executed: bool) -> Result<()> {
    let (place, before) = (hold.workload.place().clone(), hold.workload.stand().await?);
    let mut report = LetGo { place, before, after: before, executed: false };
    if is_executed {
        context.needs_data()?;
        let log = context.ports.operate().await?;
        report.after = audited(log.as_ref(), &report, hold.let_go()).await?;
        report.executed = true;
    }
    context.output.print(&report)
}

/// What is to be done, from what the group is like now.
struct Plan {
    stage: Name,
    steps: Vec<Step>,
    members: Vec<GroupMember>,
    report: Report,
}

impl Plan {
    /// `workload` is what is held still for it.
    async fn make(log: &dyn Operate, target: &Target, workload: Option<&Workload>) -> Result<Self> {
        let stage = target.stage();
        let group = log.lag(stage.as_str(), &stage.topics()).await.with_context(|| format!("where {stage} is"))?;
        let steps = target.steps(log, &group, now_ms()).await?;
        let members = log.members(stage.as_str()).await?;
        let mut report = Report::new(stage, &steps, written_at(log, &steps).await?, &members);
        if let Some(workload) = workload {
            report.hold(workload.place(), workload.stand().await?);
        }
        Ok(Self { stage, steps, members, report })
    }

    fn refuse_members(&self, data: &DataDir) -> Result<()> {
        if self.members.is_empty() { Ok(()) } else { Err(at_work(self.stage, &self.members, data).into()) }
    }

    /// Moves the group; where it was is in `kept` already.
    async fn carry_out(&self, log: &dyn Operate, data: &DataDir, kept: &Path, back: &Commands) -> Result<()> {
        let moves: Vec<Move> = self.steps.iter().map(Step::as_move).collect();
        let reset = log.reset(self.stage.as_str(), &moves).await;
        reset.map_err(|error| refusal(error, self.stage, data, kept, back).into())
    }
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

fn refusal(error: ResetError, stage: Name, data: &DataDir, kept: &Path, back: &Commands) -> Refusal {
    if !matches!(error, ResetError::Unconfirmed { .. } | ResetError::Unread(_)) {
        // Nothing was moved, so there is nothing to undo. One that cannot be removed does no harm.
        let _ = fs::remove_file(kept);
    }
    // Told in the message, for on Kubernetes the help is how to let go.
    let file = kept.display().to_string();
    let before = format!("where it was before is in {file}, and `{}` undoes what was moved", back.undo(&file));
    match error {
        ResetError::HasMembers { members, .. } => at_work(stage, &members, data),
        moved @ ResetError::Moved { .. } => Refusal::new(
            format!("{stage} has moved since the plan was made, and nothing was changed: {moved}"),
            "run the same again for a new plan",
        ),
        unconfirmed @ ResetError::Unconfirmed { .. } => Refusal::new(
            format!("not all of it is as it was written: {unconfirmed}; {before}"),
            format!("look at `frameline lag {stage}`"),
        ),
        unread @ ResetError::Unread(_) => Refusal::new(
            format!("whether {stage} was moved is not known: {unread}; {before}"),
            format!("look at `frameline lag {stage}` once the log answers"),
        ),
        ResetError::Log(error) => {
            Refusal::new("nothing was moved", "run the same again once the log answers").because(error)
        }
    }
}

//! `frameline rewind`: puts a stage back, so that it does records again.
//!
//! Plan, backup, commit, read back. The group has to be empty, and where the plan says that it is; the log itself
//! refuses anything else, so nothing that happens in between can slip through. On Kubernetes the stage's Deployment is
//! held still first, and let go after; the plan is made anew once nobody is at work.

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
use report::{LetGo, Report};
use target::Target;

pub(super) async fn run(context: Context, rewind: Rewind) -> Result<()> {
    let workload = if rewind.cluster.kubernetes {
        let unnamed = || Refusal::new("no stage is named", "name it: its Deployment is what is held");
        Some(Workload::of(rewind.stage.ok_or_else(unnamed)?, &rewind.cluster).await?)
    } else {
        None
    };
    if let (Some(workload), true) = (&workload, rewind.target.resume) {
        return let_go(&context, workload, rewind.execute).await;
    }
    context.needs_data()?;
    let log = context.ports.operate().await?;
    let (log, target) = (log.as_ref(), Target::of(&rewind)?);
    let plan = Plan::make(log, &target, workload.as_ref()).await?;
    if !rewind.execute || plan.steps.is_empty() {
        return context.output.print(&plan.report);
    }
    let (stage, data) = (target.stage(), context.ports.data());
    let kept = rewind.backup.unwrap_or_else(|| backup_file(data, stage));
    let done = match &workload {
        None => {
            plan.refuse_members(data)?;
            keep(&kept, &plan.steps)?;
            audited(log, &plan.report, plan.carry_out(log, data, &kept)).await?;
            plan.report
        }
        Some(workload) => {
            let work = async {
                // It went on until it stood still.
                let plan = Plan::make(log, &target, Some(workload)).await?;
                if !plan.steps.is_empty() {
                    keep(&kept, &plan.steps)?;
                    plan.carry_out(log, data, &kept).await?;
                }
                Ok(plan.report)
            };
            let patience = rewind.cluster.within;
            audited(log, &plan.report, held::still(workload, log, stage, patience, work)).await?
        }
    };
    context.output.print(&done.executed(&kept))
}

/// What was held by a rewind that did not come to its end.
async fn let_go(context: &Context, workload: &Workload, is_executed: bool) -> Result<()> {
    let before = workload.stand().await?;
    let after = if is_executed { workload.let_go().await? } else { before };
    context.output.print(&LetGo { place: workload.place().clone(), before, after, executed: is_executed })
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
    async fn carry_out(&self, log: &dyn Operate, data: &DataDir, kept: &Path) -> Result<()> {
        let moves: Vec<Move> = self.steps.iter().map(Step::as_move).collect();
        let reset = log.reset(self.stage.as_str(), &moves).await;
        reset.map_err(|error| refusal(error, self.stage, data, kept).into())
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

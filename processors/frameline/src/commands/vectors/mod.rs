//! `frameline vectors rebuild`: an index made anew from what the other stores have, while everything goes on.
//!
//! Where a unit comes from does not change: the contents of all files are among the blobs, and the catalogue knows
//! their newest revisions. So the files' records are sent once more, and the stages that run do the work, by their
//! models of today. Records are upserts by deterministic ids, so nothing that is there is doubled.
//!
//! - **In the data directory** the index is filled in place. A `vectors.db` that was lost or moved away is made anew.
//! - **In Qdrant** a new collection is filled beside the live one. This command reads the topic `embeddings` from
//!   its beginning into it, first what the topic still keeps, then what the stages make of the files that were
//!   missing: those are sent which have no end in the new collection. When all stages have passed what was there
//!   and every end has arrived, the alias is switched. What the stage `index` wrote to the old collection until
//!   then was in the topic before; that much is read once more. A file that only the live one has, in whatever
//!   revision, as one whose newest was refused, keeps the alias where it is, unless it may be left behind. After a change of models this is how an index by the
//!   new ones comes to be: until then the live one, which is by others, takes nothing and is not searched.
//!
//! How far it is lies in what is filled: the ends of files, and for Qdrant a note of the offsets. So it can be
//! stopped at any time, and a second call goes on.

pub(super) mod beside;
mod filler;
pub(super) mod note;
mod rebuild;

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use super::feed::until_interrupted;
use crate::audit::audited;
use crate::cli::{self, VectorsCommand};
use crate::config::LogKind;
use crate::error::Refusal;
use crate::stages::Name;
use beside::Beside;
use rebuild::Rebuild;

/// What is planned, and what came of it.
#[derive(Debug, Clone, Serialize)]
struct Report {
    /// `vectors.db`, or the collection that is filled.
    index: String,
    /// The collection that the alias stands for until it is switched; null in the data directory.
    live: Option<String>,
    /// Whether an earlier call has begun it.
    begun: bool,
    /// Files that are known, deleted ones among them.
    files: u64,
    /// Those that are sent again.
    missing: u64,
    /// Those that were sent again.
    sent: u64,
    executed: bool,
}

pub(super) async fn run(context: Context, command: VectorsCommand) -> Result<()> {
    let VectorsCommand::Rebuild(command) = command;
    refuse_nothing(&context)?;
    let mut report;
    match context.ports.qdrant()? {
        Some(vectors) => {
            let beside = Beside::look(vectors).await?;
            report = beside.plan(&context).await?;
            if command.execute {
                report.sent = execute(&context, &report, beside.run(&context, &command)).await?;
            }
        }
        None => {
            refuse_lost_under_a_service(&context)?;
            report = plan_in_place(&context, command.all).await?;
            if command.execute {
                report.sent = execute(&context, &report, in_place(&context, &command)).await?;
            }
        }
    }
    report.executed = command.execute;
    context.output.print(&report)
}

async fn execute(context: &Context, plan: &Report, work: impl Future<Output = Result<u64>>) -> Result<u64> {
    let log = context.ports.log().await?;
    let again = "asked again, it goes on where it was";
    audited(log.as_ref(), plan, until_interrupted(again, rebuild::with_stages(context, work))).await
}

async fn plan_in_place(context: &Context, all: bool) -> Result<Report> {
    let is_there = context.ports.data().vectors().exists();
    let rebuild = match is_there {
        true => Rebuild::of(context, context.ports.vectors().await?).await?,
        false => Rebuild::of_all(context).await?,
    };
    let (files, missing) = rebuild.files(all).await?;
    let index = context.ports.data().vectors().display().to_string();
    Ok(Report { index, live: None, begun: is_there, files, missing, sent: 0, executed: false })
}

/// Fills the one file there is.
async fn in_place(context: &Context, command: &cli::Rebuild) -> Result<u64> {
    let mut rebuild = Rebuild::of(context, context.ports.vectors().await?).await?;
    let sent = rebuild.send_missing(command.all).await?;
    rebuild.drain().await?;
    Ok(sent)
}

/// A directory in which nothing ever was has nothing to rebuild from.
fn refuse_nothing(context: &Context) -> Result<()> {
    if context.ports.keeps_nothing() || context.ports.is_complete_but_for_vectors()? {
        return Ok(());
    }
    let message = format!("there is nothing in the data directory {} yet", context.ports.data().root().display());
    Err(Refusal::new(message, "bring files in with `frameline add PATH`, or name another directory: --data DIR").into())
}

/// A service that runs still writes to the file that is gone.
fn refuse_lost_under_a_service(context: &Context) -> Result<()> {
    let data = context.ports.data();
    let server = if data.vectors().exists() { None } else { data.server(Name::Index.as_str())? };
    let Some(server) = server else { return Ok(()) };
    let message = format!("{} is gone, and {server} still writes to what it was", data.vectors().display());
    Err(Refusal::new(message, "stop it, ask again, and start it afterwards").into())
}

/// Whether this process has to run the stages itself: on the embedded log, where nobody does.
fn runs_stages(context: &Context) -> Result<bool> {
    let is_embedded = context.loaded.config.log.kind == LogKind::Embedded;
    Ok(is_embedded && context.ports.data().server(Name::Index.as_str())?.is_none())
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.begun { "goes on filling" } else { "makes" };
        write!(formatter, "{verb} {}", self.index)?;
        if let Some(live) = &self.live {
            write!(formatter, "\nbeside {live}, which is searched until then")?;
        }
        write!(formatter, "\n{} of {} files are missing there", self.missing, self.files)?;
        match (self.executed, &self.live) {
            (false, _) => write!(formatter, "\nnothing was done; --execute does it"),
            (true, None) => write!(formatter, "\ndone, {} sent again", self.sent),
            (true, Some(live)) => {
                write!(formatter, "\ndone, {} sent again; {} is searched now in place of {live}", self.sent, self.index)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    fn report() -> Report {
        Report {
            index: "frameline-mini-384-lite-1280-2".to_owned(),
            live: Some("frameline-mini-384-lite-1280-1".to_owned()),
            begun: false,
            files: 27,
            missing: 27,
            sent: 0,
            executed: false,
        }
    }

    #[test]
    fn the_shape_of_the_report_is_kept() {
        assert_eq!(serde_json::to_value(report()).unwrap(), documented("vectors rebuild")[0]);
    }

    #[test]
    fn a_plan_says_that_nothing_was_done() {
        assert!(report().to_string().ends_with("--execute does it"), "{}", report());
    }
}

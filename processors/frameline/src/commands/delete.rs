//! `frameline delete FILE`: takes a file, or all files below a folder, out of the index.

use std::fmt;

use anyhow::{Context as _, Result};
use frameline_discover::AddOutcome;
use serde::Serialize;
use uuid::Uuid;

use super::Context;
use crate::audit::audited;
use crate::cli;
use crate::error::Refusal;
use crate::output::{count, one_line};

#[derive(Debug, Serialize)]
struct Report {
    files: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    file: String,
    state: &'static str,
    job: Option<Uuid>,
}

/// What goes on record before it begins: which files are meant only the deletion itself finds out.
#[derive(Debug, Serialize)]
struct Plan {
    file: String,
}

pub(super) async fn run(context: Context, command: cli::Delete) -> Result<()> {
    context.needs_data()?;
    let log = context.ports.log_with_audit().await?;
    let file = std::path::absolute(&command.file).unwrap_or_else(|_| command.file.clone());
    let plan = Plan { file: one_line(&file.to_string_lossy()) };
    let report = audited(log.as_ref(), &plan, delete(&context, &command)).await?;
    context.output.print(&report)
}

async fn delete(context: &Context, command: &cli::Delete) -> Result<Report> {
    let discover = context.ports.discover().await?;
    let report = discover.delete(&command.file, |_| {}).await.context("the deletion cannot be handed over")?;
    let mut files = Vec::with_capacity(report.files.len());
    for event in report.files {
        let file = one_line(&event.path.to_string_lossy());
        match event.outcome {
            AddOutcome::Queued { job_id } => files.push(Row { file, state: "queued", job: Some(job_id) }),
            AddOutcome::Unchanged { job_id } => files.push(Row { file, state: "unchanged", job: Some(job_id) }),
            AddOutcome::Refused { reason, .. } => {
                let help = "name it as it was added; `frameline jobs` lists what was";
                return Err(Refusal::new(format!("{file}: {reason}"), help).into());
            }
        }
    }
    Ok(Report { files })
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.files {
            writeln!(formatter, "{:9}  {}", row.state, row.file)?;
        }
        write!(formatter, "{} to be taken out of the index", count(self.files.len(), "file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_deletion_is_kept() {
        let row = Row { file: "/d/a.svg".to_owned(), state: "queued", job: Some(Uuid::nil()) };
        let report = Report { files: vec![row] };
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("delete"));
    }
}

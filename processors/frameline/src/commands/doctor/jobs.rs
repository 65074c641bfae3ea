//! Files and jobs: whether they can be had, whether their schema is this version's, and what is in them.

use anyhow::Result;
use frameline_stores::jobs::{FilesAndJobs, StoreError};

use super::{Context, Finding};
use crate::ports::MIGRATE;

/// So many connections of PostgreSQL are left free, at least, for whoever comes to look.
const LEFT_FREE: u64 = 5;

/// In PostgreSQL, whatever the data directory has.
pub(super) async fn look(context: &Context) -> Finding {
    match find(context).await {
        Ok(finding) => finding,
        Err(error) => {
            let is_older = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(StoreError::Older { .. })));
            let remedy = if is_older {
                MIGRATE
            } else {
                "see to it as it says; stages wait, and nothing that is accepted is lost"
            };
            Finding::error("jobs", format!("{error:#}"), remedy)
        }
    }
}

async fn find(context: &Context) -> Result<Finding> {
    if context.loaded.config.jobs.is_embedded() {
        return Ok(Finding::ok("jobs", contents(context.ports.jobs().await?.as_ref()).await?));
    }
    let schema = context.ports.schema().await?;
    schema.refuse_other()?;
    let Some(jobs) = context.ports.postgres().await? else { return Ok(Finding::ok("jobs", "embedded")) };
    let about = jobs.about().await?;
    let what = format!(
        "{}: PostgreSQL {}, schema {}, {} of {} connections in use; {}",
        schema.place,
        about.server,
        schema.version,
        about.connections,
        about.connections_limit,
        contents(&jobs).await?
    );
    let wanted = u64::from(context.loaded.config.jobs.connections) + LEFT_FREE;
    if about.connections + wanted > about.connections_limit {
        let remedy = "raise the server's max_connections, or lower jobs.connections: each process may take so many";
        return Ok(Finding::warning("jobs", what, remedy));
    }
    Ok(Finding::ok("jobs", what))
}

async fn contents(jobs: &dyn FilesAndJobs) -> Result<String> {
    let files = jobs.file_counts().await?;
    let states = jobs.job_counts().await?;
    let states: Vec<String> = states.iter().map(|(state, number)| format!("{number} {}", state.as_str())).collect();
    let states = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
    Ok(format!("{} files; jobs: {states}", files.files))
}

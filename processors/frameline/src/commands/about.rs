//! Which file and which job are meant, by path, id or the start of an id.

use std::path::Path;

use anyhow::Result;
use uuid::Uuid;

use super::Context;
use crate::cli::About;
use crate::error::Refusal;
use crate::output::one_line;

/// The ids of what is meant.
pub(super) struct Named {
    pub(super) file: Option<Uuid>,
    pub(super) job: Option<Uuid>,
}

/// Looks up what is named; refuses what is not known.
pub(super) async fn named(context: &Context, about: &About) -> Result<Named> {
    let file = match &about.file {
        Some(name) => Some(file(context, name).await?),
        None => None,
    };
    let job = match &about.job {
        Some(id) => Some(job(context, id).await?),
        None => None,
    };
    Ok(Named { file, job })
}

async fn file(context: &Context, name: &Path) -> Result<Uuid> {
    if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
        return Ok(id);
    }
    let known = context.ports.discover().await?.known(name).await?;
    let name = one_line(&name.to_string_lossy());
    let unknown = || Refusal::new(format!("there is no file {name}"), "name it as it was added, or by its id");
    Ok(known.ok_or_else(unknown)?.file_id)
}

async fn job(context: &Context, id: &str) -> Result<Uuid> {
    let known = context.ports.jobs().await?.job(id).await?;
    let unknown = || Refusal::new(format!("there is no job {id}"), "`frameline jobs` lists the newest");
    Ok(known.ok_or_else(unknown)?.job_id)
}

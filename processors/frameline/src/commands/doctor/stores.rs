//! Blobs, vectors: whether they answer, and what is in them.

use anyhow::Result;

use super::{Context, Finding};

/// All of them.
pub(super) async fn all(context: &Context) -> Vec<Finding> {
    vec![
        of("vectors", vectors(context).await),
        of("blobs", context.ports.blobs().map(|_| "the folder of blobs is there".to_owned())),
    ]
}

fn of(check: &'static str, found: Result<String>) -> Finding {
    match found {
        Ok(what) => Finding::ok(check, what),
        Err(error) => {
            Finding::error(check, format!("{error:#}"), "see to it as it says; nothing that is accepted is lost")
        }
    }
}

async fn vectors(context: &Context) -> Result<String> {
    let counts = context.ports.vectors().await?.counts().await?;
    let section = &context.loaded.config.vectors;
    let place = if section.is_embedded() { "embedded" } else { section.url.as_str() };
    Ok(format!("{place}: {} frames and {} passages", counts.frames, counts.passages))
}

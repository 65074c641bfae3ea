//! Blobs, vectors: whether they answer, and what is in them.

use anyhow::Result;

use super::{Context, Finding};

/// All of them.
pub(super) async fn all(context: &Context) -> Vec<Finding> {
    vec![of("vectors", vectors(context).await), of("blobs", blobs(context).await)]
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
    let place = match context.ports.qdrant()? {
        Some(qdrant) => format!("Qdrant {} at {}", qdrant.version().await?, context.loaded.config.vectors.url),
        None => "embedded".to_owned(),
    };
    Ok(format!("{place}: {} frames and {} passages", counts.frames, counts.passages))
}

async fn blobs(context: &Context) -> Result<String> {
    context.ports.blobs()?.check().await?;
    let section = &context.loaded.config.blobs;
    Ok(if section.is_embedded() {
        "the folder of blobs is there".to_owned()
    } else {
        format!("{}: the bucket lets us in", section.url)
    })
}

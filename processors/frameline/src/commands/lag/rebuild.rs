//! A rebuild of the index that was begun and has not come to its end, beside the lag of the stages.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::super::Context;
use super::super::vectors::beside::Beside;
use super::super::vectors::note::Note;
use crate::output::count;
use crate::stages::Name;

/// How far it is. In the data directory there is none: the one index is filled in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Rebuild {
    /// The collection that is filled.
    pub(super) index: String,
    /// The one whose place it takes.
    pub(super) live: String,
    /// Files of which no end has arrived there.
    pub(super) files: u64,
    /// Records of `embeddings` that it has before it.
    pub(super) records: i64,
}

/// Looks for one. The lag of the stages is told whether Qdrant answers or not.
pub(super) async fn look(context: &Context) -> Option<Rebuild> {
    begun(context).await.unwrap_or_else(|error| {
        tracing::warn!("whether the index is being rebuilt cannot be told: {error:#}");
        None
    })
}

async fn begun(context: &Context) -> Result<Option<Rebuild>> {
    let Some(vectors) = context.ports.qdrant()? else { return Ok(None) };
    let beside = Beside::look(vectors).await?;
    if !beside.is_begun {
        return Ok(None);
    }
    let target = beside.target();
    let left = Note::of(&target).await?.left(context.ports.log().await?.readable(&Name::Index.topics()).await?);
    let known = context.ports.jobs().await?.file_counts().await?;
    Ok(Some(Rebuild {
        files: (known.files + known.deleted).saturating_sub(target.ended().await?),
        index: beside.collection,
        live: beside.old,
        records: left.iter().map(|span| span.to - span.from).sum(),
    }))
}

impl fmt::Display for Rebuild {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, live, files, records } = self;
        let left = |number: u64, thing| count(usize::try_from(number).unwrap_or(usize::MAX), thing);
        let (files, records) = (left(*files, "file"), left(records.unsigned_abs(), "record"));
        write!(
            formatter,
            "a rebuild has begun: {files} and {records} are left before {index} takes the place of {live};"
        )?;
        write!(formatter, " `frameline vectors rebuild --execute` goes on with it")
    }
}

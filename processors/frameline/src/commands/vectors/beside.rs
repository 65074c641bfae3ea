//! A rebuild in Qdrant: a new collection is filled beside the live one, and takes its place.
//!
//! Between the switch and what is read once more a rebuild may be killed: so before it switches, it notes in the new
//! collection whose place it takes, and the note is taken back when all was read. A live collection with that note is
//! one whose rebuild is still to be ended.

use std::sync::Arc;

use anyhow::Result;
use frameline_stores::vectors::qdrant::QdrantVectors;

use super::note::Note;
use super::rebuild::{Lost, Rebuild};
use super::{Context, Report};
use crate::cli;
use crate::error::Refusal;

/// What is filled, and whose place it takes.
pub(crate) struct Beside {
    vectors: QdrantVectors,
    /// The collection that is filled.
    pub(crate) collection: String,
    /// The one whose place it takes, or has taken.
    pub(crate) old: String,
    /// Whether an earlier call has begun it.
    pub(crate) is_begun: bool,
}

impl Beside {
    /// The rebuild that an earlier call has begun, else a new one.
    pub(crate) async fn look(vectors: QdrantVectors) -> Result<Self> {
        let live = vectors.live().await?;
        if let Some(old) = Note::of(&vectors.over(&live)).await?.takes_the_place_of {
            return Ok(Self { vectors, collection: live, old, is_begun: true });
        }
        let next = vectors.next().await?;
        Ok(Self { vectors, collection: next.collection, old: live, is_begun: next.is_begun })
    }

    /// The collection that is filled, as it is now.
    pub(crate) fn target(&self) -> QdrantVectors {
        self.vectors.over(&self.collection)
    }

    pub(super) async fn plan(&self, context: &Context) -> Result<Report> {
        let rebuild = match self.is_begun {
            true => Rebuild::of(context, Arc::new(self.target())).await?,
            false => Rebuild::of_all(context).await?,
        };
        let (files, missing) = rebuild.files(false).await?;
        Ok(Report {
            index: self.collection.clone(),
            live: Some(self.old.clone()),
            begun: self.is_begun,
            files,
            missing,
            sent: 0,
            executed: false,
        })
    }

    /// Fills the collection, and makes it the live one; gives how many files were sent again.
    pub(super) async fn run(&self, context: &Context, command: &cli::Rebuild) -> Result<u64> {
        let replication = context.loaded.config.vectors.replication;
        let fresh = self.vectors.beside(&self.collection, replication).await?;
        let mut rebuild = Rebuild::beside(context, Arc::new(fresh)).await?;
        rebuild.catch_up().await?;
        let mut sent = 0;
        if self.vectors.live().await? != self.collection {
            sent = rebuild.send_missing(false).await?;
            rebuild.drain().await?;
            let lost = rebuild.lost(&self.vectors.over(&self.old)).await?;
            if lost.count > 0 && !command.leave_behind {
                return Err(refuse(&lost));
            }
            self.switch(&mut rebuild).await?;
        }
        rebuild.catch_up().await?;
        rebuild.note_place(None).await?;
        if command.remove_old {
            self.vectors.remove(&self.old).await?;
        }
        Ok(sent)
    }

    async fn switch(&self, rebuild: &mut Rebuild) -> Result<()> {
        let live = self.vectors.live().await?;
        if live != self.old {
            let message = format!("another rebuild has switched to {live} meanwhile, and goes on with it");
            let help = "nothing is left to do here; `frameline lag` shows how far it is";
            return Err(Refusal::new(message, help).into());
        }
        rebuild.note_place(Some(self.old.clone())).await?;
        Ok(self.vectors.switch(&self.collection).await?)
    }
}

fn refuse(lost: &Lost) -> anyhow::Error {
    let message = format!("{lost} of the live index did not come through, so the alias still stands for it");
    let help = "see `frameline jobs` and `frameline dlq list`, mend the cause, and ask again: it goes on where it was; \
                --leave-behind switches without them";
    Refusal::new(message, help).into()
}

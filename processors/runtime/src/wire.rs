//! Schema ids on the wire, as the driver has them: a table that is read without asking anybody, and a source that
//! is asked, before a batch is decoded, about what is not in it.
//!
//! A stage sees neither: it makes records under the ids of the files, and the driver addresses them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use frameline_schemas::{Release, SchemaIds, Unaddressed};
use thiserror::Error;

use crate::record::Output;
use crate::stage::Failure;

/// Who knows which schemas ids stand for: a schema registry.
#[async_trait]
pub trait SchemaSource: Send + Sync + 'static {
    /// The releases of ours that it has, with the ids that it gave them.
    async fn releases(&self) -> Result<Vec<(u32, &'static Release)>, WireError>;

    /// The text of the schema with this id; `None` where no schema has it.
    async fn schema(&self, id: u32) -> Result<Option<String>, WireError>;
}

/// Why ids cannot be had. The stage waits, and goes on by itself once they can.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// The registry cannot be reached, or not just now; with its address and what it said.
    #[error("{0}")]
    Unavailable(String),
    /// It lacks releases that records are written with.
    #[error("the schema registry lacks {0}: `frameline schemas apply --execute` registers what is missing")]
    Unregistered(String),
    /// Its ids are not those that the log was written under.
    #[error("{0}")]
    Foreign(String),
}

/// The ids, and who is asked about them.
pub struct Wire {
    ids: SchemaIds,
    source: Option<Arc<dyn SchemaSource>>,
}

impl Wire {
    /// The ids of the files; there is nobody to ask.
    pub fn of_files() -> Self {
        Self { ids: SchemaIds::of_files(), source: None }
    }

    /// The ids that this source gives.
    pub fn of(source: Arc<dyn SchemaSource>) -> Self {
        Self { ids: SchemaIds::of_registry(), source: Some(source) }
    }

    /// What is known of ids by now.
    pub fn ids(&self) -> &SchemaIds {
        &self.ids
    }

    /// Learns what it takes to write records: the id of every newest release. Asks once in all.
    pub async fn open(&self) -> Result<(), WireError> {
        let Some(source) = &self.source else { return Ok(()) };
        if self.ids.missing().next().is_none() {
            return Ok(());
        }
        for (id, release) in source.releases().await? {
            self.ids.learn_release(id, release);
        }
        let missing: Vec<String> = self.ids.missing().map(ToString::to_string).collect();
        if missing.is_empty() { Ok(()) } else { Err(WireError::Unregistered(missing.join(", "))) }
    }

    /// Learns what it takes to write records and to read these ids. One that no schema has stays unknown.
    pub async fn learn(&self, ids: impl Iterator<Item = u32> + Send) -> Result<(), WireError> {
        let Some(source) = &self.source else { return Ok(()) };
        self.open().await?;
        let mut asked = Vec::new();
        for id in ids {
            if self.ids.knows(id) || asked.contains(&id) {
                continue;
            }
            asked.push(id);
            if let Some(text) = source.schema(id).await? {
                self.ids.learn(id, &text);
            }
        }
        Ok(())
    }

    /// Gives records that were made here their ids on the wire; to be called once for each.
    pub fn address(&self, outputs: &mut [Output]) -> Result<(), WireError> {
        if self.source.is_none() {
            return Ok(());
        }
        for output in outputs {
            if let Some(value) = output.value.take() {
                let addressed = self.ids.address(value);
                output.value = Some(addressed.map_err(|Unaddressed(missing)| WireError::Unregistered(missing))?);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Wire").field("ids", &self.ids).finish_non_exhaustive()
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Failure::unavailable("schema_registry", error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use frameline_schemas::RELEASES;

    use super::*;

    /// Gives every release its id in the files plus 1,000, and counts what it is asked.
    #[derive(Default)]
    struct Counting {
        lacks_last: bool,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl SchemaSource for Counting {
        async fn releases(&self) -> Result<Vec<(u32, &'static Release)>, WireError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let has = RELEASES.len() - usize::from(self.lacks_last);
            Ok(RELEASES.iter().take(has).map(|release| (release.id + 1_000, release)).collect())
        }

        async fn schema(&self, id: u32) -> Result<Option<String>, WireError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            match id {
                5 => Err(WireError::Unavailable("http://registry: no".to_owned())),
                6 => Ok(None),
                _ => Ok(Some(RELEASES[0].text.to_owned())),
            }
        }
    }

    #[tokio::test]
    async fn what_was_learned_is_not_asked_for_again() {
        let source = Arc::new(Counting::default());
        let wire = Wire::of(source.clone());
        for _ in 0..3 {
            wire.learn([1_001, 7, 7, 8].into_iter()).await.unwrap();
        }
        assert_eq!(source.asked.load(Ordering::Relaxed), 3, "the releases, 7 and 8");
        assert!(wire.ids().knows(7) && wire.ids().knows(1_001));
    }

    #[tokio::test]
    async fn an_id_that_no_schema_has_stays_unknown_and_an_outage_is_one() {
        let wire = Wire::of(Arc::new(Counting::default()));
        wire.learn([6].into_iter()).await.unwrap();
        assert!(!wire.ids().knows(6));
        let failure = Failure::from(wire.learn([5].into_iter()).await.unwrap_err());
        assert_eq!(failure.class, crate::Class::Unavailable);
    }

    #[tokio::test]
    async fn a_release_that_is_not_registered_is_named_with_what_to_do() {
        let wire = Wire::of(Arc::new(Counting { lacks_last: true, ..Counting::default() }));
        let text = wire.open().await.unwrap_err().to_string();
        let last = RELEASES.last().unwrap();
        assert!(
            text.contains(&format!("{} v{}", last.record, last.version)) && text.contains("schemas apply"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn without_a_registry_nothing_is_asked_and_nothing_is_changed() {
        let wire = Wire::of_files();
        wire.learn([99].into_iter()).await.unwrap();
        let mut outputs =
            [Output { topic: "t".into(), key: None, value: Some("\0\0\0\0\u{1}".into()), headers: Default::default() }];
        let before = outputs.clone();
        wire.address(&mut outputs).unwrap();
        assert_eq!(outputs, before);
    }
}

//! What is noted in a collection about its filling: how far the topic was read, whose ends do not count, and
//! whether its place is still to be taken.
//!
//! An end says that all of a file's revision is there. Behind units by other models, which the collection does not
//! take, it would say so of a file that is not: so it is passed over, and the file is among those that are missing, and
//! sent again.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use frameline_runtime::TopicPartition;
use frameline_runtime::log::scan::{Run, Span};
use frameline_schemas::{Embedding, UnitOrEnd};
use frameline_stores::vectors::QdrantVectors;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The note.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The next offset of each partition, by `TOPIC:PARTITION`.
    positions: BTreeMap<String, i64>,
    /// Files and their revisions of which a unit was by other models, and whose end is still to come.
    foreign: BTreeSet<(Uuid, i64)>,
    /// The collection whose place this one takes, from before the alias is switched until all was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) takes_the_place_of: Option<String>,
}

impl Note {
    /// That of a collection.
    pub(crate) async fn of(vectors: &QdrantVectors) -> Result<Self> {
        Ok(Self::read(vectors.note().await?.as_deref()))
    }

    /// Reads it. What cannot be read is of no use: everything is read again, which is harmless.
    fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// What is left of these spans.
    pub(crate) fn left(&self, mut spans: Vec<Span>) -> Vec<Span> {
        for span in &mut spans {
            let known = self.positions.get(&name(&span.partition)).copied().unwrap_or(0);
            span.from = span.from.max(known);
        }
        spans.retain(|span| span.from < span.to);
        spans
    }

    /// These spans were read.
    pub(super) fn has_read(&mut self, spans: &[Span]) {
        self.positions.extend(spans.iter().map(|span| (name(&span.partition), span.to)));
    }

    /// These records were read.
    pub(super) fn has_read_run(&mut self, run: &Run) {
        if let Some(last) = run.records.last() {
            self.positions.insert(name(&run.partition), last.offset + 1);
        }
    }

    /// Whether a record is for the collection; to be asked once for each, in their order.
    pub(super) fn lets_in(&mut self, record: &UnitOrEnd<Embedding>, is_ours: impl Fn(&Embedding) -> bool) -> bool {
        match record {
            UnitOrEnd::Unit(point) if is_ours(point) => true,
            UnitOrEnd::Unit(point) => {
                self.foreign.insert((point.head.file_id, point.head.revision));
                false
            }
            UnitOrEnd::End(end) => !self.foreign.remove(&(end.head.file_id, end.head.revision)),
        }
    }
}

fn name(partition: &TopicPartition) -> String {
    format!("{}:{}", partition.topic, partition.partition)
}

#[cfg(test)]
mod tests {
    use frameline_schemas::{Content, Head, Kind, Manifest, Vector};

    use super::*;

    fn head(file: u128, revision: i64) -> Head {
        let ids = Uuid::from_u128(file);
        Head { tenant: String::new(), file_id: ids, revision, job_id: ids, file_name: String::new() }
    }

    fn unit(file: u128, revision: i64, model: &str) -> UnitOrEnd<Embedding> {
        let content = Content {
            kind: Kind::Passage,
            ordinal: 0,
            page: None,
            name: String::new(),
            text: String::new(),
            text_uri: None,
            width_px: 0,
            height_px: 0,
        };
        let text_vector = Some(Vector { model: model.to_owned(), values: Vec::new() });
        let (head, unit_id) = (head(file, revision), Uuid::from_u128(file));
        UnitOrEnd::Unit(Embedding { head, unit_id, content, thumbnail: None, text_vector, image_vector: None })
    }

    fn end(file: u128, revision: i64) -> UnitOrEnd<Embedding> {
        let head = head(file, revision);
        UnitOrEnd::End(Manifest {
            head,
            format: String::new(),
            deleted: false,
            frames: 0,
            passages: 1,
            discovered_at: 0,
        })
    }

    #[test]
    fn an_end_behind_units_by_other_models_does_not_count_also_after_a_restart() {
        let is_ours = |point: &Embedding| point.text_vector.as_ref().is_some_and(|vector| vector.model == "new");
        let mut note = Note::default();
        assert!(!note.lets_in(&unit(1, 1, "old"), is_ours) && note.lets_in(&unit(2, 1, "new"), is_ours));
        let mut note = Note::read(Some(&serde_json::to_string(&note).unwrap()));
        assert!(note.lets_in(&end(2, 1), is_ours) && !note.lets_in(&end(1, 1), is_ours));
        // Sent again, and by our models now.
        assert!(note.lets_in(&unit(1, 1, "new"), is_ours) && note.lets_in(&end(1, 1), is_ours));
    }

    #[test]
    fn what_was_read_is_not_left_and_a_note_that_cannot_be_read_knows_nothing() {
        let span = |from, to| Span { partition: TopicPartition::new("embeddings", 3), from, to };
        let mut note = Note::default();
        note.has_read(&[span(0, 7)]);
        assert_eq!((note.left(vec![span(2, 9)]), note.left(vec![span(2, 7)])), (vec![span(7, 9)], vec![]));
        assert_eq!(Note::read(Some("{}")), Note::default());
    }
}

//! The stage `index`: units with their vectors go into the vector index, and the end of a file removes what its
//! older revisions left there.
//!
//! Upserts and ends commute in [`Vectors`], so the units of a batch are written together, and the ends of its
//! files after them.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use frameline_runtime::{Failure, Outcome, Stage};
use frameline_schemas::{Embedding, Manifest, UnitOrEnd};
use frameline_stores::vectors::{Floor, Vectors, VectorsError};
use uuid::Uuid;

/// The topics that `index` reads.
pub const READS: &[&str] = &[frameline_topics::EMBEDDINGS];

/// The stage `index`.
pub struct Index {
    vectors: Arc<dyn Vectors>,
}

impl Index {
    /// The stage over an index.
    pub fn new(vectors: Arc<dyn Vectors>) -> Self {
        Self { vectors }
    }

    /// One result a unit. Where the index refuses one, the others are written without it.
    async fn upsert(&self, points: &[Embedding]) -> Vec<Result<(), VectorsError>> {
        let together = if points.is_empty() { Ok(()) } else { self.vectors.upsert(points).await };
        if !matches!(together, Err(VectorsError::Refused(_))) {
            return vec![together; points.len()];
        }
        let mut results = Vec::with_capacity(points.len());
        for point in points {
            results.push(self.vectors.upsert(std::slice::from_ref(point)).await);
        }
        results
    }

    async fn finish(&self, ends: &[(Uuid, Floor)]) -> Result<(), VectorsError> {
        if ends.is_empty() {
            return Ok(());
        }
        let removed = self.vectors.finish(ends).await?;
        tracing::debug!(files = ends.len(), removed, "files finished, units of older revisions removed");
        Ok(())
    }
}

#[async_trait]
impl Stage for Index {
    type In = UnitOrEnd<Embedding>;

    fn name(&self) -> &'static str {
        "index"
    }

    fn reads(&self) -> &'static [&'static str] {
        READS
    }

    fn dependency(&self) -> Option<&'static str> {
        Some("vectors")
    }

    async fn process(&self, batch: Vec<Self::In>) -> Vec<Outcome> {
        let (mut points, mut ends) = (Vec::new(), Vec::new());
        let mut is_end = Vec::with_capacity(batch.len());
        for record in batch {
            is_end.push(matches!(record, UnitOrEnd::End(_)));
            match record {
                UnitOrEnd::Unit(point) => points.push(point),
                UnitOrEnd::End(Manifest { head, deleted, .. }) => {
                    ends.push((head.file_id, Floor::after(head.revision, deleted)));
                }
            }
        }
        let mut upserted = self.upsert(&points).await.into_iter();
        let finished = self.finish(&ends).await;
        let outcome = |is_end| {
            let result = if is_end { finished.clone() } else { upserted.next().unwrap_or(Ok(())) };
            result.map_or_else(|error| Outcome::Fail(failure_of(error)), |()| Outcome::Emit(Vec::new()))
        };
        is_end.into_iter().map(outcome).collect()
    }
}

fn failure_of(error: VectorsError) -> Failure {
    match error {
        VectorsError::Refused(_) => Failure::permanent("refused", error),
        VectorsError::Unavailable(_) | VectorsError::Damaged { .. } => Failure::unavailable("vectors", error),
    }
}

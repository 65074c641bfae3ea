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

    async fn finish(&self, manifest: &Manifest) -> Result<(), VectorsError> {
        let Manifest { head, deleted, .. } = manifest;
        let removed = self.vectors.finish(head.file_id, Floor::after(head.revision, *deleted)).await?;
        if removed > 0 {
            tracing::debug!(file_id = %head.file_id, revision = head.revision, removed, "older units removed");
        }
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
        &[frameline_topics::EMBEDDINGS]
    }

    async fn process(&self, batch: Vec<Self::In>) -> Vec<Outcome> {
        let mut points = Vec::new();
        let mut order = Vec::with_capacity(batch.len());
        for record in batch {
            match record {
                UnitOrEnd::Unit(point) => {
                    points.push(point);
                    order.push(None);
                }
                UnitOrEnd::End(manifest) => order.push(Some(manifest)),
            }
        }
        let mut upserted = self.upsert(&points).await.into_iter();
        let mut outcomes = Vec::with_capacity(order.len());
        for end in order {
            let result = match end {
                None => upserted.next().unwrap_or(Ok(())),
                Some(manifest) => self.finish(&manifest).await,
            };
            outcomes.push(result.map_or_else(|error| Outcome::Fail(failure_of(error)), |()| Outcome::Emit(Vec::new())));
        }
        outcomes
    }
}

fn failure_of(error: VectorsError) -> Failure {
    match error {
        VectorsError::Refused(_) => Failure::permanent("refused", error),
        VectorsError::Unavailable(_) | VectorsError::Damaged { .. } => Failure::unavailable("vectors", error),
    }
}

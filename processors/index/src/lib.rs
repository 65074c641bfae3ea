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
use frameline_runtime::metric::{VECTOR_CALLS, timed};
use frameline_runtime::{Outcome, Reason, Stage};
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
        let together = if points.is_empty() { Ok(()) } else { self.write(points).await };
        if !matches!(together, Err(VectorsError::Refused(_) | VectorsError::OtherModel(_))) {
            return vec![together; points.len()];
        }
        let mut results = Vec::with_capacity(points.len());
        for point in points {
            results.push(self.write(std::slice::from_ref(point)).await);
        }
        results
    }

    async fn write(&self, points: &[Embedding]) -> Result<(), VectorsError> {
        timed(VECTOR_CALLS, "upsert", self.vectors.upsert(points), |_| "error").await
    }

    async fn finish(&self, ends: &[(Uuid, Floor)]) -> Result<(), VectorsError> {
        if ends.is_empty() {
            return Ok(());
        }
        let removed = timed(VECTOR_CALLS, "finish", self.vectors.finish(ends), |_| "error").await?;
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

    fn skips(&self) -> &'static [&'static str] {
        &["other_model"]
    }

    fn makes_searchable(&self) -> bool {
        true
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
            match result {
                Ok(()) => Outcome::Emit(Vec::new()),
                // A rebuild takes it, into an index by these models.
                Err(VectorsError::OtherModel(text)) => Outcome::Skip(Reason::new("other_model", text)),
                Err(error) => Outcome::Fail(error.into()),
            }
        };
        is_end.into_iter().map(outcome).collect()
    }
}

//! Writing units, under the condition that nothing newer is there.

use std::collections::{BTreeMap, HashSet};

use frameline_schemas::Embedding;
use qdrant_client::qdrant::points_update_operation::{Operation, PointStructList};
use qdrant_client::qdrant::{Condition, Filter, PointStruct, PointsUpdateOperation, Range, UpdateBatchPointsBuilder};
use uuid::Uuid;

use super::calls::Calls;
use super::floors::{self, Floors};
use super::points::{self, REVISION};
use crate::vectors::VectorsError;

/// Units in one call: with the longest texts and both vectors about 20 MB, of Qdrant's 32.
const POINTS_AT_ONCE: usize = 256;

/// Writes units, as [`crate::vectors::Vectors::upsert`] says.
pub(super) async fn upsert(calls: &Calls, collection: &str, points: &[Embedding]) -> Result<(), VectorsError> {
    let files: Vec<Uuid> = points.iter().map(|point| point.head.file_id).collect::<HashSet<_>>().into_iter().collect();
    let before = floors::read(calls, collection, &files).await?;
    let kept = newest(points).into_iter().filter(|point| !is_below(point, &before));
    conditionally(calls, collection, kept.map(|point| (point.head.revision, points::unit(point)))).await?;
    // A floor that was raised meanwhile did not see what was written; and whoever wrote this before us, and was
    // killed, may not have looked.
    let mut below = floors::read(calls, collection, &files).await?;
    below.retain(|file_id, floor| {
        points.iter().any(|point| point.head.file_id == *file_id && point.head.revision < floor.revision())
    });
    floors::sweep(calls, collection, &below).await?;
    Ok(())
}

/// Writes points, each with its revision, over nothing that is newer.
pub(super) async fn conditionally(
    calls: &Calls,
    collection: &str,
    points: impl Iterator<Item = (i64, PointStruct)>,
) -> Result<(), VectorsError> {
    let mut by_revision: BTreeMap<i64, Vec<PointStruct>> = BTreeMap::new();
    points.for_each(|(revision, point)| by_revision.entry(revision).or_default().push(point));
    let mut operations = Vec::new();
    for (revision, points) in by_revision {
        operations.extend(points.chunks(POINTS_AT_ONCE).map(|points| (points.len(), operation(revision, points))));
    }
    for operations in batches(operations) {
        let batch = UpdateBatchPointsBuilder::new(collection, operations).wait(true);
        calls.wait(calls.client().update_points_batch(batch)).await?;
    }
    Ok(())
}

/// The operations in as few calls as their sizes allow, in their order.
fn batches<T>(operations: Vec<(usize, T)>) -> Vec<Vec<T>> {
    let (mut batches, mut points) = (Vec::new(), POINTS_AT_ONCE);
    for (size, operation) in operations {
        points += size;
        if points > POINTS_AT_ONCE {
            batches.push(Vec::new());
            points = size;
        }
        if let Some(batch) = batches.last_mut() {
            batch.push(operation);
        }
    }
    batches
}

fn operation(revision: i64, points: &[PointStruct]) -> PointsUpdateOperation {
    let not_newer = Range { lte: Some(revision as f64), ..Range::default() };
    let list = PointStructList {
        points: points.to_vec(),
        update_filter: Some(Filter::must([Condition::range(REVISION, not_newer)])),
        ..PointStructList::default()
    };
    PointsUpdateOperation { operation: Some(Operation::Upsert(list)) }
}

/// Each unit once, in its newest revision; of equal ones the last.
fn newest(points: &[Embedding]) -> Vec<&Embedding> {
    let mut newest: BTreeMap<Uuid, &Embedding> = BTreeMap::new();
    for point in points {
        let known = newest.entry(point.unit_id).or_insert(point);
        if point.head.revision >= known.head.revision {
            *known = point;
        }
    }
    newest.into_values().collect()
}

fn is_below(point: &Embedding, floors: &Floors) -> bool {
    floors.get(&point.head.file_id).is_some_and(|floor| point.head.revision < floor.revision())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_stay_in_order_and_no_call_has_too_many_points() {
        assert_eq!(batches(vec![(200, 'a'), (56, 'b'), (1, 'c'), (256, 'd')]), [vec!['a', 'b'], vec!['c'], vec!['d']]);
        assert_eq!(batches::<char>(Vec::new()), Vec::<Vec<char>>::new());
    }
}

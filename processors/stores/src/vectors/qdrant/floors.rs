//! The floors of files: the lowest revision of each that is kept. A floor is a point without vectors.

use std::collections::HashMap;

use qdrant_client::qdrant::read_consistency::Value as Consistency;
use qdrant_client::qdrant::{
    Condition, CountPointsBuilder, DeletePointsBuilder, Filter, GetPointsBuilder, PayloadIncludeSelector, PointId,
    Range, ReadConsistencyType,
};
use uuid::Uuid;

use super::calls::Calls;
use super::points::{self, FILE_ID, FLOOR, KIND, REVISION, Read};
use super::write;
use crate::vectors::{Floor, VectorsError};

/// Files in one filter.
const FILES_AT_ONCE: usize = 64;

/// Floors by file; those of files without one are missing.
pub(super) type Floors = HashMap<Uuid, Floor>;

/// The floors of these files.
pub(super) async fn read(calls: &Calls, collection: &str, files: &[Uuid]) -> Result<Floors, VectorsError> {
    if files.is_empty() {
        return Ok(Floors::new());
    }
    let ids: Vec<PointId> = files.iter().map(|file_id| points::floor_id(*file_id).into()).collect();
    let fields = PayloadIncludeSelector { fields: [KIND, FILE_ID, REVISION].map(str::to_owned).to_vec() };
    // A replica that is behind would let a removed revision show again.
    let majority = Consistency::Type(ReadConsistencyType::Majority.into());
    let wanted = GetPointsBuilder::new(collection, ids).with_payload(fields).read_consistency(majority);
    let found = calls.wait(calls.client().get_points(wanted)).await?.result;
    let mut floors = Floors::new();
    for point in found {
        if let Read::Floor { file_id, revision } = points::read(point.id, &point.payload)? {
            floors.insert(file_id, Floor(revision));
        }
    }
    Ok(floors)
}

/// How many files have one.
pub(super) async fn count(calls: &Calls, collection: &str) -> Result<u64, VectorsError> {
    let wanted = CountPointsBuilder::new(collection).filter(Filter::must([points::is(KIND, FLOOR)])).exact(true);
    Ok(calls.wait(calls.client().count(wanted)).await?.result.map_or(0, |result| result.count))
}

/// Raises floors, removes what falls below them, and says how many units that were.
pub(super) async fn raise(calls: &Calls, collection: &str, ends: &[(Uuid, Floor)]) -> Result<u64, VectorsError> {
    let mut highest = Floors::new();
    for (file_id, floor) in ends {
        let known = highest.entry(*file_id).or_insert(*floor);
        *known = (*known).max(*floor);
    }
    let raised = highest.iter().map(|(file_id, floor)| (floor.0, points::floor(*file_id, floor.0)));
    write::conditionally(calls, collection, raised).await?;
    let files: Vec<Uuid> = highest.into_keys().collect();
    let floors = read(calls, collection, &files).await?;
    sweep(calls, collection, &floors).await
}

/// Removes what lies below these floors, and says how many units that were.
pub(super) async fn sweep(calls: &Calls, collection: &str, floors: &Floors) -> Result<u64, VectorsError> {
    let below = |(file_id, floor): &(&Uuid, &Floor)| {
        let older = Range { lt: Some(floor.0 as f64), ..Range::default() };
        let of_file = points::is(FILE_ID, file_id.to_string());
        Condition::from(Filter::must([of_file, Condition::range(REVISION, older)]))
    };
    let mut removed = 0;
    let floors: Vec<(&Uuid, &Floor)> = floors.iter().collect();
    for floors in floors.chunks(FILES_AT_ONCE) {
        let filter = Filter::should(floors.iter().map(below));
        let count = CountPointsBuilder::new(collection).filter(filter.clone()).exact(true);
        let found = calls.wait(calls.client().count(count)).await?.result.map_or(0, |result| result.count);
        if found > 0 {
            let delete = DeletePointsBuilder::new(collection).points(filter).wait(true);
            calls.wait(calls.client().delete_points(delete)).await?;
        }
        removed += found;
    }
    Ok(removed)
}

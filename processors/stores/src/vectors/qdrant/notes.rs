//! A note in a collection: how far whoever fills it has come. It lies where the units are, so that the two can
//! never be of different collections.

use std::collections::HashMap;

use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::{GetPointsBuilder, NamedVectors, PointStruct, UpsertPointsBuilder, Value};
use uuid::Uuid;

use super::calls::Calls;
use super::points::{FILE_ID, KIND, REVISION};
use crate::vectors::VectorsError;

/// The kind of the note's point, and the one field of its own.
const NOTE: &str = "note";

fn id() -> Uuid {
    Uuid::new_v5(&Uuid::nil(), NOTE.as_bytes())
}

/// What is noted.
pub(super) async fn read(calls: &Calls, collection: &str) -> Result<Option<String>, VectorsError> {
    let wanted = GetPointsBuilder::new(collection, vec![id().into()]).with_payload(true);
    let found = calls.wait(calls.client().get_points(wanted)).await?.result;
    let text = found.into_iter().next().and_then(|mut point| point.payload.remove(NOTE)?.kind);
    Ok(text.and_then(|kind| if let Kind::StringValue(text) = kind { Some(text) } else { None }))
}

/// Notes a text, in place of the one before.
pub(super) async fn write(calls: &Calls, collection: &str, text: &str) -> Result<(), VectorsError> {
    // It has what every point has, and is the floor of no file.
    let payload = [
        (KIND, Value::from(NOTE)),
        (FILE_ID, Value::from(Uuid::nil().to_string())),
        (REVISION, Value::from(0)),
        (NOTE, Value::from(text)),
    ];
    let payload: HashMap<String, Value> = payload.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let point = PointStruct::new(id(), NamedVectors::default(), payload);
    calls.wait(calls.client().upsert_points(UpsertPointsBuilder::new(collection, vec![point]).wait(true))).await?;
    Ok(())
}

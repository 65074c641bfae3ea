//! Collections and their alias, and what is asked of a collection as a whole.

use frameline_schemas::Embedding;
use qdrant_client::qdrant::facet_value::Variant;
use qdrant_client::qdrant::{
    CreateAliasBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, Distance, FacetCountsBuilder,
    FacetHit, FieldType, KeywordIndexParamsBuilder, Modifier, PointId, ScrollPointsBuilder, SparseVectorParamsBuilder,
    SparseVectorsConfigBuilder, UuidIndexParamsBuilder, VectorParamsBuilder, VectorsConfigBuilder,
};

use super::calls::Calls;
use super::floors::Floors;
use super::points::{self, FILE_ID, FRAME, IMAGE, KIND, NAMES, PASSAGE, REVISION, Read, TENANT, TEXT, WORDS};
use crate::vectors::{Counts, Floor, IMAGE_DIMENSIONS, TEXT_DIMENSIONS, VectorsError};

/// Points read at a time.
const PAGE: u32 = 500;

/// The collection that an alias stands for.
pub(super) async fn live(calls: &Calls, alias: &str) -> Result<Option<String>, VectorsError> {
    let aliases = calls.wait(calls.client().list_aliases()).await?.aliases;
    Ok(aliases.into_iter().find(|known| known.alias_name == alias).map(|known| known.collection_name))
}

/// The names of all collections.
pub(super) async fn all(calls: &Calls) -> Result<Vec<String>, VectorsError> {
    let collections = calls.wait(calls.client().list_collections()).await?.collections;
    Ok(collections.into_iter().map(|collection| collection.name).collect())
}

/// Makes a collection with its indexes. Another process that does so at the same time is no harm.
pub(super) async fn create(calls: &Calls, collection: &str, replication: u32) -> Result<(), VectorsError> {
    let mut vectors = VectorsConfigBuilder::default();
    for (name, dimensions) in [(TEXT, TEXT_DIMENSIONS), (IMAGE, IMAGE_DIMENSIONS)] {
        vectors.add_named_vector_params(name, VectorParamsBuilder::new(dimensions as u64, Distance::Cosine));
    }
    let mut sparse = SparseVectorsConfigBuilder::default();
    sparse.add_named_vector_params(WORDS, SparseVectorParamsBuilder::default().modifier(Modifier::Idf));
    let wanted = CreateCollectionBuilder::new(collection)
        .vectors_config(vectors)
        .sparse_vectors_config(sparse)
        .replication_factor(replication)
        // What a majority has, a majority reads: see the floors.
        .write_consistency_factor(replication / 2 + 1);
    if let Err(error) = calls.wait(calls.client().create_collection(wanted)).await
        && !all(calls).await?.iter().any(|known| known == collection)
    {
        return Err(error);
    }
    let tenant = KeywordIndexParamsBuilder::default().is_tenant(true);
    let index = |field, kind| CreateFieldIndexCollectionBuilder::new(collection, field, kind).wait(true);
    for wanted in [
        index(TENANT, FieldType::Keyword).field_index_params(tenant),
        index(FILE_ID, FieldType::Uuid).field_index_params(UuidIndexParamsBuilder::default()),
        index(KIND, FieldType::Keyword),
        index(REVISION, FieldType::Integer),
        index(NAMES, FieldType::Keyword),
    ] {
        calls.wait(calls.client().create_field_index(wanted)).await?;
    }
    Ok(())
}

/// From now on the alias stands for this collection; there is no moment at which it stands for none.
pub(super) async fn switch(calls: &Calls, alias: &str, collection: &str) -> Result<(), VectorsError> {
    let wanted = CreateAliasBuilder::new(collection, alias);
    calls.wait(calls.client().create_alias(wanted)).await?;
    Ok(())
}

/// Removes a collection.
pub(super) async fn remove(calls: &Calls, collection: &str) -> Result<(), VectorsError> {
    calls.wait(calls.client().delete_collection(collection)).await?;
    Ok(())
}

/// How much there is, as the index on the kind has it.
pub(super) async fn counts(calls: &Calls, collection: &str) -> Result<Counts, VectorsError> {
    let wanted = FacetCountsBuilder::new(collection, KIND).exact(false);
    let hits = calls.wait(calls.client().facet(wanted)).await?.hits;
    let of = |kind: &str| hits.iter().find(|hit| is_of(hit, kind)).map_or(0, |hit| hit.count);
    Ok(Counts { frames: of(FRAME), passages: of(PASSAGE) })
}

fn is_of(hit: &FacetHit, kind: &str) -> bool {
    match hit.value.as_ref().and_then(|value| value.variant.as_ref()) {
        Some(Variant::StringValue(value)) => value == kind,
        _ => false,
    }
}

/// All units that are not below their file's floor, in the order of their ids.
pub(super) async fn dump(calls: &Calls, collection: &str) -> Result<Vec<Embedding>, VectorsError> {
    let (mut units, mut floors) = (Vec::new(), Floors::new());
    let mut page: Option<PointId> = None;
    loop {
        let mut wanted = ScrollPointsBuilder::new(collection).limit(PAGE).with_payload(true).with_vectors(false);
        if let Some(page) = page {
            wanted = wanted.offset(page);
        }
        let answer = calls.wait(calls.client().scroll(wanted)).await?;
        for point in answer.result {
            match points::read(point.id, &point.payload)? {
                Read::Unit(unit) => units.push(*unit),
                Read::Floor { file_id, revision } => _ = floors.insert(file_id, Floor(revision)),
            }
        }
        page = answer.next_page_offset;
        if page.is_none() {
            break;
        }
    }
    units.retain(|unit| floors.get(&unit.head.file_id).is_none_or(|floor| unit.head.revision >= floor.revision()));
    units.sort_by_key(|unit| unit.unit_id);
    Ok(units)
}

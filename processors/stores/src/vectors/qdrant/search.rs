//! Searching: first what needs no weights, and how rare each word is; then by words, weighed by that; then the ranking
//! that all adapters have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::try_join;
use qdrant_client::qdrant::vector_output::Vector as Values;
use qdrant_client::qdrant::vectors_output::VectorsOptions;
use qdrant_client::qdrant::{
    Filter, Query as Nearest, QueryBatchPointsBuilder, QueryPoints, QueryPointsBuilder, ScoredPoint, SparseVector,
    VectorInput, VectorsSelector,
};
use uuid::Uuid;

use super::calls::Calls;
use super::points::{self, IMAGE, NAMES, Read, TENANT, TEXT, WORDS};
use super::sparse::{self, Sparse};
use super::{collections, floors};
use crate::vectors::lexical::{self, Term};
use crate::vectors::rank::{self, Candidate, Ways, inverse_frequency};
use crate::vectors::{Hit, Query, VectorsError};

/// So many times as many as are wanted are looked at of those that words find.
const LOOSE: u64 = 4;

/// A way to find something.
enum Way {
    /// By name: no score that anybody needs.
    Name,
    /// By words, whose order is ours but for beginnings of a length that has no dimension: more than are wanted are looked
    /// at. No score that anybody needs.
    Words,
    /// By the text's vector; the score is the cosine.
    Text,
    /// By the picture's.
    Picture,
    /// The unit that has most of this dimension of the words. Its score, against its own value, tells how rare the
    /// dimension is.
    Rarity(u32),
}

pub(super) async fn search(calls: &Calls, collection: &str, query: &Query) -> Result<Vec<Hit>, VectorsError> {
    let terms = lexical::terms(query.words.as_deref().unwrap_or_default());
    let (ways, requests): (Vec<Way>, Vec<QueryPoints>) = ways(collection, query, &terms).into_iter().unzip();
    if ways.is_empty() {
        return Ok(Vec::new());
    }
    let answers = ask(calls, collection, requests);
    let (answers, units) = try_join(answers, collections::counts(calls, collection)).await?;
    let mut found = Found::default();
    for (way, points) in ways.iter().zip(answers) {
        points.into_iter().try_for_each(|point| found.take(way, point))?;
    }
    let weights = weights(&terms, &found.rarities, (units.frames + units.passages) as f32);
    let words = sparse::of_terms(terms.iter().zip(weights.iter().copied()), &found.rarities);
    if !words.is_empty() {
        let by_words = ask(calls, collection, vec![by_words(collection, query, words)]).await?;
        by_words.into_iter().flatten().try_for_each(|point| found.take(&Way::Words, point))?;
    }
    let mut candidates: Vec<Candidate> = found.candidates.into_values().collect();
    let files: Vec<Uuid> = candidates.iter().map(|candidate| candidate.point.head.file_id).collect();
    let floors = floors::read(calls, collection, &files).await?;
    candidates.retain(|Candidate { point, .. }| {
        floors.get(&point.head.file_id).is_none_or(|floor| point.head.revision >= floor.revision())
    });
    Ok(rank::hits(query, &terms, &weights, candidates))
}

/// The points that each request finds.
async fn ask(
    calls: &Calls,
    collection: &str,
    requests: Vec<QueryPoints>,
) -> Result<Vec<Vec<ScoredPoint>>, VectorsError> {
    let batch = QueryBatchPointsBuilder::new(collection, requests);
    let answers = calls.wait(calls.client().query_batch(batch)).await?;
    Ok(answers.result.into_iter().map(|answer| answer.result).collect())
}

fn by_words(collection: &str, query: &Query, words: Sparse) -> QueryPoints {
    let of_tenant = Filter::must([points::is(TENANT, query.tenant.clone())]);
    let most = LOOSE * rank::candidates(query.limit) as u64;
    let found = QueryPointsBuilder::new(collection).limit(most).with_payload(true);
    found.query(nearest(words)).using(WORDS).filter(of_tenant).build()
}

fn ways(collection: &str, query: &Query, terms: &[Term]) -> Vec<(Way, QueryPoints)> {
    let of_tenant = || points::is(TENANT, query.tenant.clone());
    let most = rank::candidates(query.limit) as u64;
    let candidates = || QueryPointsBuilder::new(collection).limit(most).with_payload(true);
    let mut ways = Vec::new();
    let mut add = |way, request: QueryPointsBuilder| ways.push((way, request.build()));

    let key = lexical::key(query.words.as_deref().unwrap_or_default());
    if !key.is_empty() {
        let named = Filter::must([of_tenant(), points::is(NAMES, key)]);
        add(Way::Name, candidates().filter(named));
    }
    let sides = [(Way::Text, TEXT, &query.text_vector), (Way::Picture, IMAGE, &query.image_vector)];
    for (way, name, vector) in sides {
        if let Some(vector) = vector {
            let near = candidates().query(Nearest::new_nearest(VectorInput::new_dense(vector.clone()))).using(name);
            add(way, near.filter(Filter::must([of_tenant()])));
        }
    }
    let of_tokens = terms.iter().flat_map(|term| &term.tokens).map(|token| sparse::of_token(token));
    let dimensions: BTreeSet<u32> = of_tokens.chain(terms.iter().flat_map(sparse::of_term)).collect();
    for dimension in dimensions {
        let words = VectorsSelector { names: vec![WORDS.to_owned()] };
        let most_of_it = QueryPointsBuilder::new(collection).limit(1).using(WORDS).with_vectors(words);
        add(Way::Rarity(dimension), most_of_it.query(nearest(Sparse::from([(dimension, 1.0)]))));
    }
    ways
}

fn nearest(sparse: Sparse) -> Nearest {
    let (indices, values): (Vec<u32>, Vec<f32>) = sparse.into_iter().unzip();
    Nearest::new_nearest(VectorInput::new_sparse(indices, values))
}

/// What the ways found, put together.
#[derive(Default)]
struct Found {
    candidates: BTreeMap<Uuid, Candidate>,
    /// How rare each dimension is, as Qdrant weighs it.
    rarities: HashMap<u32, f32>,
}

impl Found {
    fn take(&mut self, way: &Way, point: ScoredPoint) -> Result<(), VectorsError> {
        if let Way::Rarity(dimension) = way {
            let own = words_of(&point).and_then(|words| value_of(&words, *dimension)).filter(|own| *own > 0.0);
            self.rarities.extend(own.map(|own| (*dimension, point.score / own)));
            return Ok(());
        }
        let score = point.score;
        let Read::Unit(unit) = points::read(point.id, &point.payload)? else { return Ok(()) };
        let id = unit.unit_id;
        let ways = &mut self.candidates.entry(id).or_insert(Candidate { point: *unit, ways: Ways::default() }).ways;
        match way {
            Way::Name => ways.name = true,
            Way::Words => ways.words = true,
            Way::Text => ways.text = Some(score),
            Way::Picture => ways.picture = Some(score),
            Way::Rarity(_) => {}
        }
        Ok(())
    }
}

fn words_of(point: &ScoredPoint) -> Option<SparseVector> {
    let Some(VectorsOptions::Vectors(named)) = &point.vectors.as_ref()?.vectors_options else { return None };
    match named.vectors.get(WORDS)?.clone().into_vector() {
        Values::Sparse(words) => Some(words),
        Values::Dense(_) | Values::MultiDense(_) => None,
    }
}

fn value_of(words: &SparseVector, dimension: u32) -> Option<f32> {
    words.indices.iter().zip(&words.values).find(|(index, _)| **index == dimension).map(|(_, value)| *value)
}

/// How much each term tells, by its rarest token; one that no unit has tells most.
fn weights(terms: &[Term], rarities: &HashMap<u32, f32>, units: f32) -> Vec<f32> {
    let unknown = inverse_frequency(units, 0.0);
    let of_token = |token: &String| rarities.get(&sparse::of_token(token)).copied().unwrap_or(unknown);
    terms.iter().map(|term| term.tokens.iter().map(of_token).fold(0.0, f32::max)).collect()
}

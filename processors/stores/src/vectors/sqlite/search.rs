//! Searching: candidates in four ways at the same time, then one ranking.

use std::collections::{BTreeMap, HashMap};

use frameline_schemas::Embedding;
use futures::future::try_join4;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

use super::rows;
use super::side::Side;
use crate::vectors::lexical::{self, Term};
use crate::vectors::{Evidence, Hit, IMAGE_DIMENSIONS, Lexical, Query, Ranked, TEXT_DIMENSIONS, VectorsError, fuse};

/// Candidates of each way: enough that what is good in two ways is among both.
const CANDIDATES: usize = 60;
const MOST_CANDIDATES: usize = 1_000;
/// A word in a name weighs more than one in a file's name, and that more than one in the text.
const NAME_WEIGHT: f64 = 8.0;
const FILE_WEIGHT: f64 = 4.0;
const TEXT_WEIGHT: f64 = 1.0;
/// A word that more units have, and more than an eighth of all, is not looked for beside others.
const COMMON: u32 = 1_000;
/// Characters of a hit's snippet.
const SNIPPET: usize = 240;

/// Refuses a query that no unit can be compared with.
pub(super) fn check(query: &Query) -> Result<(), VectorsError> {
    let sides = [("text", &query.text_vector, TEXT_DIMENSIONS), ("image", &query.image_vector, IMAGE_DIMENSIONS)];
    for (side, vector, dimensions) in sides {
        if let Some(found) = vector.as_ref().map(Vec::len).filter(|found| *found != dimensions) {
            return Err(VectorsError::Refused(format!(
                "the query's {side} vector has {found} dimensions, the index has {dimensions}"
            )));
        }
    }
    Ok(())
}

pub(super) async fn search(pool: &SqlitePool, query: &Query) -> sqlx::Result<Vec<Hit>> {
    let words = query.words.as_deref().unwrap_or_default();
    let terms = lexical::terms(words);
    let most = query.limit.saturating_mul(2).clamp(CANDIDATES, MOST_CANDIDATES);
    let (exact, by_words, texts, pictures) = try_join4(
        by_name(pool, query, &lexical::key(words), most),
        by_words(pool, query, &terms, most),
        Side::Texts.nearest(pool, &query.tenant, query.text_vector.as_deref(), most),
        Side::Pictures.nearest(pool, &query.tenant, query.image_vector.as_deref(), most),
    )
    .await?;
    let mut found: BTreeMap<i64, Evidence> = BTreeMap::new();
    exact.into_iter().for_each(|id| found.entry(id).or_default().is_exact = true);
    texts.into_iter().for_each(|(id, cosine)| found.entry(id).or_default().text = Some(cosine));
    pictures.into_iter().for_each(|(id, cosine)| found.entry(id).or_default().picture = Some(cosine));
    for (id, rank) in &by_words.ranks {
        found.entry(*id).or_default().lexical = Some(Lexical { rank: *rank, coverage: 0.0 });
    }
    let ids: Vec<i64> = found.keys().copied().collect();
    let points = rows::of_ids(&mut *pool.acquire().await?, &ids).await?;
    let mut units = HashMap::new();
    let mut evidence = BTreeMap::new();
    for (id, point) in points {
        let mut speaks = found.remove(&id).unwrap_or_default();
        if let Some(lexical) = &mut speaks.lexical {
            lexical.coverage = coverage(&point, &terms, &by_words.weights);
        }
        evidence.insert(point.unit_id, speaks);
        units.insert(point.unit_id, point);
    }
    let ranking = fuse(&evidence, query.limit);
    Ok(ranking.into_iter().filter_map(|ranked| hit(ranked, &mut units, &terms)).collect())
}

/// Units that are called, or whose file is called, what was asked for.
async fn by_name(pool: &SqlitePool, query: &Query, key: &str, most: usize) -> sqlx::Result<Vec<i64>> {
    if key.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "
        select id from units where tenant = ?1 and name_key = ?2
        union select id from units where tenant = ?1 and file_key = ?2
        union select id from units where tenant = ?1 and stem_key = ?2
        limit ?3";
    let ids: Vec<(i64,)> = sqlx::query_as(sql).bind(&query.tenant).bind(key).bind(most as i64).fetch_all(pool).await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}

#[derive(Default)]
struct ByWords {
    ranks: Vec<(i64, f32)>,
    /// Of each term.
    weights: Vec<f32>,
}

async fn by_words(pool: &SqlitePool, query: &Query, terms: &[Term], most: usize) -> sqlx::Result<ByWords> {
    if terms.is_empty() {
        return Ok(ByWords::default());
    }
    let mut connection = pool.acquire().await?;
    let spread = spread_of(&mut connection, terms).await?;
    // `cross join` keeps the order: words first, and only their units.
    let sql = "
        select words.rowid, -bm25(words, ?1, ?2, ?3) as rank
        from words cross join units on units.id = words.rowid
        where words match ?4 and units.tenant = ?5
        order by rank desc limit ?6";
    let ranks: Vec<(i64, f64)> = sqlx::query_as(sql)
        .bind(NAME_WEIGHT)
        .bind(FILE_WEIGHT)
        .bind(TEXT_WEIGHT)
        .bind(expression(&spread.telling(terms)))
        .bind(&query.tenant)
        .bind(most as i64)
        .fetch_all(&mut *connection)
        .await?;
    let ranks = ranks.into_iter().map(|(id, rank)| (id, rank as f32)).collect();
    Ok(ByWords { ranks, weights: spread.weights() })
}

/// How many units there are, and how many have each term.
struct Spread {
    units: u32,
    units_with: Vec<u32>,
}

async fn spread_of(connection: &mut SqliteConnection, terms: &[Term]) -> sqlx::Result<Spread> {
    let (units,): (u32,) = sqlx::query_as("select coalesce(max(id), 0) from units").fetch_one(&mut *connection).await?;
    let tokens: Vec<&String> = terms.iter().flat_map(|term| &term.tokens).collect();
    let tokens = serde_json::to_string(&tokens).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let sql = "select term, doc from json_each(?) as asked cross join vocabulary on term = asked.value";
    let counts: Vec<(String, u32)> = sqlx::query_as(sql).bind(tokens).fetch_all(connection).await?;
    let counts: HashMap<String, u32> = counts.into_iter().collect();
    let rarest = |term: &Term| term.tokens.iter().map(|token| counts.get(token).copied().unwrap_or(0)).min();
    Ok(Spread { units, units_with: terms.iter().map(|term| rarest(term).unwrap_or(0)).collect() })
}

impl Spread {
    /// How much each term counts: more, the rarer it is.
    fn weights(&self) -> Vec<f32> {
        self.units_with.iter().map(|&units_with| inverse_frequency(self.units as f32, units_with as f32)).collect()
    }

    /// The terms without those that cost time and tell nothing, as long as others are left.
    fn telling<'a>(&self, terms: &'a [Term]) -> Vec<&'a Term> {
        let is_common = |units_with: u32| units_with > COMMON.max(self.units / 8);
        let spread = || terms.iter().zip(&self.units_with);
        let telling: Vec<&Term> = spread().filter(|(_, with)| !is_common(**with)).map(|(term, _)| term).collect();
        if telling.is_empty() {
            spread().min_by_key(|(_, with)| **with).map(|(term, _)| term).into_iter().collect()
        } else {
            telling
        }
    }
}

/// BM25's weight of a term that so many units have: Robertson and Zaragoza, The Probabilistic Relevance Framework,
/// 2009, with one added inside the logarithm so that it stays above 0.
fn inverse_frequency(units: f32, units_with: f32) -> f32 {
    (1.0 + (units - units_with + 0.5).max(0.5) / (units_with + 0.5)).ln()
}

/// The terms in FTS5's language. Each token is quoted, and has no quote in it: nothing that a person types is an
/// operator.
fn expression(terms: &[&Term]) -> String {
    let quoted = |term: &Term| format!("\"{}\"{}", term.tokens.join(" "), if term.is_prefix { " *" } else { "" });
    terms.iter().map(|term| quoted(term)).collect::<Vec<_>>().join(" OR ")
}

/// The share of the query that a unit has the words of.
fn coverage(point: &Embedding, terms: &[Term], weights: &[f32]) -> f32 {
    let parts = [&point.content.name, &point.head.file_name, &point.content.text];
    let tokens: Vec<String> = parts.into_iter().flat_map(|part| lexical::tokens(part)).collect();
    let found = lexical::found(terms, &tokens);
    let sum: f32 = weights.iter().sum();
    let covered: f32 = weights.iter().zip(found).filter_map(|(weight, found)| found.then_some(weight)).sum();
    if sum > 0.0 { covered / sum } else { 0.0 }
}

fn hit(ranked: Ranked, units: &mut HashMap<Uuid, Embedding>, terms: &[Term]) -> Option<Hit> {
    let Ranked { unit_id, score, why } = ranked;
    let Embedding { head, content, thumbnail, .. } = units.remove(&unit_id)?;
    Some(Hit {
        file_id: head.file_id,
        unit_id,
        file: head.file_name,
        snippet: lexical::snippet(&content.text, terms, SNIPPET),
        frame: content.name,
        kind: content.kind,
        page: content.page,
        score,
        why,
        thumbnail: thumbnail.map(|picture| picture.uri),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telling(query: &str, units: u32, units_with: &[u32]) -> String {
        let terms = lexical::terms(query);
        expression(&Spread { units, units_with: units_with.to_vec() }.telling(&terms))
    }

    #[test]
    fn words_that_most_units_have_are_looked_for_only_where_there_are_no_others() {
        assert_eq!(telling("how do we hire", 10_000, &[6_000, 9_000, 8_000, 40]), r#""hire" *"#);
        assert_eq!(telling("how do we", 10_000, &[6_000, 9_000, 8_000]), r#""how""#);
        assert_eq!(telling("how do", 900, &[900, 900]), r#""how" OR "do" *"#);
    }

    #[test]
    fn rare_words_weigh_more_and_none_weighs_nothing() {
        let weights = Spread { units: 100, units_with: vec![0, 1, 50, 100, 200] }.weights();
        assert!(weights.windows(2).all(|pair| pair[0] >= pair[1]) && weights.iter().all(|weight| *weight > 0.0));
    }
}

//! Searching: candidates in four ways at the same time, then the ranking that all adapters have.

use std::collections::{BTreeMap, HashMap};

use futures::future::try_join4;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;

use super::rows;
use super::side::{Side, bytes_of};
use crate::vectors::lexical::{self, Term};
use crate::vectors::rank::{self, Candidate, Ways, inverse_frequency};
use crate::vectors::{Hit, Query};

/// A word that more units have, and more than an eighth of all, is not looked for beside others.
const COMMON: u32 = 1_000;

pub(super) async fn search(pool: &SqlitePool, query: &Query) -> sqlx::Result<Vec<Hit>> {
    let words = query.words.as_deref().unwrap_or_default();
    let terms = lexical::terms(words);
    let most = rank::candidates(query.limit);
    let (exact, by_words, texts, pictures) = try_join4(
        by_name(pool, query, &lexical::key(words), most),
        by_words(pool, query, &terms, most),
        Side::Texts.nearest(pool, &query.tenant, query.text_vector.as_deref(), most),
        Side::Pictures.nearest(pool, &query.tenant, query.image_vector.as_deref(), most),
    )
    .await?;
    let mut found: BTreeMap<i64, Ways> = BTreeMap::new();
    exact.into_iter().for_each(|id| found.entry(id).or_default().name = true);
    by_words.ids.into_iter().for_each(|id| found.entry(id).or_default().words = true);
    texts.into_iter().for_each(|(id, cosine)| found.entry(id).or_default().text = Some(cosine));
    pictures.into_iter().for_each(|(id, cosine)| found.entry(id).or_default().picture = Some(cosine));
    let ids: Vec<i64> = found.keys().copied().collect();
    let points = rows::of_ids(&mut *pool.acquire().await?, &ids).await?;
    let candidate = |(id, point)| Candidate { point, ways: found.get(&id).copied().unwrap_or_default() };
    Ok(rank::hits(query, &terms, &by_words.weights, points.into_iter().map(candidate).collect()))
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
    ids: Vec<i64>,
    /// Of each term.
    weights: Vec<f32>,
}

async fn by_words(pool: &SqlitePool, query: &Query, terms: &[Term], most: usize) -> sqlx::Result<ByWords> {
    if terms.is_empty() {
        return Ok(ByWords::default());
    }
    let mut connection = pool.acquire().await?;
    let spread = spread_of(&mut connection, terms).await?;
    let telling = spread.telling(terms);
    let weights: Vec<f32> = telling.iter().map(|(_, weight)| *weight).collect();
    // `cross join` keeps the order: words first, and only their units.
    let sql = "
        select words.rowid
        from words cross join units on units.id = words.rowid
        where words match ?2 and units.tenant = ?3
        order by worth(words, ?1) desc, units.unit_id limit ?4";
    let ids: Vec<(i64,)> = sqlx::query_as(sql)
        .bind(bytes_of(&weights))
        .bind(expression(telling.iter().map(|(term, _)| *term)))
        .bind(&query.tenant)
        .bind(most as i64)
        .fetch_all(&mut *connection)
        .await?;
    Ok(ByWords { ids: ids.into_iter().map(|(id,)| id).collect(), weights: spread.weights() })
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

    /// The terms with their weights, without those that cost time and tell nothing, as long as others are left.
    fn telling<'a>(&self, terms: &'a [Term]) -> Vec<(&'a Term, f32)> {
        let is_common = |units_with: u32| units_with > COMMON.max(self.units / 8);
        let spread = || terms.iter().zip(self.weights()).zip(&self.units_with);
        let telling: Vec<_> = spread().filter(|(_, with)| !is_common(**with)).map(|(term, _)| term).collect();
        if telling.is_empty() {
            spread().min_by_key(|(_, with)| **with).map(|(term, _)| term).into_iter().collect()
        } else {
            telling
        }
    }
}

/// The terms in FTS5's language. Each token is quoted, and has no quote in it: nothing that a person types is an
/// operator.
fn expression<'a>(terms: impl Iterator<Item = &'a Term>) -> String {
    let quoted = |term: &Term| format!("\"{}\"{}", term.tokens.join(" "), if term.is_prefix { " *" } else { "" });
    terms.map(quoted).collect::<Vec<_>>().join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telling(query: &str, units: u32, units_with: &[u32]) -> String {
        let terms = lexical::terms(query);
        expression(Spread { units, units_with: units_with.to_vec() }.telling(&terms).into_iter().map(|(term, _)| term))
    }

    #[test]
    fn words_that_most_units_have_are_looked_for_only_where_there_are_no_others() {
        assert_eq!(telling("how do we hire", 10_000, &[6_000, 9_000, 8_000, 40]), r#""hire" *"#);
        assert_eq!(telling("how do we", 10_000, &[6_000, 9_000, 8_000]), r#""how""#);
        assert_eq!(telling("how do", 900, &[900, 900]), r#""how" OR "do" *"#);
    }
}

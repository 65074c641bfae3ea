//! From candidates to hits: plain values, the same for every adapter, so that all rank alike.
//!
//! An adapter finds candidates and says how rare each word is among its units. What speaks for a candidate by its
//! name and words is read from the candidate itself, and so does not depend on how it was found.

use std::collections::{BTreeMap, HashMap, HashSet};

use frameline_schemas::Embedding;

use super::lexical::{self, Term};
use super::{Evidence, Hit, Lexical, Query, Ranked, fuse};

/// Candidates of each way: enough that what is good in two ways is among both.
const CANDIDATES: usize = 60;
const MOST_CANDIDATES: usize = 1_000;
/// A word in a name weighs more than one in a file's name, and that more than one in the text.
pub(super) const NAME_WEIGHT: f32 = 8.0;
pub(super) const FILE_WEIGHT: f32 = 4.0;
pub(super) const TEXT_WEIGHT: f32 = 1.0;
/// BM25: how soon more of the same word adds nothing, and how much a long unit is held against it.
const SATURATION: f32 = 1.2;
const LENGTH_SHARE: f32 = 0.75;
/// Tokens of a usual unit. Not the mean of what is there, which no two indexes have in common.
const USUAL_TOKENS: f32 = 100.0;
/// Characters of a hit's snippet.
const SNIPPET: usize = 240;

/// How many candidates of each way are looked at.
pub(super) fn candidates(limit: usize) -> usize {
    limit.saturating_mul(2).clamp(CANDIDATES, MOST_CANDIDATES)
}

/// The names that a unit is asked for by, in normal form: its own, its file's, and that without its ending.
pub(super) fn keys(point: &Embedding) -> [String; 3] {
    let file = base_name(&point.head.file_name);
    [lexical::key(&point.content.name), lexical::key(file), lexical::key(stem(file))]
}

/// The last part of a path; names of other systems' files have backslashes.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path)
}

fn stem(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// The tokens of a unit's name, of its file's name and of its text, each with its weight.
pub(super) fn tokens(point: &Embedding) -> [(f32, Vec<String>); 3] {
    [
        (NAME_WEIGHT, lexical::tokens(&point.content.name)),
        (FILE_WEIGHT, lexical::tokens(base_name(&point.head.file_name))),
        (TEXT_WEIGHT, lexical::tokens(&point.content.text)),
    ]
}

/// BM25's part of a unit: `weight` of a term, all places of it together, in a unit of so many tokens.
///
/// Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009.
pub(super) fn saturated(weight: f32, unit_tokens: usize) -> f32 {
    let length = 1.0 - LENGTH_SHARE + LENGTH_SHARE * unit_tokens as f32 / USUAL_TOKENS;
    weight * (SATURATION + 1.0) / (weight + SATURATION * length)
}

/// BM25's weight of a term that so many units have, with one added inside the logarithm so that it stays above 0.
pub(super) fn inverse_frequency(units: f32, units_with: f32) -> f32 {
    (1.0 + (units - units_with + 0.5).max(0.5) / (units_with + 0.5)).ln()
}

/// A unit that some way found.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) point: Embedding,
    pub(super) ways: Ways,
}

/// In which ways a unit was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ways {
    /// By its name.
    pub(super) name: bool,
    /// By its words.
    pub(super) words: bool,
    /// By its text vector; the cosine.
    pub(super) text: Option<f32>,
    /// By its picture vector; the cosine.
    pub(super) picture: Option<f32>,
}

impl Ways {
    fn is_by_words_alone(&self) -> bool {
        !self.name && self.text.is_none() && self.picture.is_none()
    }
}

impl Candidate {
    fn evidence(&self, key: &str, terms: &[Term], weights: &[f32]) -> Evidence {
        let is_exact = !key.is_empty() && keys(&self.point).iter().any(|own| own == key);
        Evidence {
            is_exact,
            lexical: words(&self.point, terms, weights),
            text: self.ways.text,
            picture: self.ways.picture,
        }
    }
}

/// The best of the candidates as hits, best first. `weights` says of each term how much it tells.
pub(super) fn hits(query: &Query, terms: &[Term], weights: &[f32], candidates: Vec<Candidate>) -> Vec<Hit> {
    let key = lexical::key(query.words.as_deref().unwrap_or_default());
    let weigh = |candidate: Candidate| (candidate.evidence(&key, terms, weights), candidate);
    let mut found: Vec<(Evidence, Candidate)> = candidates.into_iter().map(weigh).collect();
    keep_best_words(&mut found, self::candidates(query.limit));
    let (mut evidence, mut units) = (BTreeMap::new(), HashMap::new());
    for (own, Candidate { point, .. }) in found {
        evidence.insert(point.unit_id, own);
        units.insert(point.unit_id, point);
    }
    let ranking = fuse(&evidence, query.limit);
    let told = |ranked: Ranked| units.remove(&ranked.unit_id).map(|point| hit(ranked, point, terms));
    ranking.into_iter().filter_map(told).collect()
}

/// Keeps `most` of those that were found by words. An adapter whose index measures words in another way finds more than
/// are wanted, so that these are among them: then every adapter goes on with the same.
fn keep_best_words(found: &mut Vec<(Evidence, Candidate)>, most: usize) {
    let by_words = found.iter().filter(|(_, candidate)| candidate.ways.words);
    let rank = |evidence: &Evidence| evidence.lexical.map_or(0.0, |lexical| lexical.rank);
    let mut best: Vec<_> = by_words.map(|(own, candidate)| (rank(own), candidate.point.unit_id)).collect();
    best.sort_by(|(left, left_id), (right, right_id)| right.total_cmp(left).then(left_id.cmp(right_id)));
    let too_many: HashSet<_> = best.into_iter().skip(most).map(|(_, unit_id)| unit_id).collect();
    found.retain(|(_, Candidate { point, ways })| !ways.is_by_words_alone() || !too_many.contains(&point.unit_id));
}

/// How a unit's words match; `None` where it has none of them.
fn words(point: &Embedding, terms: &[Term], weights: &[f32]) -> Option<Lexical> {
    let parts = tokens(point);
    let unit_tokens = parts.iter().map(|(_, tokens)| tokens.len()).sum();
    let (mut rank, mut covered) = (0.0, 0.0);
    for (term, weight) in terms.iter().zip(weights) {
        let places: f32 = parts.iter().map(|(share, tokens)| share * term.count(tokens) as f32).sum();
        if places > 0.0 {
            rank += weight * saturated(places, unit_tokens);
            covered += weight;
        }
    }
    let sum: f32 = weights.iter().sum();
    (covered > 0.0).then_some(Lexical { rank, coverage: covered / sum })
}

fn hit(ranked: Ranked, point: Embedding, terms: &[Term]) -> Hit {
    let Ranked { unit_id, score, why } = ranked;
    let Embedding { head, content, thumbnail, .. } = point;
    Hit {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_weigh_more_and_none_weighs_nothing() {
        let weights = [0.0, 1.0, 50.0, 100.0, 200.0].map(|units_with| inverse_frequency(100.0, units_with));
        assert!(weights.windows(2).all(|pair| pair[0] >= pair[1]) && weights.iter().all(|weight| *weight > 0.0));
    }

    #[test]
    fn more_of_a_word_adds_less_and_less_and_a_long_unit_has_less_of_it() {
        let parts = [1.0, 2.0, 8.0, 100.0].map(|weight| saturated(weight, 100));
        assert!(parts.windows(2).all(|pair| pair[0] < pair[1]) && parts[3] < SATURATION + 1.0);
        assert!(saturated(1.0, 1_000) < saturated(1.0, 10));
    }

    #[test]
    fn a_file_is_called_by_its_last_part_with_and_without_its_ending() {
        for path in ["/d/Checkout-Flow.svg", r"C:\d\Checkout-Flow.svg", "Checkout-Flow.svg/"] {
            assert_eq!(base_name(path), "Checkout-Flow.svg", "{path}");
        }
        assert_eq!((stem("a.b.svg"), stem("readme")), ("a.b", "readme"));
    }
}

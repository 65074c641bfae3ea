//! One ranking of what was found in several ways: plain values, no index.
//!
//! Each way gives a strength from 0 to 1. Cosines are measured against fixed marks of their model, and not against
//! the best of the list: the nearest neighbour of nonsense is still far away, and must not look good. Strengths
//! come together as independent evidence does, `1 - (1 - a)(1 - b)`, so that a unit found in two ways is better
//! than in one, and nothing that speaks for a unit ever lowers it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Why;

/// A cosine at or below these counts as nothing.
///
/// all-MiniLM-L6-v2: the nearest of 600 texts to nonsense reaches 0.33, a question and its answer 0.4 to 0.7.
const TEXT_FLOOR: f32 = 0.25;
/// EfficientNet-lite0: unrelated pictures reach 0.3, screens of one design 0.5 to 0.8.
const PICTURE_FLOOR: f32 = 0.3;
/// What a unit with all words is worth, and the worst of the list beside the best of the same coverage.
const LEXICAL_BEST: f32 = 0.8;
const LEXICAL_WORST_SHARE: f32 = 0.5;
/// A unit with less of the query's words is not found by words: it has "the" and "of".
const LEAST_COVERAGE: f32 = 0.1;
/// Exact names are above this, all others below.
const EXACT_FROM: f32 = 0.9;

/// What speaks for a unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence {
    /// Its name, or its file's, is what was asked for.
    pub is_exact: bool,
    /// How its words match.
    pub lexical: Option<Lexical>,
    /// Cosine of the text vectors.
    pub text: Option<f32>,
    /// Cosine of the picture vectors.
    pub picture: Option<f32>,
}

/// How a unit's words match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lexical {
    /// The index's own score, higher being better, on any scale from 0 that is the same for all units of a search.
    pub rank: f32,
    /// Which share of what was asked for it has, from 0 to 1, rare words counting more.
    pub coverage: f32,
}

/// A unit in the ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The unit.
    pub unit_id: Uuid,
    /// How good, 0 to 1; never 0.
    pub score: f32,
    /// What speaks for it; never empty.
    pub why: Vec<Why>,
}

/// Ranks what was found, best first; what has nothing good to speak for it is left out.
pub fn fuse(found: &BTreeMap<Uuid, Evidence>, limit: usize) -> Vec<Ranked> {
    let ranks = found.values().filter_map(|evidence| evidence.lexical).map(|lexical| lexical.rank);
    let best_rank = ranks.fold(0.0, f32::max);
    let weigh = |(unit_id, evidence): (&Uuid, &Evidence)| Weighed::new(*unit_id, evidence, best_rank);
    let mut ranking: Vec<Weighed> = found.iter().filter_map(weigh).collect();
    // By doubt and not by score: near 1 a score has no room for what is still told apart.
    ranking.sort_by(|left, right| {
        let exact_first = right.is_exact.cmp(&left.is_exact);
        exact_first.then(left.doubt.total_cmp(&right.doubt)).then(left.unit_id.cmp(&right.unit_id))
    });
    ranking.into_iter().take(limit).map(Weighed::ranked).collect()
}

struct Weighed {
    unit_id: Uuid,
    is_exact: bool,
    /// What speaks against all of its evidence: 1 minus its strength.
    doubt: f32,
    why: Vec<Why>,
}

impl Weighed {
    fn new(unit_id: Uuid, evidence: &Evidence, best_rank: f32) -> Option<Self> {
        let is_exact = evidence.is_exact;
        let lexical = evidence.lexical.map_or(1.0, |lexical| doubt_of_words(lexical, best_rank));
        let text = evidence.text.map_or(1.0, |cosine| doubt_of_cosine(cosine, TEXT_FLOOR));
        let picture = evidence.picture.map_or(1.0, |cosine| doubt_of_cosine(cosine, PICTURE_FLOOR));
        let why = [(Why::Lexical, is_exact || lexical < 1.0), (Why::Text, text < 1.0), (Why::Picture, picture < 1.0)];
        let why: Vec<Why> = why.into_iter().filter_map(|(why, speaks)| speaks.then_some(why)).collect();
        (!why.is_empty()).then_some(Self { unit_id, is_exact, doubt: lexical * text * picture, why })
    }

    fn ranked(self) -> Ranked {
        let Self { unit_id, is_exact, doubt, why } = self;
        let strength = 1.0 - doubt;
        let score = if is_exact { EXACT_FROM + (1.0 - EXACT_FROM) * strength } else { EXACT_FROM * strength };
        Ranked { unit_id, score, why }
    }
}

fn doubt_of_words(lexical: Lexical, best_rank: f32) -> f32 {
    if lexical.coverage < LEAST_COVERAGE {
        return 1.0;
    }
    let share = if best_rank > 0.0 { (lexical.rank / best_rank).clamp(0.0, 1.0) } else { 1.0 };
    let strength = LEXICAL_WORST_SHARE + (1.0 - LEXICAL_WORST_SHARE) * share;
    1.0 - LEXICAL_BEST * lexical.coverage.min(1.0) * strength
}

/// From 1 at the floor to 0 for the same direction, falling fast at first: 0.6 is a good cosine already.
fn doubt_of_cosine(cosine: f32, floor: f32) -> f32 {
    ((1.0 - cosine) / (1.0 - floor)).clamp(0.0, 1.0).powi(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn evidence() -> impl Strategy<Value = Evidence> {
        let lexical = (0.0f32..50.0, 0.0f32..=1.0).prop_map(|(rank, coverage)| Lexical { rank, coverage });
        let cosine = || prop::option::of(-1.0f32..=1.0);
        (any::<bool>(), prop::option::of(lexical), cosine(), cosine())
            .prop_map(|(is_exact, lexical, text, picture)| Evidence { is_exact, lexical, text, picture })
    }

    fn found(all: Vec<Evidence>) -> BTreeMap<Uuid, Evidence> {
        (0u128..).map(Uuid::from_u128).zip(all).collect()
    }

    fn nearer(old: Option<f32>, new: f32) -> Option<f32> {
        Some(old.map_or(new, |old| old.max(new)))
    }

    fn score_of(ranking: &[Ranked], unit_id: Uuid) -> f32 {
        ranking.iter().find(|ranked| ranked.unit_id == unit_id).map_or(0.0, |ranked| ranked.score)
    }

    proptest! {
        #[test]
        fn the_best_come_first_within_bounds_and_with_a_reason(
            all in prop::collection::vec(evidence(), 0..40),
            limit in 0usize..50,
        ) {
            let found = found(all);
            let ranking = fuse(&found, limit);
            prop_assert!(ranking.len() <= limit);
            prop_assert!(ranking.windows(2).all(|pair| pair[0].score >= pair[1].score));
            for ranked in &ranking {
                prop_assert!(ranked.score > 0.0 && ranked.score <= 1.0 && !ranked.why.is_empty());
            }
            let first_inexact = ranking.iter().position(|ranked| !found[&ranked.unit_id].is_exact);
            let last_exact = ranking.iter().rposition(|ranked| found[&ranked.unit_id].is_exact);
            if let (Some(inexact), Some(exact)) = (first_inexact, last_exact) {
                prop_assert!(exact < inexact);
            }
        }

        #[test]
        fn more_evidence_never_lowers_a_unit(all in prop::collection::vec(evidence(), 1..20), cosine in -1.0f32..=1.0) {
            let before = found(all);
            let unit_id = Uuid::from_u128(0);
            let old = score_of(&fuse(&before, usize::MAX), unit_id);
            let raised = |change: fn(&mut Evidence, f32)| {
                let mut after = before.clone();
                after.entry(unit_id).and_modify(|evidence| change(evidence, cosine));
                score_of(&fuse(&after, usize::MAX), unit_id)
            };
            prop_assert!(raised(|evidence, new| evidence.text = nearer(evidence.text, new)) >= old);
            prop_assert!(raised(|evidence, new| evidence.picture = nearer(evidence.picture, new)) >= old);
            prop_assert!(raised(|evidence, _| evidence.is_exact = true) >= old);
        }
    }

    #[test]
    fn the_nearest_neighbour_of_nonsense_is_left_out() {
        let far = Evidence { text: Some(0.15), picture: Some(0.25), ..Evidence::default() };
        let function_words = Evidence { lexical: Some(Lexical { rank: 1.0, coverage: 0.05 }), ..far };
        assert_eq!(fuse(&found(vec![far, function_words]), 10), []);
    }

    #[test]
    fn found_in_two_ways_is_better_than_in_one() {
        let lexical = Some(Lexical { rank: 2.0, coverage: 0.6 });
        let all = vec![
            Evidence { lexical, ..Evidence::default() },
            Evidence { text: Some(0.5), ..Evidence::default() },
            Evidence { lexical, text: Some(0.5), ..Evidence::default() },
        ];
        let ranking = fuse(&found(all), 3);
        assert_eq!(ranking[0].unit_id, Uuid::from_u128(2));
        assert_eq!(ranking[0].why, [Why::Lexical, Why::Text]);
    }
}

//! Words as a sparse vector: plain values. Qdrant weighs each dimension by how rare it is (its `idf` modifier).
//!
//! A dimension is a hash of one of three things: a token; two characters side by side of a script without spaces;
//! the beginning of a word, for the last word of a query, which may not be typed to its end. The value is BM25's
//! part of the unit. Hashes may meet and beginnings are cut at few lengths: what this finds is a candidate, whose
//! words are looked at again.

use std::collections::{BTreeMap, HashMap};

use frameline_schemas::Embedding;

use crate::vectors::lexical::{self, Term};
use crate::vectors::rank::{saturated, tokens};

/// Characters of the beginnings that have a dimension; a longer one is looked for by the longest that fits.
const BEGINNINGS: [usize; 3] = [2, 4, 7];

/// A sparse vector: values by dimension.
pub(super) type Sparse = BTreeMap<u32, f32>;

/// A unit's words.
pub(super) fn of_unit(point: &Embedding) -> Sparse {
    let parts = tokens(point);
    let unit_tokens = parts.iter().map(|(_, tokens)| tokens.len()).sum();
    let mut weights = Sparse::new();
    for (weight, tokens) in &parts {
        let mut add = |dimension| *weights.entry(dimension).or_insert(0.0) += weight;
        tokens.iter().map(|token| of_token(token)).for_each(&mut add);
        tokens.windows(2).filter_map(of_pair).for_each(&mut add);
        tokens.iter().flat_map(|token| beginnings(token)).for_each(|(_, dimension)| add(dimension));
    }
    weights.values_mut().for_each(|weight| *weight = saturated(*weight, unit_tokens));
    weights
}

/// What a query looks for: its terms with their weights, against how rare Qdrant takes their dimensions to be. By that
/// it weighs a term as we do, wherever the term is the whole dimension.
pub(super) fn of_terms<'a>(terms: impl IntoIterator<Item = (&'a Term, f32)>, rarities: &HashMap<u32, f32>) -> Sparse {
    let mut dimensions = Sparse::new();
    for (term, weight) in terms {
        // A dimension that is nowhere finds nothing.
        for (dimension, rarity) in of_term(term).into_iter().filter_map(|own| Some((own, *rarities.get(&own)?))) {
            *dimensions.entry(dimension).or_insert(0.0) += weight / rarity;
        }
    }
    dimensions
}

/// The dimensions of a term: whatever has the term, has one of them.
pub(super) fn of_term(term: &Term) -> Vec<u32> {
    match term.tokens.as_slice() {
        [token] if term.is_prefix => match beginnings(token).last() {
            Some((length, beginning)) if length == token.chars().count() => vec![beginning],
            Some((_, beginning)) => vec![of_token(token), beginning],
            None => vec![of_token(token)],
        },
        [token] => vec![of_token(token)],
        pair => of_pair(pair).into_iter().collect(),
    }
}

/// The dimension of a token.
pub(super) fn of_token(token: &str) -> u32 {
    dimension(&["token", token])
}

fn of_pair(pair: &[String]) -> Option<u32> {
    match pair {
        [left, right] if lexical::is_alone(left) && lexical::is_alone(right) => Some(dimension(&["pair", left, right])),
        _ => None,
    }
}

/// The lengths and dimensions of a word's beginnings, the shortest first.
fn beginnings(word: &str) -> impl Iterator<Item = (usize, u32)> {
    let is_word = !lexical::is_alone(word);
    let beginning = |length: usize| {
        let (at, last) = word.char_indices().nth(length - 1)?;
        Some((length, dimension(&["beginning", word.get(..at + last.len_utf8())?])))
    };
    BEGINNINGS.into_iter().filter(move |_| is_word).filter_map(beginning)
}

fn dimension(parts: &[&str]) -> u32 {
    // No token has a space in it.
    let hash = blake3::hash(parts.join(" ").as_bytes());
    let [a, b, c, d, ..] = hash.as_bytes();
    u32::from_le_bytes([*a, *b, *c, *d])
}

#[cfg(test)]
mod tests {
    use frameline_schemas::{Content, Head, Kind};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn unit(text: &str) -> Embedding {
        let content = Content {
            kind: Kind::Passage,
            ordinal: 0,
            page: None,
            name: String::new(),
            text: text.to_owned(),
            text_uri: None,
            width_px: 0,
            height_px: 0,
        };
        let ids = Uuid::nil();
        let head = Head { tenant: String::new(), file_id: ids, revision: 1, job_id: ids, file_name: String::new() };
        Embedding { head, unit_id: ids, content, thumbnail: None, text_vector: None, image_vector: None }
    }

    fn has_all(query: &str, text: &str) -> bool {
        let unit = of_unit(&unit(text));
        let terms = lexical::terms(query);
        terms.iter().all(|term| of_term(term).iter().any(|dimension| unit.contains_key(dimension)))
    }

    proptest! {
        #[test]
        fn whatever_has_a_term_has_one_of_its_dimensions(
            text in "([a-zäöß]{1,9}|[画面設定ログ🎉]{1,4}|[A-Z][a-z]{1,4}[A-Z][a-z]{1,4}| ){0,12}",
            query in "([a-zäöß]{1,9}|[画面設定ログ🎉]{1,3}| ){0,4}",
        ) {
            let unit_words = of_unit(&unit(&text));
            let text_tokens = lexical::tokens(&text);
            for term in lexical::terms(&query).into_iter().chain(lexical::terms(&text)) {
                if term.count(&text_tokens) > 0 {
                    let mut dimensions = of_term(&term).into_iter();
                    prop_assert!(dimensions.any(|dimension| unit_words.contains_key(&dimension)), "{term:?} in {text:?}");
                }
            }
        }
    }

    #[test]
    fn the_last_word_is_found_by_its_beginning_however_long() {
        for beginning in ["Re", "Rech", "Rechnun", "Rechnungsbetra"] {
            assert!(has_all(beginning, "Rechnungsbetrag"), "{beginning}");
        }
        assert!(!has_all("Rechen", "Karte"));
    }

    #[test]
    fn a_term_weighs_as_we_have_it_however_rare_its_dimension_is() {
        let terms = lexical::terms("card of");
        let [card, of] = terms.as_slice() else { panic!("{terms:?}") };
        let (in_words, in_beginnings) = (of_term(card)[0], of_term(of)[0]);
        assert_eq!(of_term(of).len(), 1, "it is a beginning of a length that has a dimension");
        let found = of_terms([(card, 3.0), (of, 0.5)], &HashMap::from([(in_words, 3.0), (in_beginnings, 0.1)]));
        assert_eq!(found, Sparse::from([(in_words, 1.0), (in_beginnings, 5.0)]));
        assert_eq!(of_terms([(card, 3.0)], &HashMap::new()), Sparse::new());
    }

    #[test]
    fn a_value_grows_with_the_places_of_a_word_and_stays_bounded() {
        let of = |text: &str| of_unit(&unit(text))[&of_token("pay")];
        assert!(of("pay pay pay x") > of("pay x y z") && of(&"pay ".repeat(500)) < 2.3);
    }
}

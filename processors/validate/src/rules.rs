//! Which frames are refused, and why.

use std::collections::BTreeSet;

use frameline_runtime::Reason;
use frameline_schemas::Content;
use serde::{Deserialize, Serialize};

use crate::measures::Measures;
use crate::settings::ValidateSettings;

/// What a frame is compared by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) ordinal: i32,
    dhash: u64,
    width_px: i32,
    height_px: i32,
    /// The distinct words, each as the start of its BLAKE3.
    words: BTreeSet<u64>,
}

impl Fingerprint {
    pub(crate) fn new(content: &Content, measures: &Measures) -> Self {
        Self {
            ordinal: content.ordinal,
            dhash: measures.dhash,
            width_px: content.width_px,
            height_px: content.height_px,
            words: words(&content.text),
        }
    }

    fn aspect(&self) -> f64 {
        f64::from(self.width_px.max(1)) / f64::from(self.height_px.max(1))
    }
}

/// Why the frame itself is refused, whatever else is in its file.
pub(crate) fn refusal(content: &Content, measures: &Measures, settings: &ValidateSettings) -> Option<Reason> {
    let side_px = content.width_px.min(content.height_px);
    if side_px < settings.tiny_side_px {
        let text = format!("a side of {side_px} px is below {} px", settings.tiny_side_px);
        return Some(Reason::new("tiny", text));
    }
    if is_blank(measures, settings) && !has_words(content) {
        return Some(Reason::new("blank", "the picture is empty, and there are no words in it"));
    }
    None
}

/// Whether nothing is seen on the picture.
pub(crate) fn is_blank(measures: &Measures, settings: &ValidateSettings) -> bool {
    measures.edge_density < settings.blank_edge_density && measures.colours <= settings.blank_colours
}

/// Why the frame adds nothing to those of its file that were kept before it.
pub(crate) fn duplicate<'a>(
    frame: &Fingerprint,
    mut kept: impl Iterator<Item = &'a Fingerprint>,
    settings: &ValidateSettings,
) -> Option<Reason> {
    let twin = kept.find(|other| is_near(frame, other, settings))?;
    let text = format!("it is nearly the same as frame {} of its file", twin.ordinal + 1);
    Some(Reason::new("near_duplicate", text))
}

fn is_near(one: &Fingerprint, other: &Fingerprint, settings: &ValidateSettings) -> bool {
    let (aspect, other_aspect) = (one.aspect(), other.aspect());
    (one.dhash ^ other.dhash).count_ones() <= settings.duplicate_dhash_bits
        && (aspect - other_aspect).abs() <= settings.duplicate_aspect_share * aspect.max(other_aspect)
        && jaccard(&one.words, &other.words) >= settings.duplicate_text_share
}

/// The share of all words that both have; one where neither has any.
fn jaccard(one: &BTreeSet<u64>, other: &BTreeSet<u64>) -> f64 {
    let common = one.intersection(other).count();
    let all = one.len() + other.len() - common;
    if all == 0 { 1.0 } else { common as f64 / all as f64 }
}

/// Whether there are words beyond the frame's name, which may be its file's.
fn has_words(content: &Content) -> bool {
    let mut lines = content.text.lines().map(str::trim).filter(|line| !line.is_empty());
    let name = content.name.trim();
    match lines.next() {
        Some(first) if first == name => lines.next().is_some(),
        first => first.is_some(),
    }
}

fn words(text: &str) -> BTreeSet<u64> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let start = |word: &str| {
        let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(word.to_lowercase().as_bytes()).as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    };
    words.map(start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use frameline_schemas::Kind;
    use proptest::prelude::*;

    const BUSY: Measures = Measures { edge_density: 0.05, colours: 200, dhash: 0x0123_4567_89ab_cdef };
    const EMPTY: Measures = Measures { edge_density: 0.0, colours: 1, dhash: 0 };

    fn content(size: (i32, i32), text: &str) -> Content {
        Content {
            kind: Kind::Frame,
            ordinal: 0,
            page: None,
            name: "Cart".to_owned(),
            text: text.to_owned(),
            text_uri: None,
            width_px: size.0,
            height_px: size.1,
        }
    }

    fn code(size: (i32, i32), text: &str, measures: Measures) -> Option<&'static str> {
        refusal(&content(size, text), &measures, &ValidateSettings::default()).map(|reason| reason.code)
    }

    #[test]
    fn a_side_below_48_pixels_is_tiny() {
        assert_eq!(code((47, 900), "words", BUSY), Some("tiny"));
        assert_eq!(code((48, 48), "words", BUSY), None);
    }

    #[test]
    fn blank_needs_few_edges_and_few_colours_and_no_words() {
        assert_eq!(code((390, 844), "", EMPTY), Some("blank"));
        assert_eq!(code((390, 844), "Cart\n", EMPTY), Some("blank"), "a name alone is no text");
        assert_eq!(code((390, 844), "Cart\nPay now", EMPTY), None);
        assert_eq!(code((390, 844), "", Measures { colours: 4, ..EMPTY }), None);
        assert_eq!(code((390, 844), "", Measures { edge_density: 0.0005, ..EMPTY }), None);
    }

    fn near(size: (i32, i32), text: &str, dhash: u64) -> bool {
        let settings = ValidateSettings::default();
        let first = Fingerprint::new(&content((400, 800), "one two three four five six seven eight nine"), &BUSY);
        let frame = Fingerprint::new(&content(size, text), &Measures { dhash, ..BUSY });
        duplicate(&frame, std::iter::once(&first), &settings).is_some()
    }

    #[test]
    fn a_near_duplicate_is_near_in_picture_and_shape_and_words() {
        let text = "One two three four five six seven eight NINE";
        assert!(near((400, 800), text, BUSY.dhash ^ 0b1111));
        assert!(near((800, 1_600), text, BUSY.dhash));
        assert!(!near((400, 800), text, BUSY.dhash ^ 0b1_1111), "five bits");
        assert!(!near((420, 800), text, BUSY.dhash), "another shape");
        assert!(!near((400, 800), "one two three four five six seven eight ten eleven", BUSY.dhash), "other words");
    }

    proptest! {
        #[test]
        fn nearness_is_mutual_and_a_frame_is_near_itself(
            sizes in proptest::array::uniform4(1_i32..5_000),
            texts in proptest::array::uniform2("[a-c ]{0,12}"),
            hashes in proptest::array::uniform2(0_u64..64),
        ) {
            let settings = ValidateSettings::default();
            let print = |size, text: &str, dhash| Fingerprint::new(&content(size, text), &Measures { dhash, ..BUSY });
            let one = print((sizes[0], sizes[1]), &texts[0], hashes[0]);
            let other = print((sizes[2], sizes[3]), &texts[1], hashes[1]);
            prop_assert_eq!(is_near(&one, &other, &settings), is_near(&other, &one, &settings));
            prop_assert!(is_near(&one, &one, &settings));
        }
    }
}

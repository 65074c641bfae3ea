//! Splitting sections into passages that the text model takes whole.

use std::ops::Range;

use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};
use tokenizers::Tokenizer;

use super::Section;
use crate::contents::{Cut, Passage};
use crate::settings::IdentifySettings;

/// A longer section is counted in pieces of about this length, in bytes: each token that is counted costs a
/// hundred bytes of memory.
const PIECE_BYTES: usize = 64 << 10;

/// Splits documents by the tokens of the text model.
pub(crate) struct Splitter {
    tokenizer: Tokenizer,
}

impl Splitter {
    pub(crate) fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer }
    }

    /// The passages of a document in their order, and what was cut. A section without a name has `title`.
    pub(crate) fn passages(
        &self,
        sections: Vec<Section>,
        title: &str,
        settings: &IdentifySettings,
    ) -> (Vec<Passage>, Vec<Cut>) {
        let mut passages = Vec::new();
        let pieces = sections.iter().flat_map(|section| pieces(&section.text).map(move |piece| (section, piece)));
        for (section, piece) in pieces {
            for text in self.split(piece, settings) {
                if passages.len() == settings.passages_per_file {
                    return (passages, vec![Cut::Passages { limit: settings.passages_per_file }]);
                }
                let name = section.name.clone().unwrap_or_else(|| title.to_owned());
                passages.push(Passage { name, text: text.to_owned(), section: section.number });
            }
        }
        (passages, Vec::new())
    }

    fn split<'a>(&self, text: &'a str, settings: &IdentifySettings) -> Vec<&'a str> {
        let counted = Counted::new(text, &self.tokenizer);
        let (tokens, overlap) = (settings.passage_tokens, settings.passage_overlap_tokens);
        let is_within = |passage: &&str| count(&self.tokenizer, passage) <= tokens;
        let mut passages = Vec::new();
        for passage in chunks(text, counted, tokens, overlap) {
            if is_within(&passage) {
                passages.push(passage);
            } else {
                // A cut within a word may make more tokens of it than were counted; such words are rare.
                passages.extend(chunks(passage, Exactly(&self.tokenizer), tokens, overlap));
            }
        }
        passages
    }
}

fn chunks(text: &str, sizer: impl ChunkSizer, tokens: usize, overlap: usize) -> Vec<&str> {
    // The settings are checked at start: the overlap is less than the size, so it is never refused.
    let config = ChunkConfig::new(tokens).with_sizer(sizer);
    match config.with_overlap(overlap.min(tokens.saturating_sub(1))) {
        Ok(config) => TextSplitter::new(config).chunks(text).collect(),
        Err(_) => vec![text],
    }
}

fn count(tokenizer: &Tokenizer, text: &str) -> usize {
    // A text that the tokenizer refuses is split as small as can be.
    tokenizer.encode_fast(text, false).map_or(usize::MAX, |encoding| encoding.len())
}

/// Counts by running the tokenizer: exact, and slow when asked often.
struct Exactly<'a>(&'a Tokenizer);

impl ChunkSizer for Exactly<'_> {
    fn size(&self, chunk: &str) -> usize {
        count(self.0, chunk)
    }
}

/// The tokens of a text, counted once; a part of it is sized by the tokens that lie in it.
struct Counted {
    /// Where the text lies in memory: the splitter asks about parts of it without saying where they begin.
    address: usize,
    starts: Vec<usize>,
    ends: Vec<usize>,
}

impl Counted {
    fn new(text: &str, tokenizer: &Tokenizer) -> Self {
        let offsets = tokenizer.encode(text, false).map(|encoding| encoding.get_offsets().to_vec());
        let (starts, ends) = offsets.unwrap_or_default().into_iter().unzip();
        Self { address: text.as_ptr() as usize, starts, ends }
    }

    fn tokens_in(&self, range: Range<usize>) -> usize {
        let begun = self.starts.partition_point(|start| *start < range.end);
        let ended = self.ends.partition_point(|end| *end <= range.start);
        begun.saturating_sub(ended)
    }
}

impl ChunkSizer for Counted {
    fn size(&self, chunk: &str) -> usize {
        let start = (chunk.as_ptr() as usize).saturating_sub(self.address);
        self.tokens_in(start..start + chunk.len())
    }
}

/// The text in pieces that end with a paragraph, or else a line, or else anywhere.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let window = text.floor_char_boundary(PIECE_BYTES);
        let end = if window == text.len() {
            window
        } else {
            let (head, _) = text.split_at(window);
            let after = |break_: &str| head.rfind(break_).map(|at| at + break_.len());
            after("\n\n").or_else(|| after("\n")).or_else(|| after(" ")).unwrap_or(window)
        };
        let (piece, rest) = text.split_at(end);
        text = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use proptest::prelude::*;

    thread_local! {
        static SPLITTER: Splitter = Splitter::new(frameline_models::tokenizer().unwrap());
    }

    fn passages_of(text: &str, settings: &IdentifySettings) -> Vec<Passage> {
        let section = Section { name: None, text: text.to_owned(), number: None };
        SPLITTER.with(|splitter| splitter.passages(vec![section], "title", settings).0)
    }

    fn tokens_of(text: &str) -> usize {
        SPLITTER.with(|splitter| count(&splitter.tokenizer, text))
    }

    fn letters(text: &str) -> String {
        text.chars().filter(|letter| !letter.is_whitespace()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn no_text_is_lost_and_every_passage_is_within_the_limit(
            words in proptest::collection::vec("[a-zA-Z]{1,14}|[äöüéß漢字かな]{1,6}|[0-9.,:;!?-]{1,5}|\n\n?|[a-z0-9]{90,260}|👩‍💻|[a-z]\u{301}", 0..400),
            tokens in 4_usize..126,
        ) {
            let text = words.join(" ");
            let settings = IdentifySettings { passage_tokens: tokens, passage_overlap_tokens: 0, ..IdentifySettings::default() };
            let passages = passages_of(&text, &settings);
            for passage in &passages {
                prop_assert!(tokens_of(&passage.text) <= tokens, "{} tokens: {}", tokens_of(&passage.text), passage.text);
            }
            let together: String = passages.iter().map(|passage| letters(&passage.text)).collect();
            prop_assert_eq!(together, letters(&text));
        }
    }

    #[test]
    fn passages_overlap_by_some_words() {
        let text: String = (0..400).map(|number| format!("word{number} goes here. ")).collect();
        let passages = passages_of(&text, &IdentifySettings::default());
        assert!(passages.len() > 10);
        for pair in passages.windows(2) {
            let last_word = pair[0].text.split_whitespace().last().unwrap();
            assert!(pair[1].text.contains(last_word), "{last_word} is not repeated in {}", pair[1].text);
            assert!(tokens_of(&pair[0].text) > 90, "passages are filled: {}", pair[0].text);
        }
    }

    #[test]
    fn a_handbook_of_thirty_thousand_words_is_split_in_seconds() {
        let paragraph = "The quick brown fox jumps over the lazy dog, and the gardener waters forty-two tulips. ";
        let text: String = (0..300).map(|number| format!("Chapter {number}. {}\n\n", paragraph.repeat(7))).collect();
        assert!(text.split_whitespace().count() > 30_000);
        SPLITTER.with(|_| ());
        let started = Instant::now();
        let passages = passages_of(&text, &IdentifySettings::default());
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert!(passages.len() > 300);
    }

    #[test]
    fn what_is_behind_the_limit_is_told() {
        let settings = IdentifySettings { passages_per_file: 2, ..IdentifySettings::default() };
        let section = Section { name: None, text: "a b c d e f g ".repeat(200), number: None };
        let (passages, cuts) = SPLITTER.with(|splitter| splitter.passages(vec![section], "title", &settings));
        assert_eq!((passages.len(), cuts), (2, vec![Cut::Passages { limit: 2 }]));
    }

    #[test]
    fn pieces_are_the_whole_text_and_end_with_paragraphs() {
        let text = "a line\nof words\n\n".repeat(20_000);
        let all: Vec<&str> = pieces(&text).collect();
        assert_eq!(all.concat(), text);
        assert!(all.iter().all(|piece| piece.ends_with("\n\n") && piece.len() <= PIECE_BYTES));
    }
}

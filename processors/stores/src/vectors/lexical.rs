//! Words as the lexical index has them: one normal form for what is indexed and what is asked for.
//!
//! Text is folded by Unicode's compatibility decomposition, lower case, and without the marks that writers leave
//! out: accents, and the vowel signs of Arabic and Hebrew. Then it is cut into tokens:
//!
//! - letters and digits side by side are a word;
//! - characters of scripts that put no space between words (Han, Kana, Hangul, Thai and their neighbours), emoji and
//!   other symbols are tokens of their own, so that any word in them is a phrase of tokens;
//! - all else separates.
//!
//! A word has more forms than itself: the parts of `SignInButton`, and an Arabic word without its article. They are
//! tokens behind the word.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// More terms of a query are left out: nobody types them, and each costs a look into the index.
const MOST_TERMS: usize = 32;
/// The shortest last word of a query that also stands for longer words.
const SHORTEST_PREFIX: usize = 2;
/// The Arabic article, and the shortest word that is taken for a word behind it.
const ARTICLE: &str = "ال";
const SHORTEST_BEHIND_ARTICLE: usize = 3;

/// The tokens of a text, in order; none is empty or has a space or ASCII punctuation in it.
pub fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for piece in pieces(text) {
        let forms = piece.forms();
        tokens.push(piece.text);
        tokens.extend(forms);
    }
    tokens
}

/// The words of a text in normal form, with a space between them: equal for names that a person takes for the same.
pub fn key(text: &str) -> String {
    pieces(text).into_iter().map(|piece| piece.text).collect::<Vec<_>>().join(" ")
}

/// One thing that a query looks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term {
    /// Tokens that stand side by side; never empty.
    pub tokens: Vec<String>,
    /// Whether the last of them may be the beginning of a longer one.
    pub is_prefix: bool,
}

/// What a query looks for, each once: its words; and of characters without spaces every two neighbours, as nobody
/// can tell where their words end. The last word also stands for longer ones, as it may not be typed to its end.
pub fn terms(query: &str) -> Vec<Term> {
    let pieces = pieces(query);
    let mut terms = Vec::new();
    let mut add = |tokens: Vec<String>, is_prefix| {
        let term = Term { tokens, is_prefix };
        if terms.len() < MOST_TERMS && !terms.contains(&term) {
            terms.push(term);
        }
    };
    for (place, piece) in pieces.iter().enumerate() {
        let next = pieces.get(place + 1);
        let follows = |next: &&Piece| next.is_alone && next.start == piece.end;
        let comes_after = place.checked_sub(1).and_then(|place| pieces.get(place));
        let is_second = comes_after.is_some_and(|before| before.is_alone && before.end == piece.start);
        match (piece.is_alone, next.filter(follows)) {
            (true, Some(next)) => add(vec![piece.text.clone(), next.text.clone()], false),
            (true, None) if is_second => {}
            (true, None) => add(vec![piece.text.clone()], false),
            (false, _) => {
                let is_prefix = next.is_none() && piece.text.chars().count() >= SHORTEST_PREFIX;
                add(vec![piece.text.clone()], is_prefix);
                piece.forms().into_iter().for_each(|form| add(vec![form], is_prefix));
            }
        }
    }
    terms
}

/// Whether a token is a character that stands alone, of a script without spaces or a sign.
pub(super) fn is_alone(token: &str) -> bool {
    token.chars().next().is_some_and(|first| class_of(first) == Class::Alone)
}

/// About `length` characters of a text, on one line, around the first place where a term begins, else its first.
pub fn snippet(text: &str, terms: &[Term], length: usize) -> String {
    let begins = |piece: &Piece| terms.iter().any(|term| term.begins(piece));
    let at = pieces(text).iter().find(|piece| begins(piece)).map_or(0, |piece| piece.start);
    let before = text.get(..at).unwrap_or_default();
    let lead = before.char_indices().rev().take(length / 4).last().map_or(at, |(start, _)| start);
    // A word is not cut at its front.
    let start = if lead == 0 {
        0
    } else {
        text.get(lead..at).and_then(|cut| cut.find(char::is_whitespace)).map_or(at, |space| lead + space)
    };
    let tail = text.get(start..).unwrap_or_default();
    // Longer than what is taken: white space is made one.
    let raw: String = tail.chars().take(length * 4).collect();
    let line = raw.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(length).collect::<String>().trim_end().to_owned()
}

impl Term {
    /// In how many places a text has it.
    pub fn count(&self, text_tokens: &[String]) -> usize {
        text_tokens.windows(self.tokens.len().max(1)).filter(|window| self.matches(window)).count()
    }

    fn matches(&self, window: &[String]) -> bool {
        let Some((last, others)) = self.tokens.split_last() else { return false };
        let Some((last_found, others_found)) = window.split_last() else { return false };
        let is_last = if self.is_prefix { last_found.starts_with(last) } else { last_found == last };
        is_last && others == others_found
    }

    fn begins(&self, piece: &Piece) -> bool {
        let has = |token: &String| match self.tokens.as_slice() {
            [only] if self.is_prefix => token.starts_with(only),
            [first, ..] => token == first,
            [] => false,
        };
        has(&piece.text) || piece.forms().iter().any(has)
    }
}

/// A word or a character that stands alone, and where it is in the text.
#[derive(Debug)]
struct Piece {
    text: String,
    is_alone: bool,
    start: usize,
    end: usize,
    /// Where in `text` a capital follows a small letter.
    humps: Vec<usize>,
}

impl Piece {
    fn forms(&self) -> Vec<String> {
        let mut forms = Vec::new();
        if !self.humps.is_empty() {
            let ends = self.humps.iter().copied().chain([self.text.len()]);
            let starts = [0].into_iter().chain(self.humps.iter().copied());
            let part = |(start, end)| self.text.get(start..end).map(str::to_owned);
            forms.extend(starts.zip(ends).filter_map(part).filter(|part| !part.is_empty()));
        }
        let behind = self.text.strip_prefix(ARTICLE);
        forms.extend(behind.filter(|word| word.chars().count() >= SHORTEST_BEHIND_ARTICLE).map(str::to_owned));
        forms
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Alone,
    /// Belongs to what is before it.
    Mark,
    Separator,
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut is_open = false;
    let mut was_lower = false;
    let (mut cluster, mut folded) = (String::new(), String::new());
    let mut characters = text.char_indices().peekable();
    while let Some((start, first)) = characters.next() {
        cluster.clear();
        cluster.push(first);
        while let Some((_, mark)) = characters.next_if(|(_, next)| is_joined(*next)) {
            cluster.push(mark);
        }
        let end = characters.peek().map_or(text.len(), |(next, _)| *next);
        let is_hump = was_lower && first.is_uppercase();
        was_lower = first.is_lowercase();
        folded.clear();
        fold(&cluster, &mut folded);
        for character in folded.chars() {
            let class = class_of(character);
            match (class, pieces.last_mut().filter(|_| is_open)) {
                (Class::Word, Some(piece)) if !piece.is_alone => {
                    if is_hump && piece.end == start {
                        piece.humps.push(piece.text.len());
                    }
                    piece.text.push(character);
                    piece.end = end;
                }
                (Class::Mark, Some(piece)) => {
                    piece.text.push(character);
                    piece.end = end;
                }
                (Class::Word | Class::Alone, _) => {
                    let is_alone = class == Class::Alone;
                    pieces.push(Piece { text: character.into(), is_alone, start, end, humps: Vec::new() });
                    is_open = true;
                }
                (Class::Mark, None) => {}
                (Class::Separator, _) => is_open = false,
            }
        }
    }
    pieces
}

/// Adds a character with its marks, in normal form.
fn fold(cluster: &str, folded: &mut String) {
    if let &[byte @ 0..0x80] = cluster.as_bytes() {
        folded.push(char::from(byte.to_ascii_lowercase()));
        return;
    }
    let decomposed = cluster.nfkd().filter(|&character| !is_left_out(character));
    let lower: String = decomposed.flat_map(char::to_lowercase).collect();
    // Again, as lower case may bring marks: the dot of a Turkish capital i.
    let bare = lower.nfkd().filter(|&character| !is_left_out(character)).nfc();
    bare.for_each(|character| push_spelled(character, folded));
}

/// Adds a letter, spelled out where it decomposes into nothing and people write it in two ways.
fn push_spelled(character: char, folded: &mut String) {
    match character {
        'ß' => folded.push_str("ss"),
        'æ' => folded.push_str("ae"),
        'œ' => folded.push_str("oe"),
        'ø' => folded.push('o'),
        'đ' => folded.push('d'),
        'ł' => folded.push('l'),
        'ı' => folded.push('i'),
        'ς' => folded.push('σ'),
        other => folded.push(other),
    }
}

/// Goes with the character before it, whatever it becomes.
fn is_joined(character: char) -> bool {
    let is_mark = || {
        is_combining_mark(character)
            || is_left_out(character)
            || matches!(character, '\u{1160}'..='\u{11FF}' | '\u{FF9E}' | '\u{FF9F}')
    };
    // The tables of marks are slow to look into, and most text is ASCII.
    !character.is_ascii() && is_mark()
}

/// Not written by everybody, or not at all visible: accents; Hebrew and Arabic vowel signs; joiners, variation
/// selectors, skin tones.
fn is_left_out(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36F}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5BD}' | '\u{5BF}' | '\u{5C1}' | '\u{5C2}'
        | '\u{610}'..='\u{61A}' | '\u{640}' | '\u{64B}'..='\u{65F}' | '\u{670}' | '\u{6D6}'..='\u{6DC}'
        | '\u{6DF}'..='\u{6E8}' | '\u{6EA}'..='\u{6ED}'
        | '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{20E3}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' | '\u{1F3FB}'..='\u{1F3FF}')
}

fn class_of(character: char) -> Class {
    if character.is_ascii() {
        return if character.is_ascii_alphanumeric() { Class::Word } else { Class::Separator };
    }
    if is_combining_mark(character) {
        return Class::Mark;
    }
    match character {
        // Scripts without spaces: Thai to Lao, Myanmar, Khmer, Hangul, Kana, Bopomofo, Han.
        '\u{E00}'..='\u{EFF}'
        | '\u{1000}'..='\u{109F}'
        | '\u{1780}'..='\u{17FF}'
        | '\u{1100}'..='\u{11FF}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{318F}'
        | '\u{31A0}'..='\u{31BF}'
        | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{AC00}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}'
            if character.is_alphanumeric() =>
        {
            Class::Alone
        }
        // Currency; arrows, mathematics, signs; emoji. Not the lines that tables are drawn with.
        '\u{A2}'..='\u{A5}'
        | '\u{20A0}'..='\u{20CF}'
        | '\u{2190}'..='\u{24FF}'
        | '\u{25A0}'..='\u{2BFF}'
        | '\u{1F000}'..='\u{1FBFF}'
            if !character.is_alphanumeric() =>
        {
            Class::Alone
        }
        _ if character.is_alphanumeric() => Class::Word,
        _ => Class::Separator,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(terms: &[Term], text_tokens: &[String]) -> Vec<bool> {
        terms.iter().map(|term| term.count(text_tokens) > 0).collect()
    }

    fn all_found(query: &str, text: &str) -> bool {
        let terms = terms(query);
        !terms.is_empty() && found(&terms, &tokens(text)).into_iter().all(|found| found)
    }

    proptest! {
        #[test]
        fn a_token_is_never_empty_and_has_nothing_that_a_query_language_knows(text in ".{0,60}") {
            for token in tokens(&text) {
                prop_assert!(!token.is_empty());
                let is_foreign = |character: char| character.is_whitespace() || character.is_ascii_punctuation();
                prop_assert!(!token.contains(is_foreign), "{token:?}");
            }
        }

        #[test]
        fn the_normal_form_of_the_normal_form_is_itself(text in ".{0,60}") {
            prop_assert_eq!(key(&key(&text)), key(&text));
        }

        #[test]
        fn a_text_has_every_term_of_itself(text in ".{0,60}") {
            let found = found(&terms(&text), &tokens(&text));
            prop_assert!(found.into_iter().all(|found| found), "{:?} in {:?}", terms(&text), tokens(&text));
        }

        #[test]
        fn any_part_of_a_text_without_spaces_is_found_in_it(
            // Thai vowel signs go with their letters.
            signs in prop::collection::vec(prop::sample::select(
                vec!["登", "録", "画", "面", "ロ", "グ", "ン", "設", "로", "그", "인", "เ", "ข้", "า", "สู่", "ร", "🎉"]
            ), 1..20),
            start in 0usize..20,
            length in 1usize..20,
        ) {
            let start = start % signs.len();
            let part: String = signs.iter().skip(start).take(length).copied().collect();
            prop_assert!(all_found(&part, &signs.concat()));
        }

        #[test]
        fn case_and_accents_make_no_difference(word in "[a-zà-öø-ÿ]{2,12}") {
            prop_assert_eq!(key(&word.to_uppercase()), key(&word));
            let bare: String = word.nfd().filter(|&mark| !is_combining_mark(mark)).collect();
            prop_assert_eq!(key(&bare), key(&word));
        }

        #[test]
        fn a_snippet_is_one_line_of_bounded_length_from_any_text(text in "(?s).{0,400}", query in ".{0,20}") {
            let line = snippet(&text, &terms(&query), 80);
            prop_assert!(line.chars().count() <= 80 && !line.contains('\n'));
        }
    }

    #[test]
    fn what_a_person_takes_for_the_same_is_the_same() {
        for (left, right) in [
            ("Straße", "STRASSE"),
            ("ＡＢＣ１２３", "abc123"),
            ("İstanbul", "istanbul"),
            ("Ελλάς", "ελλασ"),
            ("ｶﾞｲﾄﾞ", "ガイド"),
            ("한글", "\u{1112}\u{1161}\u{11AB}\u{1100}\u{1173}\u{11AF}"),
            ("مُحَمَّد", "محمد"),
            ("أحمد", "احمد"),
            ("שָׁלוֹם", "שלום"),
            ("👍🏽 ❤️", "👍 ❤"),
            ("sign-in_form", "Sign in form"),
        ] {
            assert_eq!(key(left), key(right), "{left} and {right}");
        }
    }

    #[test]
    fn signs_that_make_another_word_are_kept() {
        for (left, right) in [("हिन्दी", "हन्द"), ("กิน", "กน"), ("が", "か")] {
            assert_ne!(key(left), key(right), "{left} and {right}");
        }
    }

    #[test]
    fn a_name_in_one_word_is_found_by_its_parts_and_as_a_whole() {
        assert_eq!(tokens("SignInButton"), ["signinbutton", "sign", "in", "button"]);
        assert!(all_found("sign button", "SignInButton"));
        assert!(all_found("signin", "SignInButton"));
        assert!(found(&terms("SignIn"), &tokens("sign in")).contains(&true));
    }

    #[test]
    fn an_arabic_word_is_found_with_and_without_its_article() {
        assert!(all_found("تسجيل", "شاشة التسجيل"));
        assert!(found(&terms("التسجيل"), &tokens("تسجيل الدخول")).contains(&true));
    }

    #[test]
    fn only_the_last_word_stands_for_longer_ones() {
        assert!(all_found("invoice pay", "Invoice payments"));
        assert!(!all_found("inv payments", "Invoice payments"));
        assert!(!all_found("p", "Invoice payments"));
    }

    #[test]
    fn a_query_of_any_length_has_few_terms() {
        let query: String = (0..10_000).map(|word| format!("word{word} ")).collect();
        assert_eq!(terms(&query).len(), MOST_TERMS);
    }

    #[test]
    fn a_snippet_shows_the_first_match() {
        let text = format!("{} the Überweisung is due\ntoday {}", "before ".repeat(100), "after ".repeat(100));
        let line = snippet(&text, &terms("uberweis"), 60);
        assert!(line.contains("the Überweisung is due today after"), "{line}");
        assert!(snippet(&text, &terms("nothing"), 60).starts_with("before before"));
    }
}

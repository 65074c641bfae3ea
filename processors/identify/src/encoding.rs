//! From bytes to text: UTF-8, UTF-16, and what older files are written in.

use std::borrow::Cow;

use encoding_rs::{Encoding, WINDOWS_1252};

/// How far into a file its own word about its encoding is looked for, in bytes.
const DECLARATION_BYTES: usize = 1_024;
/// More than one such character in so many, and it is no text.
const ODD_CHARACTERS_ONE_IN: usize = 200;

/// The text that the bytes are, without a byte order mark; `None` where they are no text.
///
/// A byte order mark decides; then UTF-8 where it is valid; then what an XML or HTML head declares; then
/// Windows-1252, which Latin-1 is a part of.
pub(crate) fn text_of(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let text = match (Encoding::for_bom(bytes), std::str::from_utf8(bytes)) {
        (Some((encoding, mark_bytes)), _) => {
            encoding.decode_without_bom_handling(bytes.get(mark_bytes..).unwrap_or_default()).0
        }
        (None, Ok(text)) => Cow::Borrowed(text),
        (None, Err(_)) => declared(bytes).unwrap_or(WINDOWS_1252).decode_without_bom_handling(bytes).0,
    };
    is_text(&text).then_some(text)
}

/// The encoding that `<?xml encoding="…"?>` or `<meta charset="…">` names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..DECLARATION_BYTES).unwrap_or(bytes);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value_after = |key: &str| {
        let (_, rest) = head.split_once(key)?;
        let value = rest.trim_start_matches(['"', '\'', ' ']);
        value.split(['"', '\'', ' ', ';', '>', '/', '?']).next().and_then(|label| Encoding::for_label(label.as_bytes()))
    };
    let looks_like_markup = head.trim_start().starts_with('<');
    looks_like_markup.then(|| value_after("encoding=").or_else(|| value_after("charset="))).flatten()
}

/// Controls and undecodable bytes hardly occur in text, and in other data everywhere.
fn is_text(text: &str) -> bool {
    let is_odd = |letter: char| {
        let is_layout = matches!(letter, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}');
        (letter.is_control() && !is_layout) || letter == char::REPLACEMENT_CHARACTER
    };
    let odd = text.chars().filter(|letter| is_odd(*letter)).count();
    !text.contains('\0') && odd * ODD_CHARACTERS_ONE_IN <= text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GREETING: &str = "Grüße aus Århus, naïve café";

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(to_bytes).collect()
    }

    #[test]
    fn the_usual_encodings_are_read() {
        let latin1: Vec<u8> = GREETING.chars().map(|letter| letter as u8).collect();
        let with_mark = [b"\xef\xbb\xbf", GREETING.as_bytes()].concat();
        let all = [
            GREETING.as_bytes().to_vec(),
            with_mark,
            latin1,
            utf16(GREETING, u16::to_le_bytes),
            utf16(GREETING, u16::to_be_bytes),
        ];
        for bytes in all {
            assert_eq!(text_of(&bytes).unwrap(), GREETING, "{bytes:?}");
        }
    }

    #[test]
    fn what_a_head_declares_is_believed_where_it_is_not_utf8() {
        let (bytes, ..) = encoding_rs::KOI8_R.encode("<meta charset=\"koi8-r\">привет");
        assert!(text_of(&bytes).unwrap().ends_with("привет"));
        let (bytes, ..) = encoding_rs::SHIFT_JIS.encode("<?xml version=\"1.0\" encoding='Shift_JIS'?><svg>設定</svg>");
        assert!(text_of(&bytes).unwrap().contains("設定"));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let noise: Vec<u8> = (0..4_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(text_of(&noise), None);
        assert_eq!(text_of(b"almost\0text"), None);
    }

    proptest! {
        #[test]
        fn printable_text_survives_utf8_and_utf16(text in "[^\\p{Cc}\u{fffd}\u{feff}]{1,60}") {
            prop_assert_eq!(text_of(text.as_bytes()).unwrap(), text.as_str());
            let wide = utf16(&text, u16::to_le_bytes);
            prop_assert_eq!(text_of(&wide).unwrap(), text.as_str());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = text_of(&bytes);
        }
    }
}

//! Plain text: one section, with line ends as they are everywhere else.

use super::Section;

/// The one section of a plain text.
pub(crate) fn sections(text: &str) -> Vec<Section> {
    let text = text.replace("\r\n", "\n").replace(['\r', '\u{c}'], "\n");
    vec![Section { name: None, text: text.trim().to_owned(), number: None }]
}

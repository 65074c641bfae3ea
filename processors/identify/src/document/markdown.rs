//! Markdown, by way of HTML: what it embeds in HTML is read like the rest.

use pulldown_cmark::{Options, Parser, html};

/// The HTML of a Markdown document.
pub(crate) fn to_html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let mut text = String::with_capacity(markdown.len() * 5 / 4);
    html::push_html(&mut text, Parser::new_ext(markdown, options));
    text
}

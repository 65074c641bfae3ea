//! HTML as a person reads it: text by blocks under headings, without scripts, styles and navigation.
//!
//! The tokenizer alone is enough: no tree is built that a hostile file could make deep.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

use super::Section;
use super::outline::Outline;
use crate::names::one_line;

/// Elements whose text is not the document's.
const SKIPPED: [&str; 10] =
    ["script", "style", "template", "nav", "noscript", "svg", "math", "iframe", "object", "select"];
/// Elements that stand on lines of their own.
const LINES: [&str; 12] =
    ["br", "li", "tr", "dt", "dd", "option", "figcaption", "caption", "legend", "summary", "address", "label"];
/// Elements that are paragraphs of their own.
const PARAGRAPHS: [&str; 20] = [
    "p",
    "div",
    "section",
    "article",
    "main",
    "header",
    "footer",
    "aside",
    "ul",
    "ol",
    "dl",
    "table",
    "blockquote",
    "pre",
    "figure",
    "form",
    "fieldset",
    "details",
    "hr",
    "body",
];

/// The sections of an HTML document.
pub(crate) fn sections(html: &str) -> Vec<Section> {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(html));
    let tokenizer = Tokenizer::new(Sink(RefCell::default()), TokenizerOpts::default());
    // The sink never asks for a script to be run, so one feed reads all.
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.0.into_inner().finish()
}

struct Sink(RefCell<Reader>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut reader = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                reader.start(&tag);
                return raw_kind(&tag).map_or(TokenSinkResult::Continue, TokenSinkResult::RawData);
            }
            Token::TagToken(tag) => reader.end(&tag.name),
            Token::CharacterTokens(text) => reader.text(&text),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// Elements whose content is text up to their own end tag.
fn raw_kind(tag: &Tag) -> Option<RawKind> {
    match &*tag.name {
        "title" | "textarea" => Some(RawKind::Rcdata),
        "style" | "xmp" | "iframe" | "noembed" | "noframes" => Some(RawKind::Rawtext),
        "script" => Some(RawKind::ScriptData),
        _ => None,
    }
}

/// Where the words go that are read next.
#[derive(Debug, Default, PartialEq, Clone, Copy)]
enum Destination {
    #[default]
    Body,
    Title,
    Heading(u8),
}

#[derive(Debug, Default)]
struct Reader {
    outline: Outline,
    /// Skipped elements that are open, the innermost last.
    skipped: Vec<String>,
    is_head: bool,
    preformatted: usize,
    into: Destination,
    /// The words of a title or heading that is open.
    line: String,
    /// The white space that is due before the next words.
    gap: &'static str,
}

impl Reader {
    fn start(&mut self, tag: &Tag) {
        let name: &str = &tag.name;
        if SKIPPED.contains(&name) && !tag.self_closing {
            self.skipped.push(name.to_owned());
        }
        match name {
            "head" => self.is_head = true,
            "body" => self.is_head = false,
            "title" => self.into = Destination::Title,
            "pre" => self.preformatted += 1,
            "img" => self.alternative(tag),
            _ => {}
        }
        if let Some(level) = heading_level(name) {
            self.close_line();
            self.into = Destination::Heading(level);
        }
        self.separate(name);
    }

    fn end(&mut self, name: &str) {
        if self.skipped.last().is_some_and(|open| open == name) {
            self.skipped.pop();
        }
        match name {
            "head" => self.is_head = false,
            "pre" => self.preformatted = self.preformatted.saturating_sub(1),
            "title" => self.close_line(),
            _ if heading_level(name).is_some() => self.close_line(),
            _ => {}
        }
        self.separate(name);
    }

    fn text(&mut self, text: &str) {
        let is_unread = !self.skipped.is_empty() || (self.is_head && self.into != Destination::Title);
        if is_unread {
            return;
        }
        if self.into != Destination::Body {
            self.line.push_str(text);
        } else if self.preformatted > 0 {
            self.put(text);
        } else {
            self.flow(text);
        }
    }

    /// Text whose white space means nothing but that words are apart.
    fn flow(&mut self, text: &str) {
        if text.starts_with(char::is_whitespace) {
            self.widen(" ");
        }
        for word in text.split_whitespace() {
            self.put(word);
            self.widen(" ");
        }
        if !text.ends_with(char::is_whitespace) && self.gap == " " {
            self.gap = "";
        }
    }

    fn put(&mut self, words: &str) {
        let gap = std::mem::take(&mut self.gap);
        self.outline.text(gap);
        self.outline.text(words);
    }

    /// What a picture shows, in the author's words.
    fn alternative(&mut self, tag: &Tag) {
        if let Some(alternative) = tag.attrs.iter().find(|attribute| &*attribute.name.local == "alt") {
            self.text(&format!(" {} ", &*alternative.value));
        }
    }

    /// Ends a title or heading.
    fn close_line(&mut self) {
        let line = one_line(&std::mem::take(&mut self.line));
        let into = std::mem::take(&mut self.into);
        if line.is_empty() || !self.skipped.is_empty() {
            return;
        }
        match into {
            Destination::Title => self.outline.set_title(line),
            Destination::Heading(level) => {
                self.outline.heading(level, line);
                self.gap = "";
            }
            Destination::Body => {}
        }
    }

    fn separate(&mut self, name: &str) {
        if PARAGRAPHS.contains(&name) {
            self.widen("\n\n");
        } else if LINES.contains(&name) {
            self.widen("\n");
        } else if name == "td" || name == "th" {
            self.widen(" ");
        }
    }

    fn widen(&mut self, gap: &'static str) {
        let is_wider = match (self.gap, gap) {
            ("\n\n", _) => false,
            ("\n", other) => other == "\n\n",
            _ => true,
        };
        if is_wider {
            self.gap = gap;
        }
        if self.into != Destination::Body {
            self.line.push(' ');
        }
    }

    fn finish(mut self) -> Vec<Section> {
        self.skipped.clear();
        self.close_line();
        self.outline.finish()
    }
}

fn heading_level(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::markdown;

    fn text(html: &str) -> String {
        sections(html).into_iter().map(|section| section.text).collect::<Vec<_>>().join("\n---\n")
    }

    #[test]
    fn blocks_break_lines_and_words_keep_together() {
        let html =
            "<p>A  <b>bo</b>ld\n move</p><ul><li>one</li><li>two &amp; t&#104;ree</ul>last<br>line<div>new</div>";
        assert_eq!(text(html), "A bold move\n\none\ntwo & three\n\nlast\nline\n\nnew");
        assert_eq!(text("<table><tr><th>Day<td>Open</tr><tr><td>Mon<td>9&nbsp;h</table>"), "Day Open\nMon 9 h");
        assert_eq!(text("<pre>fn main() {\n    run();\n}</pre>"), "fn main() {\n    run();\n}");
    }

    #[test]
    fn scripts_styles_navigation_and_heads_are_left_out() {
        let html =
            "<!doctype html><html><head><title>Release\n notes</title><meta name=a><style>p{zebra}</style></head>
            <body><nav><ul><li>Home</nav><script>if (a</b>0) walrus()</script><p>Hello<template>x</template> there
            <noscript>Enable it</noscript><svg><title>icon</title><text>y</text></svg><img alt=\"a map\" src=x></body>";
        let found = sections(html);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name.as_deref(), Some("Release notes"));
        assert_eq!(found[0].text, "Hello there a map");
    }

    #[test]
    fn markdown_is_read_as_its_html_with_the_html_in_it() {
        let found = sections(&markdown::to_html(
            "---\ntitle: hidden\n---\n# Guide\n\nSome *emphasis* and `code`.\n\n## Colours\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<p align=center><img alt=\"logo\"> in <b>html</b></p>\n\n- [ ] item\n\n```rust\nlet x = 1;\n```\n",
        ));
        let names: Vec<_> = found.iter().map(|section| section.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["Guide", "Guide › Colours"]);
        assert_eq!(found[0].text, "Guide\n\nSome emphasis and code.");
        assert_eq!(found[1].text, "Colours\n\na b\n1 2\n\nlogo in html\n\nitem\n\nlet x = 1;");
    }

    #[test]
    fn broken_markup_costs_nothing_but_its_markup() {
        for html in ["<", "<<<p", "<p <p>a", "</nav></nav>a", "<h1>a<h2>b", "<title>never closed", "&#x110000;&bogus;a"]
        {
            let _ = sections(html);
        }
        assert_eq!(text("<h1>One<h2>Two</h2>body"), "One\n\nTwo\n\nbody");
    }
}

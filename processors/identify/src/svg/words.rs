//! The words of an SVG, and the names of its parts.

use roxmltree::Node;

use super::{SVG, is_hidden};
use crate::names::one_line;

/// Elements that hold words.
const WORDED: [&str; 5] = ["title", "desc", "text", "flowRoot", "foreignObject"];
/// Elements whose words are not seen where they stand.
const UNSEEN: [&str; 11] =
    ["defs", "symbol", "style", "script", "metadata", "clipPath", "mask", "pattern", "marker", "filter", "namedview"];
/// Where design tools write the name of a layer: attribute without its namespace.
const LABELS: [&str; 2] = ["label", "data-name"];
/// What tools call an element that nobody named, followed by a number.
const GENERATED: [&str; 9] = ["svg", "g", "layer", "rect", "path", "group", "frame", "artboard", "id"];

/// Titles, descriptions and texts that are shown, in the order of the document, a line each.
pub(super) fn text(node: Node) -> String {
    let mut lines = Vec::new();
    collect(node, &mut lines);
    lines.join("\n")
}

/// A text under a heading that stands above it, unless it begins with the same words.
pub(super) fn under(heading: Option<&str>, text: String) -> String {
    match heading {
        Some(heading) if !text.starts_with(heading) => format!("{heading}\n{text}"),
        _ => text,
    }
}

/// What the element is called: by its title, its layer's name, or its id where a person chose it. A root's id and
/// label are its file's, so there only the title counts.
pub(super) fn name(node: Node, is_root: bool) -> Option<String> {
    if is_root {
        return title(node);
    }
    let labelled = || {
        let label = node.attributes().find(|attribute| LABELS.contains(&attribute.name()))?;
        Some(one_line(label.value())).filter(|label| !label.is_empty())
    };
    let chosen =
        || node.attribute("id").filter(|id| !is_generated(id)).map(|id| one_line(&id.replace(['-', '_'], " ")));
    title(node).or_else(labelled).or_else(chosen)
}

/// The element's own title.
pub(super) fn title(node: Node) -> Option<String> {
    let title = node.children().find(|child| child.has_tag_name((SVG, "title")))?;
    Some(words_of(title)).filter(|title| !title.is_empty())
}

/// The recursion is as deep as the elements are nested, which is limited when the file is parsed.
fn collect(node: Node, lines: &mut Vec<String>) {
    for child in node.children().filter(|child| child.is_element() && !is_hidden(*child)) {
        let name = child.tag_name().name();
        if WORDED.contains(&name) {
            let words = words_of(child);
            if !words.is_empty() {
                lines.push(words);
            }
        } else if !UNSEEN.contains(&name) {
            collect(child, lines);
        }
    }
}

/// The words in an element on one line. Parts of a text that stand at a place of their own are apart; others
/// belong to the same word.
fn words_of(node: Node) -> String {
    let is_html = node.has_tag_name((SVG, "foreignObject"));
    let mut words = String::new();
    for part in node.descendants() {
        if part.is_text() {
            words.push_str(part.text().unwrap_or_default());
        } else if is_html || is_apart(part) {
            words.push(' ');
        }
    }
    one_line(&words)
}

fn is_apart(part: Node) -> bool {
    let is_placed = ["x", "y", "dy"].iter().any(|name| part.has_attribute(*name));
    is_placed || ["flowPara", "flowDiv", "br"].contains(&part.tag_name().name())
}

fn is_generated(id: &str) -> bool {
    let letters = id.trim_end_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '_' | ' '));
    letters.is_empty() || (letters.len() < id.len() && GENERATED.contains(&letters.to_lowercase().as_str()))
}

//! Cutting an artboard out of its file: a scene of its own, with the definitions that it may refer to.
//!
//! A scene is made of slices of the file: its prologue, the root with another size, what the root's children
//! define, the artboard. So nothing is written anew that could be written wrong.

use std::ops::Range;

use frameline_sandbox::Refusal;
use roxmltree::Node;

use super::artboards::Artboard;
use super::{SVG, is_drawn};

/// The root's attributes that a scene has its own of, or none.
const REPLACED: [&str; 6] = ["x", "y", "width", "height", "viewBox", "preserveAspectRatio"];

/// Makes scenes of one file.
pub(super) struct SceneCutter<'a> {
    text: &'a str,
    /// Everything before the root's `>`, without the attributes that are replaced.
    start: String,
    definitions: Vec<&'a str>,
    end: String,
}

impl<'a> SceneCutter<'a> {
    pub(super) fn new(text: &'a str, root: Node) -> Result<Self, Refusal> {
        let whole = root.range();
        let tag_end = whole.start + tag_length(slice(text, whole.clone())?).ok_or_else(damaged)?;
        let mut start = String::new();
        let mut copied = 0;
        let is_replaced = |name: &str| REPLACED.contains(&name);
        for attribute in root.attributes().filter(|attribute| is_replaced(attribute.name())) {
            let range = attribute.range();
            start.push_str(slice(text, copied..range.start)?);
            copied = range.end;
        }
        start.push_str(slice(text, copied..tag_end)?);
        let name = slice(text, whole.start + 1..tag_end)?.split_whitespace().next().ok_or_else(damaged)?;
        let definitions: Result<_, _> =
            root.children().filter(|child| defines(*child)).map(|child| slice(text, child.range())).collect();
        Ok(Self { text, start, definitions: definitions?, end: format!("</{name}>") })
    }

    /// Writes the artboard's scene behind what is in `scenes`.
    pub(super) fn cut(&self, artboard: &Artboard, scenes: &mut Vec<u8>) -> Result<(), Refusal> {
        let bounds = artboard.bounds;
        let size = format!(
            r#" width="{2}" height="{3}" viewBox="{0} {1} {2} {3}">"#,
            bounds.x, bounds.y, bounds.width, bounds.height
        );
        scenes.extend(self.start.as_bytes());
        scenes.extend(size.as_bytes());
        self.definitions.iter().for_each(|definition| scenes.extend(definition.as_bytes()));
        scenes.extend(slice(self.text, artboard.node.range())?.as_bytes());
        scenes.extend(self.end.as_bytes());
        Ok(())
    }
}

/// Gradients, styles and the like, but neither what is drawn nor what describes the whole file.
fn defines(node: Node) -> bool {
    let is_svg = node.is_element() && node.tag_name().namespace() == Some(SVG);
    is_svg && !is_drawn(node) && !["title", "desc", "metadata", "script"].contains(&node.tag_name().name())
}

/// How far it is to the `>` of a start tag, which may stand in an attribute's value too.
fn tag_length(element: &str) -> Option<usize> {
    let mut quote = None;
    for (at, letter) in element.char_indices() {
        match (quote, letter) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
    None
}

/// A node that an entity brought in has its range elsewhere; such a file is not cut.
fn slice(text: &str, range: Range<usize>) -> Result<&str, Refusal> {
    text.get(range).ok_or_else(damaged)
}

fn damaged() -> Refusal {
    Refusal::Damaged("its artboards cannot be told apart".to_owned())
}

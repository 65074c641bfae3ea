//! Finding the artboards of an SVG, as design tools export them.
//!
//! An artboard is a child of the root: an `<svg>` with a size, or a `<g>` whose first drawn child is a filled
//! rectangle, its background. Cards on one screen look much the same, so groups count as artboards only where
//! nothing else is drawn beside them, except one rectangle behind them all, and none overlaps another.

use std::str::FromStr;

use roxmltree::Node;
use svgtypes::{Length, LengthUnit, Transform};

use super::{SVG, is_drawn, is_hidden};
use crate::settings::IdentifySettings;

/// With more groups than this it is a drawing.
const CANDIDATES: usize = 1_000;
/// How far two artboards may reach into each other, in pixels: rounding in exports.
const OVERLAP_PX: f64 = 1.0;

/// An artboard and where it lies on its picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Artboard<'a, 'input> {
    pub(super) node: Node<'a, 'input>,
    pub(super) bounds: Bounds,
}

/// A rectangle in the root's coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The artboards in the order of the file; none where the picture is one frame.
pub(super) fn find<'a, 'input>(root: Node<'a, 'input>, settings: &IdentifySettings) -> Vec<Artboard<'a, 'input>> {
    let drawn: Vec<Node> = root.children().filter(|child| is_drawn(*child) && !is_hidden(*child)).collect();
    let artboards: Vec<Artboard> =
        drawn.iter().filter_map(|node| Some(Artboard { node: *node, bounds: bounds(*node)? })).collect();
    let are_all_svg = artboards.iter().all(|artboard| artboard.node.has_tag_name((SVG, "svg")));
    let has_ground = drawn.first().is_some_and(|first| first.has_tag_name((SVG, "rect")));
    let others = drawn.len() - artboards.len() - usize::from(has_ground);
    let indexed = artboards.iter().filter(|artboard| artboard.refusal(settings).is_none()).count();
    let is_split = artboards.len() <= CANDIDATES && indexed >= 2 && (are_all_svg || others == 0);
    if is_split && are_apart(&artboards) { artboards } else { Vec::new() }
}

impl Artboard<'_, '_> {
    /// Why selective indexing leaves it out.
    pub(super) fn refusal(&self, settings: &IdentifySettings) -> Option<String> {
        let (shorter, longer) = (self.bounds.width.min(self.bounds.height), self.bounds.width.max(self.bounds.height));
        if shorter < settings.frame_min_side_px {
            return Some(format!("its shorter side of {shorter} px is below {} px", settings.frame_min_side_px));
        }
        if longer > settings.frame_max_side_px {
            return Some(format!("its longer side of {longer} px is above {} px", settings.frame_max_side_px));
        }
        if longer / shorter > settings.frame_max_aspect {
            return Some(format!("its sides are {longer} and {shorter} px, beyond {}:1", settings.frame_max_aspect));
        }
        let elements = self.node.descendants().filter(Node::is_element).take(settings.frame_min_elements + 1).count();
        // The artboard itself is one of them.
        (elements <= settings.frame_min_elements)
            .then(|| format!("it has fewer than {} elements", settings.frame_min_elements))
    }
}

impl Bounds {
    fn overlaps(&self, other: &Self) -> bool {
        let reach = |start: f64, length: f64, other_start: f64, other_length: f64| {
            (start + length).min(other_start + other_length) - start.max(other_start)
        };
        reach(self.x, self.width, other.x, other.width) > OVERLAP_PX
            && reach(self.y, self.height, other.y, other.height) > OVERLAP_PX
    }
}

fn are_apart(artboards: &[Artboard]) -> bool {
    let mut seen: Vec<Bounds> = Vec::with_capacity(artboards.len());
    for artboard in artboards {
        if seen.iter().any(|other| other.overlaps(&artboard.bounds)) {
            return false;
        }
        seen.push(artboard.bounds);
    }
    true
}

fn bounds(node: Node) -> Option<Bounds> {
    match node.tag_name().name() {
        "svg" => rectangle(node),
        "g" => {
            let ground = node.children().find(|child| is_drawn(*child) && !is_hidden(*child))?;
            let is_filled = ground.has_tag_name((SVG, "rect")) && ground.attribute("fill") != Some("none");
            let inner = is_filled.then(|| rectangle(ground)).flatten()?;
            moved(moved(inner, ground.attribute("transform"))?, node.attribute("transform"))
        }
        _ => None,
    }
}

fn rectangle(node: Node) -> Option<Bounds> {
    let length = |name: &str| pixels(node.attribute(name)?);
    let (width, height) = (length("width")?, length("height")?);
    let is_sized = width.is_finite() && height.is_finite() && width > 0.0 && height > 0.0;
    let position = |name: &str| length(name).unwrap_or(0.0);
    is_sized.then(|| Bounds { x: position("x"), y: position("y"), width, height })
}

fn pixels(text: &str) -> Option<f64> {
    let length = Length::from_str(text).ok()?;
    matches!(length.unit, LengthUnit::None | LengthUnit::Px).then_some(length.number)
}

/// The rectangle behind a transformation, where that leaves it upright.
fn moved(bounds: Bounds, transform: Option<&str>) -> Option<Bounds> {
    let Some(transform) = transform else {
        return Some(bounds);
    };
    let by = Transform::from_str(transform).ok()?;
    let is_upright = by.b == 0.0 && by.c == 0.0 && by.a > 0.0 && by.d > 0.0;
    is_upright.then_some(Bounds {
        x: by.a * bounds.x + by.e,
        y: by.d * bounds.y + by.f,
        width: by.a * bounds.width,
        height: by.d * bounds.height,
    })
}

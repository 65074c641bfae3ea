//! An SVG: its top-level artboards, or else the picture itself, each with its words and a scene.

mod artboards;
mod scene;
mod words;

use frameline_sandbox::Refusal;
use resvg::usvg;
use roxmltree::{Document, Error, Node, ParsingOptions};

use crate::contents::{Contents, Cut, FoundFrame, whole_px};
use crate::names::title_of;
use crate::settings::IdentifySettings;
use artboards::Artboard;
use scene::SceneCutter;

/// The namespace of all that is drawn.
const SVG: &str = "http://www.w3.org/2000/svg";
/// Most nodes of a file.
const NODES: u32 = 1_000_000;
/// Deepest nesting of elements; usvg refuses 1,024.
const DEPTH: usize = 1_000;
/// Scenes of a file together, in bytes: definitions that all artboards share are in each of them.
const SCENES_LIMIT_BYTES: usize = 256 << 20;

/// Names the frames of an SVG. `is_as_stored` says that `text` is the file byte by byte, so that the file itself
/// can be the scene of a picture without artboards.
pub(crate) fn identify(
    text: &str,
    is_as_stored: bool,
    file_name: &str,
    settings: &IdentifySettings,
) -> Result<Contents, Refusal> {
    let document = parse(text)?;
    let root = document.root_element();
    let options = usvg::Options { image_href_resolver: no_pictures(), ..usvg::Options::default() };
    let tree = usvg::Tree::from_xmltree(&document, &options).map_err(unfolding)?;

    let mut contents = Contents { format: "svg".to_owned(), ..Contents::default() };
    let title = title_of(file_name);
    let artboards = artboards::find(root, settings);
    if artboards.is_empty() {
        contents.scenes = if is_as_stored { Vec::new() } else { text.as_bytes().to_vec() };
        contents.frames.push(FoundFrame {
            name: words::name(root, true).unwrap_or(title),
            text: words::text(root),
            width_px: whole_px(f64::from(tree.size().width())),
            height_px: whole_px(f64::from(tree.size().height())),
            scene: (!is_as_stored).then_some(0..text.len()),
        });
        return Ok(contents);
    }
    add_artboards(&mut contents, text, root, &artboards, &title, settings)?;
    Ok(contents)
}

fn add_artboards(
    contents: &mut Contents,
    text: &str,
    root: Node,
    artboards: &[Artboard],
    title: &str,
    settings: &IdentifySettings,
) -> Result<(), Refusal> {
    let cutter = SceneCutter::new(text, root)?;
    let heading = words::title(root);
    for (index, artboard) in artboards.iter().enumerate() {
        let name = words::name(artboard.node, false).unwrap_or_else(|| format!("{title} {}", index + 1));
        if let Some(reason) = artboard.refusal(settings) {
            contents.cuts.push(Cut::Frame { name, reason });
            continue;
        }
        let start = contents.scenes.len();
        if contents.frames.len() == settings.frames_per_file || start > SCENES_LIMIT_BYTES {
            let left_out = artboards.len() - index;
            contents.cuts.push(Cut::Frames { left_out, limit: contents.frames.len() });
            break;
        }
        cutter.cut(artboard, &mut contents.scenes)?;
        contents.frames.push(FoundFrame {
            name,
            text: words::under(heading.as_deref(), words::text(artboard.node)),
            width_px: whole_px(artboard.bounds.width),
            height_px: whole_px(artboard.bounds.height),
            scene: Some(start..contents.scenes.len()),
        });
    }
    Ok(())
}

fn parse(text: &str) -> Result<Document<'_>, Refusal> {
    let options = ParsingOptions { allow_dtd: true, nodes_limit: NODES, entity_resolver: Some(&refuse_external) };
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        Error::EntityReferenceLoop(_) => Refusal::Unsafe("its entities multiply without end".to_owned()),
        Error::EntityResolver(_, reason) => Refusal::Unsafe(reason),
        Error::NodesLimitReached => Refusal::TooLarge(format!("it has more than {NODES} nodes")),
        error => Refusal::Damaged(error.to_string()),
    })?;
    if depth(&document) > DEPTH {
        return Err(Refusal::TooLarge(format!("its elements are nested deeper than {DEPTH}")));
    }
    if !document.root_element().has_tag_name((SVG, "svg")) {
        return Err(Refusal::Damaged(format!("its root is no svg element of the namespace {SVG}")));
    }
    Ok(document)
}

/// A small file may have a large tree: what it uses is put in place of each use.
fn unfolding(error: usvg::Error) -> Refusal {
    match error {
        usvg::Error::ElementsLimitReached | usvg::Error::ParsingFailed(Error::NodesLimitReached) => {
            Refusal::TooLarge("it unfolds to too many elements, or uses itself without end".to_owned())
        }
        error => Refusal::Damaged(error.to_string()),
    }
}

fn refuse_external<'a>(_public: Option<&str>, uri: &str) -> Result<Option<&'a str>, String> {
    Err(format!("it refers to {uri}, outside of itself"))
}

/// Without recursion: the nesting may be deeper than any stack.
fn depth(document: &Document) -> usize {
    // Nodes are numbered in the order of the document, so a parent's depth is known before its children's.
    let mut depths: Vec<usize> = Vec::new();
    for node in document.descendants() {
        let parent = node.parent().and_then(|parent| depths.get(parent.id().get_usize()));
        depths.push(parent.map_or(0, |depth| depth + 1));
    }
    depths.into_iter().max().unwrap_or(0)
}

/// Only the size is asked for here; pictures are the drawing worker's.
fn no_pictures() -> usvg::ImageHrefResolver<'static> {
    usvg::ImageHrefResolver { resolve_data: Box::new(|_, _, _| None), resolve_string: Box::new(|_, _| None) }
}

/// Whether the element is something that is seen where it stands, rather than named, defined or described.
fn is_drawn(node: Node) -> bool {
    let draws = [
        "g",
        "svg",
        "a",
        "switch",
        "use",
        "image",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "text",
        "flowRoot",
        "foreignObject",
    ];
    node.is_element() && node.tag_name().namespace() == Some(SVG) && draws.contains(&node.tag_name().name())
}

/// Whether the element says of itself that it is not shown.
fn is_hidden(node: Node) -> bool {
    let styled = |property: &str| {
        let styles = node.attribute("style").into_iter().flat_map(|style| style.split(';'));
        let mut values = styles.filter_map(|entry| entry.split_once(':')).filter(|(name, _)| name.trim() == property);
        values.next_back().map(|(_, value)| value.trim()).or_else(|| node.attribute(property))
    };
    styled("display") == Some("none") || styled("visibility") == Some("hidden")
}

#[cfg(test)]
mod tests;

//! What kind of file it is, by its bytes. The name only tells apart texts of different markup.

use std::borrow::Cow;

use frameline_sandbox::{Refusal, raster};
use image::ImageFormat;

use crate::encoding;
use crate::names::ending_of;

/// A file whose kind is known.
#[derive(Debug, PartialEq)]
pub(crate) enum Kind<'a> {
    /// A picture in pixels, and the format's name.
    Raster(&'static str),
    /// An SVG's text.
    Svg(Cow<'a, str>),
    /// A Markdown document's text.
    Markdown(Cow<'a, str>),
    /// An HTML document's text.
    Html(Cow<'a, str>),
    /// Any other text.
    Plain(Cow<'a, str>),
}

/// Formats that are known by their first bytes and not read: offset, bytes, name.
const UNREAD: [(usize, &[u8], &str); 27] = [
    (0, b"%PDF-", "pdf"),
    (0, b"%!PS", "postscript"),
    (0, b"fig-kiwi", "fig"),
    (1, b"\x0b\x1a\x86\x50\x63\xa1\x5f\xc5", "penpot"),
    (0, b"8BPS", "psd"),
    (0, b"SQLite format 3\0", "sqlite"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"\0\0\x01\0", "ico"),
    (4, b"ftyp", "iso media"),
    (0, b"RIFF", "riff"),
    (0, b"OggS", "ogg"),
    (0, b"ID3", "mp3"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"BZh", "bzip2"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!", "rar"),
    (0, b"\xd0\xcf\x11\xe0", "ole"),
    (0, b"{\\rtf", "rtf"),
    (0, b"\x7fELF", "elf"),
    (0, b"wOFF", "font"),
    (0, b"wOF2", "font"),
    (0, b"OTTO", "font"),
    (0, b"\0\x01\0\0\0", "font"),
    (0, b"\0asm", "wasm"),
];

/// Entries that tell what a zip is, and its name. The order counts: the first one found decides.
const ZIPS: [(&[u8], &str); 5] = [
    (b"canvas.fig", "fig"),
    (b"[Content_Types].xml", "office"),
    (b"mimetypeapplication/", "open document"),
    (b"document.json", "sketch"),
    (b"manifest.json", "penpot"),
];

/// How much of a zip's start and end is searched for its entries' names, in bytes.
const ZIP_NAMES_BYTES: usize = 64 << 10;
/// How far in a PDF may begin, and how far in a text says what it is, in bytes.
const HEAD_BYTES: usize = 1_024;

/// Tells what kind of file it is, or why it is not read.
pub(crate) fn sniff<'a>(bytes: &'a [u8], file_name: &str) -> Result<Kind<'a>, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    if let Some(format) = raster::format_of(bytes) {
        return Ok(Kind::Raster(raster_name(format)));
    }
    if let Some(name) = unread(bytes) {
        return Err(Refusal::Unsupported(name.to_owned()));
    }
    let text = encoding::text_of(bytes).ok_or(Refusal::NotText)?;
    if text.trim().is_empty() {
        return Err(Refusal::Empty);
    }
    kind_of_text(text, &ending_of(file_name))
}

fn kind_of_text<'a>(text: Cow<'a, str>, ending: &str) -> Result<Kind<'a>, Refusal> {
    let is_xml = text.trim_start().starts_with("<?xml");
    match root_element(&text) {
        Some("svg") => return Ok(Kind::Svg(text)),
        Some("html" | "head" | "body") => return Ok(Kind::Html(text)),
        _ if starts_with(text.trim_start(), "<!doctype html") => return Ok(Kind::Html(text)),
        _ => {}
    }
    match ending {
        "html" | "htm" | "xhtml" if text.contains('<') => Ok(Kind::Html(text)),
        _ if is_xml => Err(Refusal::Unsupported("xml".to_owned())),
        _ if is_excalidraw(&text) => Err(Refusal::Unsupported("excalidraw".to_owned())),
        "md" | "markdown" | "mdown" | "mkd" => Ok(Kind::Markdown(text)),
        _ => Ok(Kind::Plain(text)),
    }
}

fn raster_name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "png",
        ImageFormat::Jpeg => "jpeg",
        ImageFormat::WebP => "webp",
        ImageFormat::Gif => "gif",
        _ => "picture",
    }
}

fn unread(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Some(zip_name(bytes));
    }
    // The four bytes behind the size are reserved; text that happens to begin with BM has letters there.
    if bytes.starts_with(b"BM") && bytes.get(6..10) == Some(&[0; 4]) {
        return Some("bmp");
    }
    let starts_with =
        |(offset, magic, _): &&(usize, &[u8], &str)| bytes.get(*offset..).is_some_and(|rest| rest.starts_with(magic));
    let known = UNREAD.iter().find(starts_with).map(|(_, _, name)| *name);
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    known.or_else(|| (contains(head, b"%PDF-") && contains(head, b" obj")).then_some("pdf"))
}

fn zip_name(bytes: &[u8]) -> &'static str {
    let head = bytes.get(..ZIP_NAMES_BYTES).unwrap_or(bytes);
    let tail = bytes.get(bytes.len().saturating_sub(ZIP_NAMES_BYTES)..).unwrap_or(bytes);
    let known = ZIPS.iter().find(|(entry, _)| contains(head, entry) || contains(tail, entry));
    known.map_or("zip", |(_, name)| name)
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn is_excalidraw(text: &str) -> bool {
    let head = text.get(..HEAD_BYTES).unwrap_or(text);
    head.trim_start().starts_with('{') && head.contains("\"type\"") && head.contains("\"excalidraw")
}

/// The local name of the first element, where nothing but a prologue is before it.
fn root_element(text: &str) -> Option<&str> {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("<!--") {
            comment.split_once("-->")?.1
        } else if rest.starts_with("<?") {
            rest.split_once("?>")?.1
        } else if starts_with(rest, "<!doctype") {
            after_doctype(rest)?
        } else {
            break;
        }
        .trim_start();
    }
    let name = rest.strip_prefix('<')?;
    let end = name.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != ':')?;
    let name = name.get(..end)?;
    Some(name.rsplit(':').next().unwrap_or(name)).filter(|name| !name.is_empty())
}

/// Whether the text starts with a word, in whatever case.
fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// A document type may hold declarations in brackets, and those hold `>`.
fn after_doctype(text: &str) -> Option<&str> {
    let end = text.find('>')?;
    match text.find('[') {
        Some(bracket) if bracket < end => text.split_once("]").and_then(|(_, rest)| rest.split_once('>')),
        _ => text.split_once('>'),
    }
    .map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> Refusal {
        sniff(bytes, "a.png").unwrap_err()
    }

    #[test]
    fn the_bytes_decide_and_not_the_name() {
        assert_eq!(refusal(b"%PDF-1.7 ..."), Refusal::Unsupported("pdf".to_owned()));
        assert_eq!(refusal(b"\n\n%PDF-1.3\n1 0 obj"), Refusal::Unsupported("pdf".to_owned()));
        assert_eq!(refusal(b"fig-kiwi\x0f\0\0\0"), Refusal::Unsupported("fig".to_owned()));
        assert_eq!(refusal(b"PK\x03\x04....document.json"), Refusal::Unsupported("sketch".to_owned()));
        assert_eq!(refusal(b"PK\x03\x04.........a.txt"), Refusal::Unsupported("zip".to_owned()));
        assert_eq!(refusal(b"{\"type\": \"excalidraw\"}"), Refusal::Unsupported("excalidraw".to_owned()));
        assert_eq!(refusal(b"<?xml version='1.0'?><feed/>"), Refusal::Unsupported("xml".to_owned()));
        assert_eq!(refusal(b""), Refusal::Empty);
        assert_eq!(refusal(b" \r\n\t"), Refusal::Empty);
        assert_eq!(refusal(b"\x00\x01\x02\x03\xff\xfe\x80"), Refusal::NotText);
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n", "a.md").unwrap(), Kind::Raster("png"));
    }

    #[test]
    fn an_svg_is_known_by_its_root_behind_any_prologue() {
        let texts = [
            "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "\u{feff}<?xml version='1.0'?>\n<!-- made by <hand> -->\n<svg:svg/>",
            "<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'http://www.w3.org/svg11.dtd'><svg width='1'/>",
            "<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'b'> <!ENTITY c '<g/>'>]><svg/>",
        ];
        for text in texts {
            assert!(matches!(sniff(text.as_bytes(), "notes.md"), Ok(Kind::Svg(_))), "{text}");
        }
    }

    #[test]
    fn texts_of_different_markup_are_told_apart_by_content_then_name() {
        assert!(matches!(sniff(b"<!doctype HTML><p>x", "a.txt"), Ok(Kind::Html(_))));
        assert!(matches!(sniff(b"<html><p>x", "a"), Ok(Kind::Html(_))));
        assert!(matches!(sniff(b"<p>x</p>", "a.HTML"), Ok(Kind::Html(_))));
        assert!(matches!(sniff(b"<p>x</p>", "a.md"), Ok(Kind::Markdown(_))));
        assert!(matches!(sniff(b"# x", "b/a.md"), Ok(Kind::Markdown(_))));
        assert!(matches!(sniff(b"# x", "a.txt"), Ok(Kind::Plain(_))));
        assert!(matches!(sniff("naïve".as_bytes(), "README"), Ok(Kind::Plain(_))));
    }
}

//! Made-up files, the same ones for the same random numbers, with real words in them.

use std::fmt::Write;
use std::io::Cursor;

use fastrand::Rng;
use image::{ImageFormat, Rgb, RgbImage};

#[rustfmt::skip]
const WORDS: [&str; 96] = [
    "account", "address", "alert", "amount", "answer", "archive", "balance", "basket", "billing", "board", "budget",
    "calendar", "cancel", "card", "category", "chart", "checkout", "city", "colour", "comment", "company", "confirm",
    "contact", "country", "coupon", "currency", "customer", "daily", "dashboard", "date", "delivery", "details",
    "device", "discount", "document", "download", "draft", "email", "event", "expired", "export", "favourite",
    "feedback", "filter", "folder", "forgot", "friend", "gallery", "guest", "help", "history", "holiday", "import",
    "inbox", "invoice", "item", "journey", "label", "language", "library", "limit", "location", "message", "monthly",
    "music", "network", "notification", "offer", "order", "overview", "owner", "password", "payment", "phone",
    "photo", "playlist", "policy", "privacy", "profile", "project", "receipt", "refund", "report", "review",
    "schedule", "search", "security", "settings", "shipping", "storage", "summary", "support", "team", "ticket",
    "upload", "weather",
];

const SCREEN_WIDTH_PX: u32 = 390;
const SCREEN_HEIGHT_PX: u32 = 844;

/// `count` words; the first of the list are the most frequent, as in a real language.
pub fn words(random: &mut Rng, count: usize) -> String {
    let word = |random: &mut Rng| {
        let rank = (WORDS.len() as f64).powf(random.f64()) - 1.0;
        WORDS[rank as usize]
    };
    (0..count).map(|_| word(random)).collect::<Vec<_>>().join(" ")
}

/// An SVG of one to so many artboards, each a phone's screen.
pub fn screen(random: &mut Rng, most_artboards: u32) -> String {
    let artboards = random.u32(1..=most_artboards);
    let width = artboards * SCREEN_WIDTH_PX;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{SCREEN_HEIGHT_PX}" viewBox="0 0 {width} {SCREEN_HEIGHT_PX}" font-family="DejaVu Sans">"#
    );
    for number in 0..artboards {
        let (title, x) = (words(random, 2), number * SCREEN_WIDTH_PX);
        let _ = write!(svg, r#"<g id="a{number}" data-name="{title}" transform="translate({x} 0)">"#);
        let _ = write!(svg, r##"<rect width="{SCREEN_WIDTH_PX}" height="{SCREEN_HEIGHT_PX}" fill="#f6f6f2"/>"##);
        for row in 0..14 {
            let (y, colour, text) = (20 + row * 58, random.u32(..1 << 24), words(random, 3));
            let box_width = random.u32(80..350);
            let _ =
                write!(svg, r##"<rect x="20" y="{y}" width="{box_width}" height="44" rx="10" fill="#{colour:06x}"/>"##);
            let _ = write!(svg, r#"<text x="32" y="{}" font-size="16">{text}</text>"#, y + 28);
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}

/// A picture of coloured boxes, at least 101 by 81 pixels.
pub fn picture(random: &mut Rng, width_px: u32, height_px: u32) -> RgbImage {
    let mut picture = RgbImage::from_pixel(width_px, height_px, Rgb([240, 240, 236]));
    for _ in 0..24 {
        let colour = Rgb([random.u8(..), random.u8(..), random.u8(..)]);
        let (left, top) = (random.u32(..width_px - 100), random.u32(..height_px - 80));
        let (width, height) = (random.u32(20..100), random.u32(20..80));
        for y in top..top + height {
            for x in left..left + width {
                picture.put_pixel(x, y, colour);
            }
        }
    }
    picture
}

/// A picture's file.
pub fn png(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// A Markdown document: sections of paragraphs of words.
pub fn document(random: &mut Rng, sections: usize, paragraphs: usize, words_each: usize) -> String {
    let mut text = format!("# {}\n", words(random, 3));
    for _ in 0..sections {
        let _ = write!(text, "\n## {}\n", words(random, 3));
        for _ in 0..paragraphs {
            let _ = write!(text, "\n{}.\n", words(random, words_each));
        }
    }
    text
}

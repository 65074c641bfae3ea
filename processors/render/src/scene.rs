//! Drawing a scene, an SVG, by resvg with the bundled fonts. Nothing outside the scene is read.

use std::sync::Arc;

use anyhow::ensure;
use frameline_sandbox::{Refusal, raster};
use image::RgbaImage;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{ImageHrefResolver, Options, Tree, fontdb};

/// The family that stands in for every other one.
const FAMILY: &str = "DejaVu Sans";
const FONTS: [&[u8]; 2] = [include_bytes!("../fonts/DejaVuSans.ttf"), include_bytes!("../fonts/DejaVuSans-Bold.ttf")];

/// A small scene is enlarged to this at most.
const ENLARGEMENT: f32 = 2.0;

/// Draws scenes.
pub(crate) struct Drawing {
    options: Options<'static>,
}

impl Drawing {
    /// Loads the fonts.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut fonts = fontdb::Database::new();
        FONTS.iter().for_each(|font| fonts.load_font_data(font.to_vec()));
        // Without a face resvg drops text silently.
        ensure!(fonts.len() == FONTS.len(), "only {} of {} bundled fonts can be read", fonts.len(), FONTS.len());
        fonts.set_serif_family(FAMILY);
        fonts.set_sans_serif_family(FAMILY);
        fonts.set_monospace_family(FAMILY);
        fonts.set_cursive_family(FAMILY);
        fonts.set_fantasy_family(FAMILY);
        let options = Options {
            fontdb: Arc::new(fonts),
            font_family: FAMILY.to_owned(),
            image_href_resolver: embedded_only(),
            ..Options::default()
        };
        Ok(Self { options })
    }

    /// Draws a scene so that its longest side is at most `longest_side_px`.
    pub(crate) fn draw(&self, scene: &[u8], longest_side_px: u32) -> Result<RgbaImage, Refusal> {
        let tree = Tree::from_data(scene, &self.options).map_err(|error| Refusal::Damaged(error.to_string()))?;
        let (width, height) = (tree.size().width(), tree.size().height());
        let scale = (longest_side_px as f32 / width.max(height)).min(ENLARGEMENT);
        let pixels = |length: f32| (length * scale).round().clamp(1.0, longest_side_px as f32);
        let (drawn_width, drawn_height) = (pixels(width), pixels(height));
        let too_large = || Refusal::TooLarge(format!("{width} by {height} cannot be drawn"));
        let mut canvas = Pixmap::new(drawn_width as u32, drawn_height as u32).ok_or_else(too_large)?;
        let transform = Transform::from_scale(drawn_width / width, drawn_height / height);
        resvg::render(&tree, transform, &mut canvas.as_mut());
        let (width, height) = (canvas.width(), canvas.height());
        RgbaImage::from_raw(width, height, canvas.take_demultiplied()).ok_or_else(too_large)
    }
}

/// Pictures come from data URLs alone, and only those within the limits.
fn embedded_only() -> ImageHrefResolver<'static> {
    let decode = ImageHrefResolver::default_data_resolver();
    ImageHrefResolver {
        resolve_data: Box::new(move |mime, data, options| {
            let is_raster = raster::format_of(&data).is_some();
            if is_raster && raster::dimensions(&data).is_none() {
                return None;
            }
            decode(mime, data, options)
        }),
        resolve_string: Box::new(|_, _| None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dark_pixels(svg: &str) -> usize {
        let picture = Drawing::new().unwrap().draw(svg.as_bytes(), 512).unwrap();
        picture.pixels().filter(|pixel| pixel.0[3] > 128 && pixel.0[0] < 100).count()
    }

    #[test]
    fn text_is_drawn_whatever_family_it_asks_for() {
        let svg =
            |text: &str| format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="200" height="60">{text}</svg>"#);
        assert_eq!(dark_pixels(&svg("")), 0);
        for family in ["Inter, Arial", "monospace", "DejaVu Sans", "cursive"] {
            let drawn = svg(&format!(r#"<text x="9" y="40" font-size="30" font-family="{family}">Frame</text>"#));
            assert!(dark_pixels(&drawn) > 300, "{family}");
        }
    }

    #[test]
    fn bold_text_is_bolder() {
        let text = |weight: u32| {
            format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="200" height="60"><text x="9" y="40" font-size="30" font-weight="{weight}">Frame</text></svg>"#
            )
        };
        assert!(dark_pixels(&text(700)) > dark_pixels(&text(400)) * 12 / 10);
    }

    #[test]
    fn the_longest_side_is_met_and_small_scenes_are_at_most_doubled() {
        let size = |width: u32, height: u32| {
            let svg = format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"/>"#);
            Drawing::new().unwrap().draw(svg.as_bytes(), 512).unwrap().dimensions()
        };
        assert_eq!(size(1_280, 800), (512, 320));
        assert_eq!(size(390, 844), (237, 512));
        assert_eq!(size(100, 60), (200, 120));
        assert_eq!(size(100_000, 10), (512, 1));
    }
}

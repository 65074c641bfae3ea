//! What a transparent picture stands on.

use image::{Rgb, RgbImage, RgbaImage};

const WHITE: [u8; 3] = [255, 255, 255];
const DARK: [u8; 3] = [32, 36, 44];

/// From this luminance on, 0 to 255, white hides a colour.
const LIGHT: u32 = 225;
/// The share of what is visible that must be light, in percent, for a dark ground.
const MOSTLY_PERCENT: u64 = 98;

/// The picture without transparency: on white, or on dark where nearly all that is visible would vanish in white.
pub(crate) fn flatten(picture: &RgbaImage) -> RgbImage {
    let ground = if is_light(picture) { DARK } else { WHITE };
    let mut opaque = RgbImage::new(picture.width(), picture.height());
    for (target, source) in opaque.pixels_mut().zip(picture.pixels()) {
        let [red, green, blue, alpha] = source.0;
        let [below_red, below_green, below_blue] = ground;
        let over = |colour: u8, below: u8| {
            let (colour, below, alpha) = (u32::from(colour), u32::from(below), u32::from(alpha));
            ((colour * alpha + below * (255 - alpha) + 127) / 255) as u8
        };
        *target = Rgb([over(red, below_red), over(green, below_green), over(blue, below_blue)]);
    }
    opaque
}

fn is_light(picture: &RgbaImage) -> bool {
    let (mut visible, mut light) = (0_u64, 0_u64);
    for pixel in picture.pixels() {
        let [red, green, blue, alpha] = pixel.0;
        let luminance = (u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114) / 1_000;
        visible += u64::from(alpha);
        light += if luminance >= LIGHT { u64::from(alpha) } else { 0 };
    }
    visible > 0 && light * 100 >= visible * MOSTLY_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    fn corner(colour: [u8; 4]) -> Rgb<u8> {
        let mut picture = RgbaImage::new(10, 10);
        picture.put_pixel(5, 5, Rgba(colour));
        *flatten(&picture).get_pixel(0, 0)
    }

    #[test]
    fn white_drawing_stands_on_a_dark_ground_and_all_else_on_white() {
        assert_eq!(corner([255, 255, 255, 255]), Rgb(DARK));
        assert_eq!(corner([250, 250, 250, 90]), Rgb(DARK));
        assert_eq!(corner([200, 30, 30, 255]), Rgb(WHITE));
        assert_eq!(corner([0, 0, 0, 0]), Rgb(WHITE));
    }

    #[test]
    fn half_transparent_colours_are_mixed_with_the_ground() {
        let picture = RgbaImage::from_pixel(1, 1, Rgba([0, 0, 0, 51]));
        assert_eq!(flatten(&picture).get_pixel(0, 0), &Rgb([204, 204, 204]));
    }
}

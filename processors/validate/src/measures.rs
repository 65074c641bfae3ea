//! What is measured on a picture.

use std::collections::HashSet;

use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

/// Neighbours whose luminance differs by more than this, of 255, have an edge between them.
const EDGE_STEP: u8 = 16;

/// What is measured on a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measures {
    /// The share of pixels that differ from the one to the right or below, 0 to 1.
    pub(crate) edge_density: f64,
    /// Distinct colours after quantising each channel to 4 bits.
    pub(crate) colours: i32,
    /// The difference hash.
    pub(crate) dhash: u64,
}

impl Measures {
    pub(crate) fn of(picture: &RgbImage) -> Self {
        let luminance = imageops::grayscale(picture);
        Self { edge_density: edge_density(&luminance), colours: colours(picture), dhash: dhash(&luminance) }
    }
}

fn edge_density(luminance: &GrayImage) -> f64 {
    let differs = |x: u32, y: u32, own: u8| {
        luminance.get_pixel_checked(x, y).is_some_and(|other| other.0[0].abs_diff(own) > EDGE_STEP)
    };
    let on_edge = luminance
        .enumerate_pixels()
        .filter(|(x, y, own)| differs(x + 1, *y, own.0[0]) || differs(*x, y + 1, own.0[0]))
        .count();
    let pixels = luminance.pixels().len().max(1);
    on_edge as f64 / pixels as f64
}

fn colours(picture: &RgbImage) -> i32 {
    let quantised = |pixel: &image::Rgb<u8>| pixel.0.map(|channel| channel >> 4);
    let distinct: HashSet<[u8; 3]> = picture.pixels().map(quantised).collect();
    i32::try_from(distinct.len()).unwrap_or(i32::MAX)
}

/// The difference hash: the picture at nine by eight pixels, a bit for each pixel that is darker than the one to
/// its right. After N. Krawetz, "Kind of Like That", 2013.
fn dhash(luminance: &GrayImage) -> u64 {
    let small = imageops::resize(luminance, 9, 8, FilterType::Triangle);
    let value = |x: u32, y: u32| small.get_pixel_checked(x, y).map_or(0, |pixel| pixel.0[0]);
    let places = (0..8).flat_map(|y| (0..8).map(move |x| (x, y)));
    places.fold(0, |hash, (x, y)| hash << 1 | u64::from(value(x, y) < value(x + 1, y)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

    fn of(picture: &RgbImage) -> Measures {
        Measures::of(picture)
    }

    #[test]
    fn an_even_picture_has_no_edge_one_colour_and_no_bit() {
        let measures = of(&RgbImage::from_pixel(512, 320, WHITE));
        assert_eq!(measures, Measures { edge_density: 0.0, colours: 1, dhash: 0 });
    }

    #[test]
    fn a_line_is_counted_on_both_of_its_sides() {
        let mut picture = RgbImage::from_pixel(100, 100, WHITE);
        (0..100).for_each(|y| picture.put_pixel(50, y, Rgb([0, 0, 0])));
        let measures = of(&picture);
        assert_eq!(measures.edge_density, 0.02);
        assert_eq!(measures.colours, 2);
    }

    #[test]
    fn near_colours_count_as_one_and_faint_steps_are_no_edge() {
        let picture = RgbImage::from_fn(64, 64, |x, _| Rgb([240 + (x % 16) as u8, 250, 250]));
        assert_eq!(of(&picture).colours, 1);
        assert_eq!(of(&picture).edge_density, 0.0);
    }

    #[test]
    fn the_hash_tells_the_direction_of_a_gradient() {
        let rising = RgbImage::from_fn(90, 80, |x, _| Rgb([x as u8 * 2; 3]));
        assert_eq!(of(&rising).dhash, u64::MAX);
        assert_eq!(of(&imageops::flip_horizontal(&rising)).dhash, 0);
    }

    proptest! {
        #[test]
        fn the_hash_hardly_changes_with_size(seed in any::<u64>()) {
            let blocks = RgbImage::from_fn(9, 8, |x, y| {
                let bit = seed.rotate_left(x * 7 + y * 11) & 0xff;
                Rgb([(bit as u8 / 2).wrapping_add(x as u8 * 8); 3])
            });
            let hash = |width, height| of(&imageops::resize(&blocks, width, height, FilterType::Nearest)).dhash;
            let distance = (hash(90, 80) ^ hash(180, 160)).count_ones();
            prop_assert!(distance <= 4, "{} bits", distance);
        }

        #[test]
        fn no_picture_makes_it_panic(width in 1_u32..40, height in 1_u32..40, colour in any::<[u8; 3]>()) {
            let measures = of(&RgbImage::from_pixel(width, height, Rgb(colour)));
            prop_assert_eq!(measures.edge_density, 0.0);
        }
    }
}

//! Raster pictures: made smaller, never larger, and written as PNG.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops::FilterType as Resampling;
use image::{DynamicImage, ImageResult, RgbImage, RgbaImage};

/// The picture with its longest side at most `longest_side_px`.
pub(crate) fn fit(picture: DynamicImage, longest_side_px: u32) -> RgbaImage {
    if picture.width().max(picture.height()) <= longest_side_px {
        return picture.into_rgba8();
    }
    picture.resize(longest_side_px, longest_side_px, Resampling::Triangle).into_rgba8()
}

/// The picture as PNG.
pub(crate) fn png(picture: &RgbImage) -> ImageResult<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
    picture.write_with_encoder(encoder)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_made_smaller_and_never_larger() {
        let size = |width, height| fit(DynamicImage::new_rgb8(width, height), 512).dimensions();
        assert_eq!(size(2_048, 1_024), (512, 256));
        assert_eq!(size(100, 60), (100, 60));
        assert_eq!(size(20_000, 2), (512, 1));
    }
}

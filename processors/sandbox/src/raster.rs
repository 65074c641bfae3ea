//! Decoding a picture within limits: what every worker that meets one needs.

use std::io::Cursor;

use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::Refusal;

/// The longest side that is decoded, in pixels.
pub const SIDE_LIMIT_PX: u32 = 30_000;
/// The largest decoded picture, in bytes.
pub const PICTURE_LIMIT_BYTES: u64 = 512 << 20;

/// The format that the first bytes tell, among those that are read.
pub fn format_of(bytes: &[u8]) -> Option<ImageFormat> {
    let read = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif];
    image::guess_format(bytes).ok().filter(|format| read.contains(format))
}

/// Decodes all of a picture, the first frame of a moving one, and turns it upright as its EXIF data say.
pub fn decode(bytes: &[u8]) -> Result<DynamicImage, Refusal> {
    let mut decoder = open(bytes)?;
    if decoder.total_bytes() > PICTURE_LIMIT_BYTES {
        let mebibytes = decoder.total_bytes() >> 20;
        return Err(Refusal::TooLarge(format!("{mebibytes} MiB decoded, the limit is {}", PICTURE_LIMIT_BYTES >> 20)));
    }
    let orientation = decoder.orientation().map_err(refusal)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    if format_of(bytes) == Some(ImageFormat::Jpeg) && !jpeg_ends(bytes) {
        return Err(Refusal::Damaged("it is cut off".to_owned()));
    }
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Width and height in pixels, where they can be read and are within the limits. Decodes nothing.
pub fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let decoder = open(bytes).ok()?;
    (decoder.total_bytes() <= PICTURE_LIMIT_BYTES).then(|| decoder.dimensions())
}

fn open(bytes: &[u8]) -> Result<impl ImageDecoder + '_, Refusal> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_LIMIT_PX);
    limits.max_image_height = Some(SIDE_LIMIT_PX);
    limits.max_alloc = Some(PICTURE_LIMIT_BYTES);
    let mut reader = ImageReader::new(Cursor::new(bytes));
    if let Some(format) = format_of(bytes) {
        reader.set_format(format);
    }
    reader.limits(limits);
    reader.into_decoder().map_err(refusal)
}

/// Whether an end marker follows the last scan. The decoder itself fills up what is missing with grey.
///
/// Within a scan 0xFF is always followed by zero or a restart marker, so neither marker is found by chance; an
/// embedded preview lies before the scans.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    let (start_of_scan, end_of_image) = (last([0xff, 0xda]), last([0xff, 0xd9]));
    end_of_image > start_of_scan
}

fn refusal(error: ImageError) -> Refusal {
    match &error {
        ImageError::Limits(limit) if limit.kind() == LimitErrorKind::DimensionError => {
            Refusal::TooLarge(format!("a side is longer than {SIDE_LIMIT_PX} pixels"))
        }
        ImageError::Limits(_) => Refusal::TooLarge(format!("more than {} MiB decoded", PICTURE_LIMIT_BYTES >> 20)),
        _ => Refusal::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 4, y as u8 * 5, (x * y) as u8]));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_cut_picture_is_refused_wherever_it_is_cut() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif] {
            let bytes = encoded(format);
            assert_eq!(decode(&bytes).unwrap().width(), 64, "{format:?}");
            for share in [3, 5, 8, 9] {
                let cut = &bytes[..bytes.len() * share / 10];
                assert!(matches!(decode(cut), Err(Refusal::Damaged(_))), "{format:?} cut to {share} tenths");
            }
        }
    }

    #[test]
    fn a_picture_beyond_the_limits_is_refused_before_it_is_decoded() {
        let mut bytes = encoded(ImageFormat::Png);
        bytes[16..24].copy_from_slice(&[0, 0, 0x75, 0x31, 0, 0, 0, 1]);
        let checksum = png_checksum(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum);
        assert!(matches!(decode(&bytes), Err(Refusal::TooLarge(_))), "{:?}", decode(&bytes));
        assert_eq!(dimensions(&bytes), None);
    }

    /// CRC-32 as the PNG specification has it.
    fn png_checksum(bytes: &[u8]) -> [u8; 4] {
        let step = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
        let crc = bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step));
        (!crc).to_be_bytes()
    }
}

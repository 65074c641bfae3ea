//! Pictures to vectors: EfficientNet-lite0, its pooled features, L2-normalised.

use std::io::Cursor;
use std::sync::OnceLock;

use frameline_models::IMAGE_MODEL;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageReader, Limits, RgbImage, Rgba, RgbaImage};

use crate::EmbedError;
use crate::plan::{Plan, Values};

/// Side of the square that the model looks at.
const SIDE_PX: u32 = 224;
/// The output that is the vector; the other one names ImageNet's classes.
const OUTPUT: &str = "embedding";
/// Longest side of a picture that is read.
const LONGEST_SIDE_PX: u32 = 16_384;
/// Memory that reading a picture may take.
const DECODE_LIMIT_BYTES: u64 = 256 << 20;

/// The bundled image model. It runs one picture at a time: in batches of eight tract makes half as many.
#[derive(Default)]
pub struct ImageModel {
    plan: OnceLock<Result<Plan, EmbedError>>,
}

impl ImageModel {
    /// The model's name, as it stands beside its vectors.
    pub const NAME: &'static str = IMAGE_MODEL;

    /// The model; its plan follows on first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads the plan.
    pub fn warm(&self) -> Result<(), EmbedError> {
        self.plan().map(|_| ())
    }

    /// A vector of 1,280 values for an encoded picture: PNG, JPEG, WebP or GIF.
    pub fn embed_encoded(&self, bytes: &[u8]) -> Result<Vec<f32>, EmbedError> {
        let unreadable = |error: &dyn std::error::Error| EmbedError::Picture(error.to_string());
        let mut reader =
            ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| unreadable(&error))?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(LONGEST_SIDE_PX);
        limits.max_image_height = Some(LONGEST_SIDE_PX);
        limits.max_alloc = Some(DECODE_LIMIT_BYTES);
        reader.limits(limits);
        self.embed(&reader.decode().map_err(|error| unreadable(&error))?)
    }

    /// A vector of 1,280 values for a picture.
    pub fn embed(&self, picture: &DynamicImage) -> Result<Vec<f32>, EmbedError> {
        let pixels = pixels_of(picture);
        self.plan()?.run(|_| Values::Floats(pixels.clone()))
    }

    fn plan(&self) -> Result<&Plan, EmbedError> {
        let load = || Plan::of_picture(IMAGE_MODEL, frameline_models::load(IMAGE_MODEL)?, SIDE_PX as usize, OUTPUT);
        self.plan.get_or_init(load).as_ref().map_err(EmbedError::clone)
    }
}

/// The picture on white, its middle square at the model's size, plane after plane.
fn pixels_of(picture: &DynamicImage) -> Vec<f32> {
    let flat = DynamicImage::ImageRgb8(flattened(picture));
    let square = flat.resize_to_fill(SIDE_PX, SIDE_PX, FilterType::Triangle).into_rgb8();
    (0..3).flat_map(|plane| square.pixels().map(move |pixel| (f32::from(pixel.0[plane]) - 127.0) / 128.0)).collect()
}

/// Transparency becomes white, as the thumbnail's viewer shows it.
fn flattened(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let mut ground = RgbaImage::from_pixel(picture.width(), picture.height(), Rgba([255; 4]));
    imageops::overlay(&mut ground, &picture.to_rgba8(), 0, 0);
    DynamicImage::from(ground).into_rgb8()
}

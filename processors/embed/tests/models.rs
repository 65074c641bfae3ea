//! The bundled models, as the stage and search use them.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::sync::LazyLock;

use frameline_embed::{EmbedError, ImageModel, TextModel};
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};

static TEXT: LazyLock<TextModel> = LazyLock::new(|| TextModel::new().unwrap());
static IMAGE: LazyLock<ImageModel> = LazyLock::new(ImageModel::new);

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn assert_unit_length(vector: &[f32], dimensions: usize) {
    assert_eq!(vector.len(), dimensions);
    assert!((cosine(vector, vector) - 1.0).abs() < 1e-4, "{}", cosine(vector, vector));
}

#[test]
fn texts_that_mean_the_same_are_nearer_than_others() {
    let texts = [
        "A login form with an email and a password field",
        "Sign-in screen asking for mail address and password",
        "Quarterly revenue chart by region",
        "Bar chart of sales per territory",
    ];
    let vectors = TEXT.embed(&texts).unwrap();
    vectors.iter().for_each(|vector| assert_unit_length(vector, 384));
    let [login, sign_in, revenue, sales] = vectors.as_slice() else { panic!("{}", vectors.len()) };
    assert!(cosine(login, sign_in) > cosine(login, revenue) + 0.3);
    assert!(cosine(revenue, sales) > cosine(login, sales) + 0.3);
}

#[test]
fn a_text_has_the_same_vector_in_any_company() {
    let lengths = [0, 1, 3, 12, 14, 15, 20, 25, 28, 29, 30, 31, 24, 22, 40, 60, 61, 62, 90, 126, 127, 300];
    let words = ["settings", "colour", "invoice", "pay", "chart", "of", "the", "month"];
    let text = |&length: &usize| (0..length).map(|word| words[(word * 3 + length) % words.len()]).collect::<Vec<_>>();
    let texts: Vec<String> = lengths.iter().map(|length| text(length).join(" ")).collect();
    let together = TEXT.embed(&texts).unwrap();
    for (text, vector) in texts.iter().zip(&together) {
        assert_unit_length(vector, 384);
        let alone = TEXT.embed(&[text]).unwrap().remove(0);
        let widest = alone.iter().zip(vector).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max);
        assert!(widest < 1e-4, "{widest} for {text:?}");
    }
}

#[test]
fn no_texts_are_no_vectors_and_megabytes_of_text_are_one() {
    assert_eq!(TEXT.embed(&[] as &[&str]).unwrap().len(), 0);
    let long = "é".repeat(2_000_000);
    assert_unit_length(&TEXT.embed(&[long]).unwrap()[0], 384);
}

fn stripes(width: u32, height: u32, step: u32, ground: Rgba<u8>) -> DynamicImage {
    let colour =
        |x: u32, y: u32| if (x / step + y / step).is_multiple_of(2) { Rgba([200, 30, 40, 255]) } else { ground };
    RgbaImage::from_fn(width, height, colour).into()
}

fn encoded(picture: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_picture_is_nearer_to_itself_at_another_size_than_to_another_one() {
    let small = IMAGE.embed(&stripes(300, 300, 50, Rgba([255; 4]))).unwrap();
    let large = IMAGE.embed_encoded(&encoded(&stripes(600, 600, 100, Rgba([255; 4])))).unwrap();
    let blank = IMAGE.embed(&RgbaImage::from_pixel(300, 300, Rgba([20, 90, 200, 255])).into()).unwrap();
    [&small, &large, &blank].into_iter().for_each(|vector| assert_unit_length(vector, 1_280));
    assert!(cosine(&small, &large) > 0.95, "{}", cosine(&small, &large));
    assert!(cosine(&small, &blank) < 0.8, "{}", cosine(&small, &blank));
}

#[test]
fn transparency_is_white() {
    let transparent = IMAGE.embed(&stripes(240, 240, 40, Rgba([0, 0, 0, 0]))).unwrap();
    let white = IMAGE.embed(&stripes(240, 240, 40, Rgba([255; 4]))).unwrap();
    assert!(cosine(&transparent, &white) > 0.9999);
}

#[test]
fn bytes_that_are_no_picture_are_refused() {
    let whole = encoded(&stripes(64, 64, 8, Rgba([255; 4])));
    for bytes in [&b""[..], b"no picture", &whole[..whole.len() / 2]] {
        assert!(matches!(IMAGE.embed_encoded(bytes), Err(EmbedError::Picture(_))));
    }
}

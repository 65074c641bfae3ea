//! Points to index.

use frameline_schemas::{Embedding, Vector, job_id};
use frameline_stores::vectors::{IMAGE_DIMENSIONS, Query, TEXT_DIMENSIONS};
use frameline_tests::points::TENANT;
pub(crate) use frameline_tests::points::frame;

/// The same in another revision.
pub(crate) fn at_revision(mut point: Embedding, revision: i64) -> Embedding {
    point.head.revision = revision;
    point.head.job_id = job_id(point.head.file_id, revision);
    point
}

/// With a text vector `degrees` away from the query of [`by_meaning`].
pub(crate) fn with_text(mut point: Embedding, degrees: f32) -> Embedding {
    point.text_vector = Some(Vector { model: "text".to_owned(), values: direction(TEXT_DIMENSIONS, degrees) });
    point
}

/// With a picture vector `degrees` away from the query of [`by_picture`].
pub(crate) fn with_picture(mut point: Embedding, degrees: f32) -> Embedding {
    point.image_vector = Some(Vector { model: "image".to_owned(), values: direction(IMAGE_DIMENSIONS, degrees) });
    point
}

pub(crate) fn by_words(words: &str) -> Query {
    Query { tenant: TENANT.to_owned(), words: Some(words.to_owned()), limit: 10, ..Query::default() }
}

pub(crate) fn by_meaning(words: &str) -> Query {
    Query { text_vector: Some(direction(TEXT_DIMENSIONS, 0.0)), ..by_words(words) }
}

pub(crate) fn by_picture() -> Query {
    let image_vector = Some(direction(IMAGE_DIMENSIONS, 0.0));
    Query { tenant: TENANT.to_owned(), image_vector, limit: 10, ..Query::default() }
}

fn direction(dimensions: usize, degrees: f32) -> Vec<f32> {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let mut values = vec![0.0; dimensions];
    values[1] = cosine;
    values[dimensions - 1] = sine;
    values
}

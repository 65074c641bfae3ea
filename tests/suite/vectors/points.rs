//! Points to index.

use frameline_schemas::{Content, Embedding, Head, Kind, Picture, Vector, file_id, job_id, unit_id};
use frameline_stores::vectors::{IMAGE_DIMENSIONS, Query, TEXT_DIMENSIONS};

pub(crate) const TENANT: &str = "default";

/// A frame of `file`, in revision 1, without vectors.
pub(crate) fn frame(file: &str, ordinal: i32, name: &str, text: &str) -> Embedding {
    let thumbnail = Picture { uri: format!("blob:{file}/{ordinal}"), hash: "h".to_owned(), width_px: 4, height_px: 3 };
    let content = Content {
        kind: Kind::Frame,
        ordinal,
        page: None,
        name: name.to_owned(),
        text: text.to_owned(),
        text_uri: None,
        width_px: 400,
        height_px: 300,
    };
    let file_id = file_id(TENANT, file.as_bytes());
    let head = Head {
        tenant: TENANT.to_owned(),
        file_id,
        revision: 1,
        job_id: job_id(file_id, 1),
        file_name: file.to_owned(),
    };
    let unit_id = unit_id(file_id, Kind::Frame, ordinal);
    Embedding { head, unit_id, content, thumbnail: Some(thumbnail), text_vector: None, image_vector: None }
}

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

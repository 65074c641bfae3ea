//! Units to index.

use frameline_schemas::{Content, Embedding, Head, Kind, Picture, file_id, job_id, unit_id};

/// Whose they are.
pub const TENANT: &str = "default";

/// A frame of `file`, in revision 1, without vectors.
pub fn frame(file: &str, ordinal: i32, name: &str, text: &str) -> Embedding {
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

//! One Rust type for every schema file; the fields are documented there.
#![allow(missing_docs)]

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest text that a record carries itself, in bytes; a longer one is a blob.
pub const TEXT_LIMIT_BYTES: usize = 65_536;

/// Which file, in which revision, for which job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub tenant: String,
    pub file_id: Uuid,
    pub revision: i64,
    pub job_id: Uuid,
    pub file_name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    Upsert,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Frame,
    Passage,
}

/// What a unit, a frame or a passage, is and says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub kind: Kind,
    pub ordinal: i32,
    pub page: Option<i32>,
    pub name: String,
    pub text: String,
    pub text_uri: Option<String>,
    pub width_px: i32,
    pub height_px: i32,
}

/// A picture among the blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    pub uri: String,
    pub hash: String,
    pub width_px: i32,
    pub height_px: i32,
}

/// What validation measured on a thumbnail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub edge_density: f64,
    pub colours: i32,
    pub dhash: i64,
    pub suspect: bool,
}

/// An embedding, L2-normalised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vector {
    pub model: String,
    pub values: Vec<f32>,
}

/// A file was found, changed or deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub head: Head,
    pub action: Action,
    pub content_uri: Option<String>,
    pub content_hash: Option<String>,
    pub size_bytes: i64,
    pub discovered_at: i64,
}

/// A frame of a file, with its scene among the blobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    pub head: Head,
    pub unit_id: Uuid,
    pub content: Content,
    pub scene_uri: String,
    pub scene_hash: String,
}

/// A frame whose thumbnail was drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thumbnail {
    pub head: Head,
    pub unit_id: Uuid,
    pub content: Content,
    pub thumbnail: Picture,
}

/// A frame that passed validation, or a passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    pub head: Head,
    pub unit_id: Uuid,
    pub content: Content,
    pub thumbnail: Option<Picture>,
    pub quality: Option<Quality>,
}

/// A unit with its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    pub head: Head,
    pub unit_id: Uuid,
    pub content: Content,
    pub thumbnail: Option<Picture>,
    pub text_vector: Option<Vector>,
    pub image_vector: Option<Vector>,
}

/// The end of a file: everything of this revision is before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub head: Head,
    pub format: String,
    pub deleted: bool,
    pub frames: i32,
    pub passages: i32,
    pub discovered_at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Step {
    File,
    Unit,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    Done,
    Skipped,
    Failed,
}

/// What a stage did with one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub head: Head,
    pub stage: String,
    pub step: Step,
    pub unit_id: Option<Uuid>,
    pub outcome: Outcome,
    pub reason_code: Option<String>,
    pub reason: Option<String>,
    pub frames: Option<i32>,
    pub passages: Option<i32>,
    pub at: i64,
    pub redrives: i32,
    pub redriven: bool,
}

//! The vector index: what `index` writes and search reads.
//!
//! The port is cut for what every vector database can do: points by deterministic id, a payload, named vectors,
//! a lexical index, filters. The revision rules are the port's, so that replays and races end in the same state
//! on each side: of a unit the newest revision counts, and a file has a [floor](Floor), a revision below which
//! nothing of it is kept or taken any more. Upserts and floors commute, so their order does not matter.
//!
//! Search is hybrid. An adapter finds candidates by words, by text vector, by picture vector and by exact name;
//! [`fuse`] ranks what speaks for them, in one place for every adapter.

mod error;
mod fuse;
pub mod lexical;
pub mod qdrant;
mod rank;
pub mod sqlite;

use async_trait::async_trait;
use frameline_schemas::{Embedding, Kind, Vector};
use uuid::Uuid;

pub use error::VectorsError;
pub use fuse::{Evidence, Lexical, Ranked, fuse};
pub use qdrant::QdrantVectors;
pub use sqlite::SqliteVectors;

/// A vector index.
#[async_trait]
pub trait Vectors: Send + Sync + 'static {
    /// Writes units, in this order. A unit that is here in a newer revision stays as it is; one below its file's
    /// floor is not taken. The same revision again replaces itself. Where one of them is refused, none is written;
    /// after any other error some may be, and the same call again writes them all.
    async fn upsert(&self, points: &[Embedding]) -> Result<(), VectorsError>;

    /// Everything of these files' revisions has arrived: raises their floors, and says how many units fell below
    /// them. After an error the same call again raises them all.
    async fn finish(&self, ends: &[(Uuid, Floor)]) -> Result<u64, VectorsError>;

    /// The floor of each of these files; `None` for one of which no end has arrived.
    async fn floors(&self, files: &[Uuid]) -> Result<Vec<Option<Floor>>, VectorsError>;

    /// The best hits, best first, at most `query.limit`.
    async fn search(&self, query: &Query) -> Result<Vec<Hit>, VectorsError>;

    /// How much there is.
    async fn counts(&self) -> Result<Counts, VectorsError>;

    /// All units in the order of their ids, for comparing two states.
    async fn dump(&self) -> Result<Vec<Stored>, VectorsError>;
}

/// The lowest revision of a file that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Floor(i64);

impl Floor {
    /// The floor that the end of a file's `revision` raises it to: this revision stays, unless the file was
    /// deleted in it.
    pub fn after(revision: i64, deleted: bool) -> Self {
        Self(if deleted { revision.saturating_add(1) } else { revision })
    }

    /// The lowest revision that is kept.
    pub fn revision(self) -> i64 {
        self.0
    }
}

/// Values of a text's vector: as many as the models that ship make.
pub const TEXT_DIMENSIONS: usize = 384;
/// Values of a picture's vector.
pub const IMAGE_DIMENSIONS: usize = 1_280;

/// What is looked for. Words go with their text vector, a picture with its image vector; both together are fine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// In whose files.
    pub tenant: String,
    /// What a person typed. Never parsed as any query language.
    pub words: Option<String>,
    /// The words' embedding, L2-normalised.
    pub text_vector: Option<Vec<f32>>,
    /// A picture's embedding, L2-normalised.
    pub image_vector: Option<Vec<f32>>,
    /// How many hits at most.
    pub limit: usize,
}

/// A unit that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The file.
    pub file_id: Uuid,
    /// The unit.
    pub unit_id: Uuid,
    /// The file's path as a person knows it.
    pub file: String,
    /// The unit's name: the artboard's title, the heading above a passage.
    pub frame: String,
    /// Frame or passage.
    pub kind: Kind,
    /// Page or section, from 1.
    pub page: Option<i32>,
    /// How good, 0 to 1.
    pub score: f32,
    /// What it was found by; never empty.
    pub why: Vec<Why>,
    /// The thumbnail's blob.
    pub thumbnail: Option<String>,
    /// The words around the first match, else the first words.
    pub snippet: String,
}

/// What a unit was found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// It has the words.
    Lexical,
    /// Its text means about the same.
    Text,
    /// It looks alike.
    Picture,
}

impl Why {
    /// Its name in outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Lexical => "lexical",
            Why::Text => "text",
            Why::Picture => "picture",
        }
    }
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames.
    pub frames: u64,
    /// Passages.
    pub passages: u64,
}

/// A unit in a [dump](Vectors::dump).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// The unit.
    pub unit_id: Uuid,
    /// Its revision.
    pub revision: i64,
    /// Of all else that is stored; of the vectors their models only.
    pub digest: String,
}

/// A unit as a [dump](Vectors::dump) has it.
pub fn stored(point: &Embedding) -> Stored {
    Stored { unit_id: point.unit_id, revision: point.head.revision, digest: digest(point) }
}

/// BLAKE3, in hexadecimal, of what a unit is and by which models it has vectors. The vectors' values are left out:
/// the same text embedded in another batch differs in the last bits.
fn digest(point: &Embedding) -> String {
    let Embedding { head, unit_id, content, thumbnail, text_vector, image_vector } = point;
    let models = [text_vector, image_vector].map(|vector| vector.as_ref().map(|vector| vector.model.as_str()));
    let told = format!("{:?}", (&head.tenant, head.file_id, &head.file_name, unit_id, content, thumbnail, models));
    blake3::hash(told.as_bytes()).to_hex().to_string()
}

/// Refuses a unit that can never be written.
fn check_point(point: &Embedding) -> Result<(), VectorsError> {
    let sides = [("text", &point.text_vector, TEXT_DIMENSIONS), ("image", &point.image_vector, IMAGE_DIMENSIONS)];
    for (side, vector, dimensions) in sides {
        let Some(Vector { model, values }) = vector else { continue };
        if values.len() != dimensions {
            return Err(VectorsError::Refused(format!(
                "unit {}: its {side} vector by {model} has {} dimensions, the index has {dimensions}",
                point.unit_id,
                values.len()
            )));
        }
    }
    Ok(())
}

/// Refuses a query that no unit can be compared with.
fn check_query(query: &Query) -> Result<(), VectorsError> {
    let sides = [("text", &query.text_vector, TEXT_DIMENSIONS), ("image", &query.image_vector, IMAGE_DIMENSIONS)];
    for (side, vector, dimensions) in sides {
        if let Some(found) = vector.as_ref().map(Vec::len).filter(|found| *found != dimensions) {
            return Err(VectorsError::Refused(format!(
                "the query's {side} vector has {found} dimensions, the index has {dimensions}"
            )));
        }
    }
    Ok(())
}

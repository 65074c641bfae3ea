//! Units as Qdrant's points, and back.

use std::collections::HashMap;

use frameline_schemas::{Content, Embedding, Head, Kind, Picture};
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::value::Kind as ValueKind;
use qdrant_client::qdrant::{Condition, NamedVectors, PointId, PointStruct, Value, Vector};
use uuid::Uuid;

use super::sparse;
use crate::vectors::{VectorsError, rank};

/// The vectors of a point.
pub(super) const TEXT: &str = "text";
pub(super) const IMAGE: &str = "image";
pub(super) const WORDS: &str = "words";

/// What its payload has an index on.
pub(super) const TENANT: &str = "tenant";
pub(super) const KIND: &str = "kind";
pub(super) const FILE_ID: &str = "file_id";
pub(super) const REVISION: &str = "revision";
pub(super) const NAMES: &str = "names";

/// Its kinds.
pub(super) const FRAME: &str = "frame";
pub(super) const PASSAGE: &str = "passage";
/// The kind of a point that is no unit.
pub(super) const FLOOR: &str = "floor";

/// The points that have this in a field. Said as a keyword: of a text with a blank in it the client makes a search
/// for its words.
pub(super) fn is(field: &str, keyword: impl Into<String>) -> Condition {
    Condition::matches(field, MatchValue::Keyword(keyword.into()))
}

type Payload = HashMap<String, Value>;

/// A unit's point.
pub(super) fn unit(point: &Embedding) -> PointStruct {
    let mut vectors =
        NamedVectors::default().add_vector(WORDS, Vector::from(sparse::of_unit(point).into_iter().collect::<Vec<_>>()));
    for (name, vector) in [(TEXT, &point.text_vector), (IMAGE, &point.image_vector)] {
        if let Some(vector) = vector {
            vectors = vectors.add_vector(name, Vector::from(vector.values.clone()));
        }
    }
    PointStruct::new(point.unit_id, vectors, payload(point))
}

/// A floor's point.
pub(super) fn floor(file_id: Uuid, revision: i64) -> PointStruct {
    let payload =
        [(KIND, Value::from(FLOOR)), (FILE_ID, Value::from(file_id.to_string())), (REVISION, Value::from(revision))];
    PointStruct::new(floor_id(file_id), NamedVectors::default(), Payload::from(payload.map(named)))
}

/// The point of a file's floor.
pub(super) fn floor_id(file_id: Uuid) -> Uuid {
    Uuid::new_v5(&file_id, FLOOR.as_bytes())
}

fn named((name, value): (&str, Value)) -> (String, Value) {
    (name.to_owned(), value)
}

fn payload(point: &Embedding) -> Payload {
    let Embedding { head, content, thumbnail, text_vector, image_vector, .. } = point;
    let kind = match content.kind {
        Kind::Frame => FRAME,
        Kind::Passage => PASSAGE,
    };
    let names = rank::keys(point).map(Value::from).to_vec();
    let number = |number: i32| Value::from(i64::from(number));
    let mut payload = Payload::from(
        [
            (TENANT, Value::from(head.tenant.as_str())),
            (KIND, Value::from(kind)),
            (FILE_ID, Value::from(head.file_id.to_string())),
            (REVISION, Value::from(head.revision)),
            (NAMES, Value::from(names)),
            ("file_name", Value::from(head.file_name.as_str())),
            ("ordinal", number(content.ordinal)),
            ("name", Value::from(content.name.as_str())),
            ("text", Value::from(content.text.as_str())),
            ("width_px", number(content.width_px)),
            ("height_px", number(content.height_px)),
        ]
        .map(named),
    );
    let text = |text: &Option<String>| text.as_deref().map(Value::from);
    let picture = thumbnail.as_ref();
    let maybe = [
        ("page", content.page.map(number)),
        ("text_uri", text(&content.text_uri)),
        ("thumbnail_uri", picture.map(|picture| Value::from(picture.uri.as_str()))),
        ("thumbnail_hash", picture.map(|picture| Value::from(picture.hash.as_str()))),
        ("thumbnail_width_px", picture.map(|picture| number(picture.width_px))),
        ("thumbnail_height_px", picture.map(|picture| number(picture.height_px))),
        ("text_model", text_vector.as_ref().map(|vector| Value::from(vector.model.as_str()))),
        ("image_model", image_vector.as_ref().map(|vector| Value::from(vector.model.as_str()))),
    ];
    payload.extend(maybe.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    payload
}

/// What a point is.
pub(super) enum Read {
    Unit(Box<Embedding>),
    Floor { file_id: Uuid, revision: i64 },
}

/// Reads a point back; a unit's vectors as their models, without the values.
pub(super) fn read(id: Option<PointId>, payload: &Payload) -> Result<Read, VectorsError> {
    let id = uuid_of(id)?;
    let fields = Fields { id, payload };
    let (file_id, revision) = (fields.uuid(FILE_ID)?, fields.long(REVISION)?);
    let kind = match fields.text(KIND)?.as_str() {
        FRAME => Kind::Frame,
        PASSAGE => Kind::Passage,
        _ => return Ok(Read::Floor { file_id, revision }),
    };
    let head = Head {
        tenant: fields.text(TENANT)?,
        file_id,
        revision,
        job_id: frameline_schemas::job_id(file_id, revision),
        file_name: fields.text("file_name")?,
    };
    let content = Content {
        kind,
        ordinal: fields.number("ordinal")?,
        page: fields.maybe("page", Fields::number)?,
        name: fields.text("name")?,
        text: fields.text("text")?,
        text_uri: fields.maybe("text_uri", Fields::text)?,
        width_px: fields.number("width_px")?,
        height_px: fields.number("height_px")?,
    };
    let vector = |model: Option<String>| model.map(|model| frameline_schemas::Vector { model, values: Vec::new() });
    let point = Embedding {
        head,
        unit_id: id,
        content,
        thumbnail: fields.maybe("thumbnail_uri", Fields::picture)?,
        text_vector: vector(fields.maybe("text_model", Fields::text)?),
        image_vector: vector(fields.maybe("image_model", Fields::text)?),
    };
    Ok(Read::Unit(Box::new(point)))
}

fn uuid_of(id: Option<PointId>) -> Result<Uuid, VectorsError> {
    let uuid = match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Uuid(text)) => text.parse().ok(),
        Some(PointIdOptions::Num(_)) | None => None,
    };
    uuid.ok_or_else(|| VectorsError::Refused("the collection has points that frameline did not write".to_owned()))
}

/// A point's payload, read field by field.
struct Fields<'a> {
    id: Uuid,
    payload: &'a Payload,
}

impl Fields<'_> {
    fn kind(&self, name: &str) -> Option<&ValueKind> {
        self.payload.get(name).and_then(|value| value.kind.as_ref())
    }

    fn text(&self, name: &str) -> Result<String, VectorsError> {
        match self.kind(name) {
            Some(ValueKind::StringValue(text)) => Ok(text.clone()),
            _ => Err(self.foreign(name)),
        }
    }

    fn long(&self, name: &str) -> Result<i64, VectorsError> {
        match self.kind(name) {
            Some(ValueKind::IntegerValue(number)) => Ok(*number),
            _ => Err(self.foreign(name)),
        }
    }

    fn number(&self, name: &str) -> Result<i32, VectorsError> {
        i32::try_from(self.long(name)?).map_err(|_| self.foreign(name))
    }

    fn uuid(&self, name: &str) -> Result<Uuid, VectorsError> {
        self.text(name)?.parse().map_err(|_| self.foreign(name))
    }

    fn picture(&self, uri: &str) -> Result<Picture, VectorsError> {
        Ok(Picture {
            uri: self.text(uri)?,
            hash: self.text("thumbnail_hash")?,
            width_px: self.number("thumbnail_width_px")?,
            height_px: self.number("thumbnail_height_px")?,
        })
    }

    fn maybe<T>(
        &self,
        name: &str,
        read: impl Fn(&Self, &str) -> Result<T, VectorsError>,
    ) -> Result<Option<T>, VectorsError> {
        if self.payload.contains_key(name) { read(self, name).map(Some) } else { Ok(None) }
    }

    fn foreign(&self, name: &str) -> VectorsError {
        VectorsError::Refused(format!("point {} was not written by frameline: see its `{name}`", self.id))
    }
}

//! The stage: thumbnails in, units out.

use std::collections::BTreeMap;

use async_trait::async_trait;
use frameline_runtime::{Class, Failure, Outcome, Output, Stage};
use frameline_schemas::{Quality, Thumbnail, Unit, UnitOrEnd};
use frameline_stores::blobs::Blobs;
use frameline_topics as topics;
use futures::future::join_all;
use image::{ImageFormat, ImageReader, Limits, RgbImage};
use uuid::Uuid;

use crate::kept::KeptFrames;
use crate::measures::Measures;
use crate::rules::{self, Fingerprint};
use crate::settings::ValidateSettings;

/// The longest side of a thumbnail that is read, in pixels.
const SIDE_LIMIT_PX: u32 = 4_096;

/// A thumbnail and what was measured on it.
type Measured = (Thumbnail, Measures);

/// The topics that `validate` reads.
pub const READS: &[&str] = &[topics::THUMBNAILS];

/// The stage `validate`.
pub struct Validate {
    blobs: Blobs,
    settings: ValidateSettings,
    kept: KeptFrames,
}

impl Validate {
    /// The stage.
    pub fn new(blobs: Blobs, settings: ValidateSettings) -> Self {
        let kept = KeptFrames::new(blobs.clone(), settings.clone());
        Self { blobs, settings, kept }
    }

    async fn measure(&self, record: UnitOrEnd<Thumbnail>) -> Result<UnitOrEnd<Measured>, Failure> {
        let thumbnail = match record {
            UnitOrEnd::End(manifest) => return Ok(UnitOrEnd::End(manifest)),
            UnitOrEnd::Unit(thumbnail) => thumbnail,
        };
        let png = self.blobs.get(&thumbnail.thumbnail.uri).await?;
        let measured = tokio::task::spawn_blocking(move || decode(&png).map(|picture| Measures::of(&picture))).await;
        let measures = measured
            .map_err(|error| Failure::permanent("measuring", error))?
            .map_err(|error| Failure::permanent("damaged", format!("the thumbnail cannot be read: {error}")))?;
        Ok(UnitOrEnd::Unit((thumbnail, measures)))
    }

    /// Once a frame has to come again, so have the later ones of its file: they are compared with it.
    async fn judge_in_order(
        &self,
        records: Vec<(usize, Result<UnitOrEnd<Measured>, Failure>)>,
    ) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::with_capacity(records.len());
        let mut again: Option<Failure> = None;
        for (place, record) in records {
            let judged = match (&again, record) {
                (Some(failure), _) => Err(failure.clone()),
                (None, Ok(record)) => self.judge(record).await,
                (None, Err(failure)) => Err(failure),
            };
            again = judged.as_ref().err().filter(|failure| failure.class != Class::Permanent).cloned();
            outcomes.push((place, judged.unwrap_or_else(Outcome::Fail)));
        }
        outcomes
    }

    async fn judge(&self, record: UnitOrEnd<Measured>) -> Result<Outcome, Failure> {
        let (thumbnail, measures) = match record {
            UnitOrEnd::Unit(measured) => measured,
            UnitOrEnd::End(manifest) => {
                self.kept.forget(&manifest.head);
                return Ok(Outcome::Emit(vec![Output::of(topics::UNITS, manifest.head.file_id, &manifest)?]));
            }
        };
        if let Some(reason) = rules::refusal(&thumbnail.content, &measures, &self.settings) {
            return Ok(Outcome::Skip(reason));
        }
        let frame = Fingerprint::new(&thumbnail.content, &measures);
        if let Some(reason) = self.kept.settle(&thumbnail.head, frame).await? {
            return Ok(Outcome::Skip(reason));
        }
        let unit = self.unit(thumbnail, &measures);
        Ok(Outcome::Emit(vec![Output::of(topics::UNITS, unit.head.file_id, &unit)?]))
    }

    fn unit(&self, thumbnail: Thumbnail, measures: &Measures) -> Unit {
        let quality = Quality {
            edge_density: measures.edge_density,
            colours: measures.colours,
            dhash: measures.dhash.cast_signed(),
            suspect: rules::is_blank(measures, &self.settings),
        };
        let Thumbnail { head, unit_id, content, thumbnail } = thumbnail;
        Unit { head, unit_id, content, thumbnail: Some(thumbnail), quality: Some(quality) }
    }
}

#[async_trait]
impl Stage for Validate {
    type In = UnitOrEnd<Thumbnail>;

    fn name(&self) -> &'static str {
        "validate"
    }

    fn reads(&self) -> &'static [&'static str] {
        READS
    }

    fn skips(&self) -> &'static [&'static str] {
        &["blank", "near_duplicate", "tiny"]
    }

    /// Measures all at once, then judges the frames of a file one after the other: each is compared with those
    /// before it.
    async fn process(&self, batch: Vec<Self::In>) -> Vec<Outcome> {
        let measure = |record| async { (file_of(&record), self.measure(record).await) };
        let measured = join_all(batch.into_iter().map(measure)).await;
        let mut files: BTreeMap<Uuid, Vec<_>> = BTreeMap::new();
        for (place, (file, record)) in measured.into_iter().enumerate() {
            files.entry(file).or_default().push((place, record));
        }
        let judged = join_all(files.into_values().map(|records| self.judge_in_order(records))).await;
        let outcomes: BTreeMap<usize, Outcome> = judged.into_iter().flatten().collect();
        outcomes.into_values().collect()
    }
}

fn file_of(record: &UnitOrEnd<Thumbnail>) -> Uuid {
    match record {
        UnitOrEnd::Unit(thumbnail) => thumbnail.head.file_id,
        UnitOrEnd::End(manifest) => manifest.head.file_id,
    }
}

fn decode(png: &[u8]) -> image::ImageResult<RgbImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_LIMIT_PX);
    limits.max_image_height = Some(SIDE_LIMIT_PX);
    let mut reader = ImageReader::with_format(std::io::Cursor::new(png), ImageFormat::Png);
    reader.limits(limits);
    Ok(reader.decode()?.into_rgb8())
}

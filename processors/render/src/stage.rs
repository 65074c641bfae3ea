//! The stage: frames in, thumbnails out.

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use frameline_runtime::{Failure, Outcome, Output, Stage};
use frameline_sandbox::{Pool, PoolSettings};
use frameline_schemas::{Frame, Picture, Thumbnail, UnitOrEnd};
use frameline_stores::blobs::{Blobs, BlobsError};
use futures::future::join_all;

use crate::worker::{Answer, Question};

/// Part of every thumbnail's name: raise it when the same scene would be drawn differently.
const RENDERER: &str = "resvg 0.49, dejavu 2.37, 1";
/// Where thumbnails lie among the blobs.
const AREA: &str = "thumbnails";
const EXTENSION: &str = "png";
/// The scene that is drawn to see whether workers can draw at all.
const TRIAL: &[u8] = br#"<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>"#;

/// The topics that `render` reads.
pub const READS: &[&str] = &[frameline_topics::FRAMES];

/// The stage `render`.
pub struct Render {
    blobs: Blobs,
    pool: Pool,
    longest_side_px: u32,
}

impl Render {
    /// The stage with its pool of workers, as [`crate::RenderSettings::pool`] gives it.
    pub fn new(blobs: Blobs, longest_side_px: u32, pool: PoolSettings) -> anyhow::Result<Self> {
        let pool = Pool::new(pool).context("the pool of render workers cannot start")?;
        Ok(Self { blobs, pool, longest_side_px })
    }

    async fn handle(&self, record: UnitOrEnd<Frame>) -> Result<Output, Failure> {
        match record {
            UnitOrEnd::End(manifest) => Ok(Output::of(frameline_topics::THUMBNAILS, manifest.head.file_id, &manifest)?),
            UnitOrEnd::Unit(frame) => {
                let thumbnail = self.thumbnail(&frame.scene_uri, &frame.scene_hash).await?;
                let Frame { head, unit_id, content, .. } = frame;
                let thumbnail = Thumbnail { head, unit_id, content, thumbnail };
                Ok(Output::of(frameline_topics::THUMBNAILS, thumbnail.head.file_id, &thumbnail)?)
            }
        }
    }

    async fn thumbnail(&self, scene_uri: &str, scene_hash: &str) -> Result<Picture, Failure> {
        let name = format!("{RENDERER} {} {scene_hash}", self.longest_side_px);
        let hash = blake3::hash(name.as_bytes()).to_hex().to_string();
        let uri = Blobs::uri(AREA, &hash, EXTENSION)?;
        let (width_px, height_px) = match self.drawn_before(&uri).await? {
            Some(size) => size,
            None => self.draw(scene_uri, &hash).await?,
        };
        Ok(Picture { uri, hash, width_px: width_px as i32, height_px: height_px as i32 })
    }

    async fn drawn_before(&self, uri: &str) -> Result<Option<(u32, u32)>, Failure> {
        match self.blobs.get(uri).await {
            Ok(png) => Ok(png_size(&png)),
            Err(BlobsError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn draw(&self, scene_uri: &str, hash: &str) -> Result<(u32, u32), Failure> {
        // The slot comes first, so that no more scenes are in memory than there are workers.
        let mut slot = self.pool.slot().await;
        let scene = self.blobs.get(scene_uri).await?;
        let question = Question { longest_side_px: self.longest_side_px };
        let (answer, png) = slot.call::<_, Answer>(&question, &scene).await?;
        let size = answer.map_err(|refusal| Failure::permanent(refusal.code(), refusal))?;
        self.blobs.put_once(AREA, hash, EXTENSION, Bytes::from(png)).await?;
        Ok(size)
    }
}

#[async_trait]
impl Stage for Render {
    type In = UnitOrEnd<Frame>;

    fn name(&self) -> &'static str {
        "render"
    }

    fn reads(&self) -> &'static [&'static str] {
        READS
    }

    async fn warm(&self) -> anyhow::Result<()> {
        let question = Question { longest_side_px: self.longest_side_px };
        let drawn = self.pool.slot().await.call::<_, Answer>(&question, TRIAL).await;
        drawn.context("the first render worker does not draw")?.0?;
        Ok(())
    }

    async fn process(&self, batch: Vec<Self::In>) -> Vec<Outcome> {
        let outputs = join_all(batch.into_iter().map(|record| self.handle(record))).await;
        let outcome = |output| match output {
            Ok(output) => Outcome::Emit(vec![output]),
            Err(failure) => Outcome::Fail(failure),
        };
        outputs.into_iter().map(outcome).collect()
    }
}

/// Width and height from the header of a PNG; `None` for a file that was torn, which is drawn again.
fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    let side = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    let complete = png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82");
    complete.then(|| Some((side(16)?, side(20)?))).flatten()
}

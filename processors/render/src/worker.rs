//! The worker: a scene in, a thumbnail out.

use std::process::ExitCode;

use frameline_sandbox::{Refusal, raster, serve};
use image::RgbaImage;
use serde::{Deserialize, Serialize};

use crate::scene::Drawing;
use crate::{ground, picture};

/// What is asked about a scene.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) longest_side_px: u32,
}

/// The thumbnail's width and height in pixels; its PNG travels beside it.
pub(crate) type Answer = Result<(u32, u32), Refusal>;

/// The whole `main` of `frameline worker render`.
pub fn worker() -> ExitCode {
    serve(|| {
        let drawing = Drawing::new()?;
        Ok(move |question: Question, scene: &[u8]| match thumbnail(&drawing, scene, question.longest_side_px) {
            Ok((size, png)) => (Answer::Ok(size), png),
            Err(refusal) => (Answer::Err(refusal), Vec::new()),
        })
    })
}

fn thumbnail(drawing: &Drawing, scene: &[u8], longest_side_px: u32) -> Result<((u32, u32), Vec<u8>), Refusal> {
    let picture: RgbaImage = match raster::format_of(scene) {
        Some(_) => picture::fit(raster::decode(scene)?, longest_side_px),
        None => drawing.draw(scene, longest_side_px)?,
    };
    let opaque = ground::flatten(&picture);
    let png = picture::png(&opaque).map_err(|error| Refusal::Damaged(error.to_string()))?;
    Ok((opaque.dimensions(), png))
}

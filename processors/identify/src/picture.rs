//! A picture in pixels is one frame, and its own scene.

use frameline_sandbox::{Refusal, raster};

use crate::contents::{Contents, FoundFrame, whole_px};
use crate::names::title_of;

/// Decodes all of it, so that a cut picture is refused here and not drawn half.
pub(crate) fn identify(bytes: &[u8], format: &str, file_name: &str) -> Result<Contents, Refusal> {
    let picture = raster::decode(bytes)?;
    // A picture says nothing in words but its name.
    let name = title_of(file_name);
    let frame = FoundFrame {
        text: name.clone(),
        name,
        width_px: whole_px(f64::from(picture.width())),
        height_px: whole_px(f64::from(picture.height())),
        scene: None,
    };
    Ok(Contents { format: format.to_owned(), frames: vec![frame], ..Contents::default() })
}

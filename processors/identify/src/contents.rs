//! What was found in a file: the worker's answer.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// What is in a file. The scenes travel beside the rest, as raw bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) format: String,
    pub(crate) frames: Vec<FoundFrame>,
    pub(crate) passages: Vec<Passage>,
    pub(crate) cuts: Vec<Cut>,
    #[serde(skip)]
    pub(crate) scenes: Vec<u8>,
}

/// A frame of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FoundFrame {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) width_px: i32,
    pub(crate) height_px: i32,
    /// Where its scene lies among the scenes; `None` where the file itself is the scene.
    pub(crate) scene: Option<Range<usize>>,
}

/// A passage of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Passage {
    pub(crate) name: String,
    pub(crate) text: String,
    /// The section's number, from 1, where the document has headings.
    pub(crate) section: Option<i32>,
}

/// Something that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cut {
    /// An artboard that selective indexing leaves out.
    Frame { name: String, reason: String },
    /// Frames beyond the limit of a file.
    Frames { left_out: usize, limit: usize },
    /// Text beyond the limit of a file.
    Passages { limit: usize },
}

impl Cut {
    /// One of few values, for counting.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Cut::Frame { .. } => "not_selected",
            Cut::Frames { .. } => "too_many_frames",
            Cut::Passages { .. } => "too_many_passages",
        }
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cut::Frame { name, reason } => write!(formatter, "left out: {reason}: artboard `{name}`"),
            Cut::Frames { left_out, limit } => {
                write!(formatter, "{left_out} artboards are left out: {limit} are indexed of a file")
            }
            Cut::Passages { limit } => {
                write!(formatter, "the text behind {limit} passages is left out: no more are indexed of a file")
            }
        }
    }
}

/// A length in pixels as records carry it: at least one.
pub(crate) fn whole_px(length: f64) -> i32 {
    length.round().clamp(1.0, f64::from(i32::MAX)) as i32
}

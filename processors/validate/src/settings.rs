//! What the stage is set to. The thresholds were calibrated on 473 renders.

use serde::{Deserialize, Serialize};

/// The settings of `validate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidateSettings {
    /// A frame with a shorter side than this is tiny, in pixels.
    pub tiny_side_px: i32,
    /// A picture with a smaller share of pixels on edges may be blank, 0 to 1.
    pub blank_edge_density: f64,
    /// A picture with more colours is not blank.
    pub blank_colours: i32,
    /// Difference hashes of near-duplicates differ in at most so many of 64 bits.
    pub duplicate_dhash_bits: u32,
    /// Aspects of near-duplicates differ by at most this share.
    pub duplicate_aspect_share: f64,
    /// Near-duplicates have at least this share of their words in common, 0 to 1.
    pub duplicate_text_share: f64,
    /// Of how many files at most the frames are remembered; of others they are read again.
    pub files_in_memory: usize,
}

impl Default for ValidateSettings {
    fn default() -> Self {
        Self {
            tiny_side_px: 48,
            blank_edge_density: 0.0005,
            blank_colours: 3,
            duplicate_dhash_bits: 4,
            duplicate_aspect_share: 0.02,
            duplicate_text_share: 0.9,
            files_in_memory: 1_024,
        }
    }
}

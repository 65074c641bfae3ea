//! What the stage is set to: limits of a worker, which frames are indexed, how documents are split.

use std::time::Duration;

use anyhow::ensure;
use frameline_runtime::settings::duration;
use frameline_sandbox::{Limits, PoolSettings};
use serde::{Deserialize, Serialize};

/// The settings of `identify`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentifySettings {
    /// How many worker processes open files at the same time; 0 for one a core.
    pub workers: usize,
    /// Processor time that a file may take.
    #[serde(with = "duration")]
    pub file_cpu: Duration,
    /// Time by the clock that a file may take.
    #[serde(with = "duration")]
    pub file_wall: Duration,
    /// Memory that a worker may use, in bytes.
    pub worker_memory_bytes: u64,
    /// A larger file is skipped, in bytes.
    pub file_limit_bytes: u64,
    /// The shortest side of an artboard that is indexed, in pixels.
    pub frame_min_side_px: f64,
    /// The longest side of an artboard that is indexed, in pixels.
    pub frame_max_side_px: f64,
    /// The longer side of an artboard over the shorter one, at most.
    pub frame_max_aspect: f64,
    /// How many elements an artboard has at least.
    pub frame_min_elements: usize,
    /// How many frames of a file are indexed, the first ones.
    pub frames_per_file: usize,
    /// How long a passage may be, in tokens of the text model, without the two that the model adds.
    pub passage_tokens: usize,
    /// How many tokens of a passage are repeated at the start of the next one.
    pub passage_overlap_tokens: usize,
    /// How many passages of a file are indexed, the first ones.
    pub passages_per_file: usize,
}

impl Default for IdentifySettings {
    fn default() -> Self {
        Self {
            workers: 0,
            file_cpu: Duration::from_secs(30),
            file_wall: Duration::from_secs(45),
            worker_memory_bytes: 1_536 << 20,
            file_limit_bytes: 200 << 20,
            frame_min_side_px: 120.0,
            frame_max_side_px: 4_096.0,
            frame_max_aspect: 8.0,
            frame_min_elements: 3,
            frames_per_file: 200,
            passage_tokens: 126,
            passage_overlap_tokens: 16,
            passages_per_file: 2_000,
        }
    }
}

impl IdentifySettings {
    /// Refuses what contradicts itself, naming both values.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.passage_overlap_tokens < self.passage_tokens,
            "passage_overlap_tokens is {}, and must be less than passage_tokens, which is {}",
            self.passage_overlap_tokens,
            self.passage_tokens
        );
        ensure!(
            self.frame_min_side_px <= self.frame_max_side_px,
            "frame_min_side_px is {}, and must not exceed frame_max_side_px, which is {}",
            self.frame_min_side_px,
            self.frame_max_side_px
        );
        Ok(())
    }

    /// A pool that runs `frameline worker identify`.
    pub fn pool(&self) -> PoolSettings {
        let defaults = PoolSettings::default();
        PoolSettings {
            args: vec!["worker".to_owned(), "identify".to_owned()],
            workers: if self.workers == 0 { defaults.workers } else { self.workers },
            limits: Limits {
                cpu: self.file_cpu,
                wall: self.file_wall,
                address_space_bytes: self.worker_memory_bytes,
                ..Limits::default()
            },
            ..defaults
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused_with_both_values() {
        IdentifySettings::default().check().unwrap();
        let settings = IdentifySettings { passage_overlap_tokens: 126, ..IdentifySettings::default() };
        let text = settings.check().unwrap_err().to_string();
        assert!(text.contains("is 126") && text.contains("which is 126"), "{text}");
    }
}

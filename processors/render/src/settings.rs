//! What the stage is set to.

use std::time::Duration;

use frameline_runtime::settings::duration;
use frameline_sandbox::{Limits, PoolSettings};
use serde::{Deserialize, Serialize};

/// The settings of `render`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenderSettings {
    /// How many worker processes draw at the same time; 0 for one a core.
    pub workers: usize,
    /// The longest side of a thumbnail, in pixels.
    pub longest_side_px: u32,
    /// Processor time that a frame may take.
    #[serde(with = "duration")]
    pub frame_cpu: Duration,
    /// Time by the clock that a frame may take; longer than the processor time, for machines that are busy.
    #[serde(with = "duration")]
    pub frame_wall: Duration,
    /// Memory that a worker may use, in bytes.
    pub worker_memory_bytes: u64,
}

impl Default for RenderSettings {
    fn default() -> Self {
        Self {
            workers: 0,
            longest_side_px: 512,
            frame_cpu: Duration::from_secs(5),
            frame_wall: Duration::from_secs(15),
            worker_memory_bytes: 1_536 << 20,
        }
    }
}

impl RenderSettings {
    /// A pool that runs `frameline worker render`.
    pub fn pool(&self) -> PoolSettings {
        let defaults = PoolSettings::default();
        PoolSettings {
            args: vec!["worker".to_owned(), "render".to_owned()],
            workers: if self.workers == 0 { defaults.workers } else { self.workers },
            limits: Limits {
                cpu: self.frame_cpu,
                wall: self.frame_wall,
                address_space_bytes: self.worker_memory_bytes,
                answer_bytes: 64 << 20,
                ..Limits::default()
            },
            ..defaults
        }
    }
}

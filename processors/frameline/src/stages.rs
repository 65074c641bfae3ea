//! The stages by name.

use std::fmt;

use clap::ValueEnum;

/// A stage that reads topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Name {
    /// Files to frames and passages
    Identify,
    /// Frames to thumbnails
    Render,
    /// Thumbnails to units worth indexing
    Validate,
    /// Units to vectors
    Embed,
    /// Vectors into the index
    Index,
    /// Progress into the state of jobs
    Jobs,
}

impl Name {
    /// All of them, in the order of the chain.
    pub(crate) const ALL: [Name; 6] =
        [Name::Identify, Name::Render, Name::Validate, Name::Embed, Name::Index, Name::Jobs];

    /// As its group, its metrics and its settings are called.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Name::Identify => "identify",
            Name::Render => "render",
            Name::Validate => "validate",
            Name::Embed => "embed",
            Name::Index => "index",
            Name::Jobs => "jobs",
        }
    }

    /// The topics that it reads.
    pub(crate) fn reads(self) -> &'static [&'static str] {
        match self {
            Name::Identify => frameline_identify::READS,
            Name::Render => frameline_render::READS,
            Name::Validate => frameline_validate::READS,
            Name::Embed => frameline_embed::READS,
            Name::Index => frameline_index::READS,
            Name::Jobs => frameline_jobs::READS,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

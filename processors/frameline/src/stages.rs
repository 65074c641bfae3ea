//! The stages by name.

use std::fmt;

use clap::ValueEnum;
use frameline_topics as topics;
use serde::{Serialize, Serializer};

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

    /// The same, as the log is asked for them.
    pub(crate) fn topics(self) -> Vec<String> {
        self.reads().iter().map(|topic| (*topic).to_owned()).collect()
    }

    /// The topics that it writes, dead letters aside.
    fn writes(self) -> &'static [&'static str] {
        match self {
            Name::Identify => &[topics::FRAMES, topics::UNITS, topics::PROGRESS],
            Name::Render => &[topics::THUMBNAILS, topics::PROGRESS],
            Name::Validate => &[topics::UNITS, topics::PROGRESS],
            Name::Embed => &[topics::EMBEDDINGS, topics::PROGRESS],
            Name::Index => &[topics::PROGRESS],
            Name::Jobs => &[],
        }
    }

    /// All that is written when this stage does records again, down to the end of the chain.
    pub(crate) fn feeds(self) -> Vec<Feed> {
        let (mut busy, mut feeds) = (vec![self], Vec::<Feed>::new());
        // The stages stand in the order of the chain, so nobody feeds one that comes before it.
        for stage in Self::ALL {
            if !busy.contains(&stage) {
                continue;
            }
            for &topic in stage.writes() {
                if feeds.iter().all(|feed| feed.topic != topic) {
                    let readers: Vec<Name> = Self::readers_of(topic).collect();
                    busy.extend(&readers);
                    feeds.push(Feed { topic, readers });
                }
            }
        }
        feeds
    }

    fn readers_of(topic: &'static str) -> impl Iterator<Item = Name> {
        Self::ALL.into_iter().filter(move |reader| reader.reads().contains(&topic))
    }
}

/// A topic that is written, and the stages that read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Feed {
    /// The topic.
    pub(crate) topic: &'static str,
    /// Who reads it; nobody may.
    pub(crate) readers: Vec<Name>,
}

impl fmt::Display for Feed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.topic)?;
        if self.readers.is_empty() {
            return Ok(());
        }
        let readers: Vec<&str> = self.readers.iter().map(|name| name.as_str()).collect();
        write!(formatter, " ({})", readers.join(", "))
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_feeds_all_that_come_behind_it_and_no_other() {
        let feeds = |name: Name| name.feeds().iter().map(Feed::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(feeds(Name::Validate), "units (embed), progress (jobs), embeddings (index)");
        assert_eq!(feeds(Name::Index), "progress (jobs)");
        assert_eq!(feeds(Name::Jobs), "");
        let from_the_start: Vec<_> = Name::Identify.feeds().iter().flat_map(|feed| feed.readers.clone()).collect();
        assert!(Name::ALL.iter().all(|name| from_the_start.contains(name) || *name == Name::Identify));
    }
}

//! What can be said to put records back: `replay` and `dlq`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Subcommand};
use frameline_runtime::Class;
use frameline_runtime::dead_letter::letter::Place;

use crate::stages::Name;
use crate::times;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["file", "job", "since", "until"]))]
pub(crate) struct Replay {
    /// The stage that is to do them again
    #[arg(value_enum, value_name = "STAGE")]
    pub(crate) stage: Name,
    #[command(flatten)]
    pub(crate) about: About,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// Which records are meant: those that all of it fits.
#[derive(Debug, Clone, Args)]
pub(crate) struct About {
    /// Of this file: its path as it was added, or its id
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Of this job: its id, or as much of its start as makes it the only one
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// From then on, such as 2026-11-22T14:00:00Z
    #[arg(long, value_name = "TIME", value_parser = times::parse)]
    pub(crate) since: Option<i64>,
    /// Before then
    #[arg(long, value_name = "TIME", value_parser = times::parse)]
    pub(crate) until: Option<i64>,
}

/// Whether, and how fast.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Pace {
    /// Records a second, at most; 0 for no limit
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub(crate) rate: u32,
    /// Do it; without this it is only planned
    #[arg(long)]
    pub(crate) execute: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List what a stage has given up, grouped by class and error
    #[command(after_help = "\
Examples:
  frameline dlq list render
  frameline dlq list render --file ~/designs/checkout.svg
  frameline dlq list render --error 'there is no blob' --since 2026-11-22")]
    List(DlqList),
    /// Show one dead letter: why, its headers, its record
    #[command(after_help = "\
Example:
  frameline dlq show render 0:12              partition and offset, as `dlq list` tells them")]
    Show(DlqShow),
    /// Plan to put dead letters back on the stage's input; with --execute, do it
    #[command(after_help = "\
Examples:
  frameline dlq redrive render                what would be put back, and what would not
  frameline dlq redrive render --execute
  frameline dlq redrive render --class permanent --limit 10 --execute

A letter is put back once: asked again, it is left out. One that failed again is a new letter, which counts how
often it was put back.")]
    Redrive(DlqRedrive),
}

#[derive(Debug, Args)]
pub(crate) struct DlqList {
    /// The stage that gave them up
    #[arg(value_enum, value_name = "STAGE")]
    pub(crate) stage: Name,
    #[command(flatten)]
    pub(crate) letters: Letters,
}

#[derive(Debug, Args)]
pub(crate) struct DlqShow {
    /// The stage that gave it up
    #[arg(value_enum, value_name = "STAGE")]
    pub(crate) stage: Name,
    /// Where it lies in the dead-letter topic
    #[arg(value_name = "PARTITION:OFFSET")]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct DlqRedrive {
    /// The stage that gave them up
    #[arg(value_enum, value_name = "STAGE")]
    pub(crate) stage: Name,
    #[command(flatten)]
    pub(crate) letters: Letters,
    /// Put back so many at most, the oldest of each partition first
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Leave those that were put back so often, and failed again
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) most_redrives: u32,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// Which dead letters are meant: those that all of it fits.
#[derive(Debug, Clone, Args)]
pub(crate) struct Letters {
    #[command(flatten)]
    pub(crate) about: About,
    /// With a failure of this class
    #[arg(long, value_parser = class_parser(), value_name = "CLASS")]
    pub(crate) class: Option<Class>,
    /// With this in the error, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    pub(crate) error: Option<String>,
}

fn class_parser() -> impl TypedValueParser<Value = Class> {
    let classes = [Class::Transient, Class::Busy, Class::Unavailable, Class::Permanent];
    PossibleValuesParser::new(classes.map(Class::as_str)).try_map(|name| Class::parse(&name).ok_or("no class"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    fn is_taken(line: &str) -> bool {
        Cli::try_parse_from(line.split_whitespace()).is_ok()
    }

    #[test]
    fn a_replay_says_of_what() {
        assert!(!is_taken("frameline replay embed"), "all of a topic is no replay, but a rewind");
        assert!(is_taken("frameline replay embed --file a.svg --since 2026-11-22 --rate 0 --execute"));
        assert!(!is_taken("frameline replay embed --since yesterday"));
        assert!(!is_taken("frameline replay nobody --file a.svg"));
    }

    #[test]
    fn a_dead_letter_is_named_by_partition_and_offset() {
        assert!(is_taken("frameline dlq show render 0:12"));
        assert!(!is_taken("frameline dlq show render 12"));
        assert!(is_taken("frameline dlq redrive render --class permanent --limit 3 --most-redrives 5"));
        assert!(!is_taken("frameline dlq redrive render --class fatal"));
    }
}

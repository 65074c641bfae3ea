//! What operators' commands take.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use frameline_runtime::settings::duration;

use crate::stages::Name;
use crate::times;

/// What follows the help of `rewind`.
pub(super) const REWIND_EXAMPLES: &str = "\
Examples:
  frameline rewind render --by 2h                              plan: all that came in the last two hours
  frameline rewind render --to-time 2026-11-22T14:00:00Z --execute
  frameline rewind embed --to-offset 3:1200,7:880              two of the partitions, the others stay
  frameline rewind --undo render-1763820000123.csv --execute   back to where it was

  frameline rewind render --by 2h --kubernetes --execute       holds its Deployment still, and lets it go after
  frameline rewind render --resume --kubernetes --execute      lets go what a rewind that failed has left held

The stage has to be stopped first: the log refuses while anybody is in its group. On Kubernetes that is done for you,
with the ScaledObject paused meanwhile. What is done again ends in the same state: ids come from what they name.";

/// What follows the help of `canary`.
pub(super) const CANARY_EXAMPLES: &str = "\
Examples:
  frameline canary --every 5m                 beside the stages, until Ctrl-C; /metrics tells how long each took
  frameline canary --once --timeout 2m        one; exit status 1 when no search finds it in time

Each takes the place of the one before, in the index too.";

#[derive(Debug, Args)]
pub(crate) struct Rewind {
    /// The stage; a backup names it by its topics
    #[arg(value_enum, required_unless_present = "undo")]
    pub(crate) stage: Option<Name>,
    #[command(flatten)]
    pub(crate) target: RewindTarget,
    /// Do it; without this only the plan is shown
    #[arg(long)]
    pub(crate) execute: bool,
    /// Where to keep the offsets from before [default: a new file in `backups` of the data directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) backup: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

/// Where a stage's Deployment is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Cluster {
    /// Hold the stage's Deployment still meanwhile, with the ScaledObject of it, and let them go on after
    #[arg(long)]
    pub(crate) kubernetes: bool,
    /// The namespace [default: the one of the context, or of this pod]
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    pub(crate) namespace: Option<String>,
    /// The release of the chart, where the namespace has several
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    pub(crate) release: Option<String>,
    /// The context in the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    pub(crate) kube_context: Option<String>,
    /// How long the pods may take to end, and the group to be empty
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    pub(crate) within: Duration,
}

/// One of these.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RewindTarget {
    /// To the first records that were written at this time or later, in UTC
    #[arg(long, value_name = "TIME", value_parser = times::parse)]
    pub(crate) to_time: Option<i64>,
    /// To the first records of the last so long, such as 90m, 2h or 1d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) by: Option<Duration>,
    /// To these offsets, as PARTITION:OFFSET or TOPIC/PARTITION:OFFSET
    #[arg(long, value_name = "P:O", value_delimiter = ',')]
    pub(crate) to_offset: Vec<Place>,
    /// To the oldest records that are kept
    #[arg(long)]
    pub(crate) to_earliest: bool,
    /// To the offsets in this backup
    #[arg(long, value_name = "BACKUP")]
    pub(crate) undo: Option<PathBuf>,
    /// Nowhere: only let go what a rewind that failed has left held
    #[arg(long, requires = "kubernetes")]
    pub(crate) resume: bool,
}

/// An offset of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The topic; `None` for the only one that the stage reads.
    pub(crate) topic: Option<String>,
    /// The partition.
    pub(crate) partition: i32,
    /// The offset.
    pub(crate) offset: i64,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (place, offset) = text.rsplit_once(':')?;
            let (topic, partition) = match place.rsplit_once('/') {
                Some((topic, partition)) => (Some(topic.to_owned()), partition),
                None => (None, place),
            };
            let (partition, offset): (i32, i64) = (partition.parse().ok()?, offset.parse().ok()?);
            (partition >= 0 && offset >= 0).then_some(Self { topic, partition, offset })
        };
        parsed().ok_or_else(|| format!("`{text}` is no offset of a partition; write 3:1200, or frames/3:1200"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Lag {
    /// Only this stage, partition by partition
    #[arg(value_enum)]
    pub(crate) stage: Option<Name>,
    /// Show it again and again, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Time between two looks, from which rates are known; 0s for one look and no rates
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub(crate) every: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Canary {
    /// Time from one to the next; one that takes longer holds up the next
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration::parse)]
    pub(crate) every: Duration,
    /// One is late that is not found after this long
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Send one, print how long it took, and take it out of the index again
    #[arg(long, conflicts_with_all = ["every", "listen"])]
    pub(crate) once: bool,
    /// Address of /healthz, /readyz and /metrics; port 0 takes any free one [default: 127.0.0.1:8470]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// How many of the newest records to list
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_of_a_partition_may_name_its_topic() {
        let place =
            |topic: Option<&str>, partition, offset| Place { topic: topic.map(str::to_owned), partition, offset };
        assert_eq!("3:1200".parse(), Ok(place(None, 3, 1200)));
        assert_eq!("units.bulk/0:7".parse(), Ok(place(Some("units.bulk"), 0, 7)));
        for text in ["3", "3:", ":7", "-1:7", "3:-7", "a:b", "frames:7"] {
            assert!(text.parse::<Place>().unwrap_err().contains(text), "{text}");
        }
    }
}

//! Where a stage is to be put, and the steps that lead there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use frameline_runtime::TopicPartition;
use frameline_runtime::log::PartitionLag;
use frameline_runtime::log::operate::Operate;
use frameline_runtime::moment::whole_ms;
use frameline_runtime::rewind::{self, Offsets, PlanError, Step, backup};

use crate::cli::{Place, Rewind, RewindTarget};
use crate::error::Refusal;
use crate::stages::Name;

/// A stage, and where it is to be put.
pub(super) struct Target {
    stage: Name,
    to: To,
}

enum To {
    Time(i64),
    /// So many milliseconds before now.
    Ago(i64),
    Earliest,
    Offsets(Offsets),
    Backup(PathBuf, Offsets),
}

impl Target {
    /// What the command line asks for.
    pub(super) fn of(rewind: &Rewind) -> Result<Self> {
        let RewindTarget { to_time, by, to_offset, undo, .. } = &rewind.target;
        if let Some(file) = undo {
            let offsets = read(file)?;
            let stage = rewind.stage.map_or_else(|| stage_of(&offsets), Ok)?;
            return Ok(Self { stage, to: To::Backup(file.clone(), offsets) });
        }
        let stage = rewind.stage.ok_or_else(|| Refusal::new("no stage is named", "name one"))?;
        let to = match (to_time, by) {
            (Some(time_ms), _) => To::Time(*time_ms),
            (_, Some(by)) => To::Ago(whole_ms(*by)),
            _ if !to_offset.is_empty() => To::Offsets(offsets_of(stage, to_offset)?),
            _ => To::Earliest,
        };
        Ok(Self { stage, to })
    }

    /// The stage.
    pub(super) fn stage(&self) -> Name {
        self.stage
    }

    /// The way there from where the group is.
    pub(super) async fn steps(&self, log: &dyn Operate, group: &[PartitionLag], now_ms: i64) -> Result<Vec<Step>> {
        let steps = match &self.to {
            To::Time(time_ms) => rewind::back_to_time(group, &at_time(log, group, *time_ms).await?),
            To::Ago(by_ms) => rewind::back_to_time(group, &at_time(log, group, now_ms.saturating_sub(*by_ms)).await?),
            To::Earliest => rewind::back(group, &group.iter().map(|at| (at.partition.clone(), at.low)).collect()),
            To::Offsets(offsets) => rewind::back_exactly(group, offsets).map_err(|error| self.refusal(error))?,
            To::Backup(_, offsets) => rewind::restore(group, offsets).map_err(|error| self.refusal(error))?,
        };
        Ok(steps)
    }

    fn refusal(&self, error: PlanError) -> Refusal {
        let what = match &self.to {
            To::Backup(file, _) => format!("{} is no backup of {}", file.display(), self.stage),
            _ => format!("{} cannot be put there", self.stage),
        };
        let help = format!("`frameline lag {}` shows its partitions and where it is", self.stage);
        Refusal::new(what, help).because(error)
    }
}

async fn at_time(log: &dyn Operate, group: &[PartitionLag], time_ms: i64) -> Result<Offsets> {
    let partitions: Vec<TopicPartition> = group.iter().map(|place| place.partition.clone()).collect();
    let offsets = log.offsets_at(&partitions, time_ms).await.context("the offsets of that time")?;
    Ok(partitions.into_iter().zip(offsets).collect())
}

fn offsets_of(stage: Name, places: &[Place]) -> Result<Offsets> {
    let mut offsets = Offsets::new();
    for Place { topic, partition, offset } in places {
        let topic = match (topic, stage.reads()) {
            (Some(topic), _) => topic.as_str(),
            (None, [only]) => only,
            (None, several) => {
                let message = format!("{stage} reads more than one topic: {}", several.join(", "));
                let help = format!("name it: --to-offset {}/{partition}:{offset}", several.first().unwrap_or(&"TOPIC"));
                return Err(Refusal::new(message, help).into());
            }
        };
        let place = TopicPartition::new(topic, *partition);
        if offsets.insert(place.clone(), *offset).is_some() {
            return Err(Refusal::new(format!("{place} is named twice"), "name each partition once").into());
        }
    }
    Ok(offsets)
}

fn read(file: &Path) -> Result<Offsets> {
    let text = fs::read_to_string(file).with_context(|| format!("the backup {} cannot be read", file.display()))?;
    let help = "name a file that `frameline rewind --execute` or Kafka's own tool wrote: topic,partition,offset a line";
    backup::parse(&text)
        .map_err(|error| Refusal::new(format!("{} is no backup", file.display()), help).because(error).into())
}

/// The only stage that reads these topics.
fn stage_of(offsets: &Offsets) -> Result<Name> {
    let reads = |stage: &Name| offsets.keys().all(|place| stage.reads().contains(&place.topic.as_ref()));
    let readers: Vec<Name> = Name::ALL.into_iter().filter(reads).collect();
    match readers.as_slice() {
        [only] => Ok(*only),
        _ => Err(Refusal::new("the backup does not say whose it is", "name the stage before --undo").into()),
    }
}

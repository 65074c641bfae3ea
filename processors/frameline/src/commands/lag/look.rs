//! What the log shows of the stages at one moment.

use std::time::Instant;

use anyhow::{Context as _, Result};
use frameline_runtime::TopicPartition;
use frameline_runtime::log::PartitionLag;
use frameline_runtime::log::operate::{GroupMember, Operate};
use frameline_runtime::moment::now_ms;

use crate::stages::Name;

/// All that was looked at.
pub(crate) struct Look {
    /// When.
    pub(crate) at: Instant,
    /// Stage by stage, in the order of the chain.
    pub(crate) stages: Vec<StageLook>,
}

/// One stage.
pub(crate) struct StageLook {
    /// Which.
    pub(crate) name: Name,
    /// Where it is in each partition that it reads.
    pub(crate) partitions: Vec<PartitionLag>,
    /// How long the first record that is not finished has waited in each of them, in milliseconds.
    pub(crate) waited_ms: Vec<Option<i64>>,
    /// Who works on it.
    pub(crate) members: Vec<GroupMember>,
}

impl Look {
    /// Looks at these stages.
    pub(crate) async fn take(log: &dyn Operate, names: &[Name]) -> Result<Self> {
        let mut stages = Vec::with_capacity(names.len());
        for name in names {
            let lag = log.lag(name.as_str(), &name.topics()).await;
            let partitions = lag.with_context(|| format!("the lag of {name}"))?;
            let members = log.members(name.as_str()).await.with_context(|| format!("the members of {name}"))?;
            let waited_ms = waited_ms(log, &partitions).await?;
            stages.push(StageLook { name: *name, partitions, waited_ms, members });
        }
        Ok(Self { at: Instant::now(), stages })
    }

    /// Records that all of them have before them.
    pub(crate) fn lag(&self) -> i64 {
        self.stages.iter().map(StageLook::lag).sum()
    }
}

impl StageLook {
    /// Records that it has before it.
    pub(crate) fn lag(&self) -> i64 {
        self.partitions.iter().map(PartitionLag::records).sum()
    }

    /// How long the oldest of them has waited, in milliseconds.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        self.waited_ms.iter().flatten().max().copied()
    }

    /// Who has the partition.
    pub(crate) fn owner(&self, partition: &TopicPartition) -> Option<&GroupMember> {
        self.members.iter().find(|member| member.partitions.contains(partition))
    }
}

async fn waited_ms(log: &dyn Operate, partitions: &[PartitionLag]) -> Result<Vec<Option<i64>>> {
    let behind = || partitions.iter().filter(|place| place.records() > 0);
    let places: Vec<_> = behind().map(|place| (place.partition.clone(), place.position())).collect();
    let mut written = log.written_at(&places).await.context("the times of the oldest records")?.into_iter();
    let now_ms = now_ms();
    let of = |place: &PartitionLag| {
        let written_at = if place.records() > 0 { written.next().flatten() } else { None };
        written_at.map(|at_ms| now_ms.saturating_sub(at_ms).max(0))
    };
    Ok(partitions.iter().map(of).collect())
}

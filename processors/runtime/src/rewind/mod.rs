//! Putting a group back: from which offset to which, partition by partition, as a value.
//!
//! A rewind goes back and never forward: whatever it asks for, no record is passed over that was not finished. Only
//! [`restore`] may go forward, to where a [`backup`] says that the group has been. Nothing is put below what
//! retention left, nor above the end, and a step that was clamped says so.
//!
//! A group may have finished records above where it is, and remembers them. A step that leads to where it is already
//! makes it forget them, so that they are done again too.

pub mod backup;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::log::PartitionLag;
use crate::log::operate::Move;
use crate::record::TopicPartition;

/// Offsets by partition.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// One partition's part of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The partition.
    pub partition: TopicPartition,
    /// Where the group is.
    pub from: i64,
    /// Where it goes.
    pub to: i64,
    /// Why it does not go where it was to.
    pub clamp: Option<Clamp>,
}

/// Why a step does not lead where it was to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clamp {
    /// Retention has deleted what is before. Of a time nobody knows which offset it would have been, or whether
    /// there was one.
    Retention {
        /// Where it was to go.
        wanted: Option<i64>,
    },
    /// The partition ends before.
    End {
        /// Where it was to go.
        wanted: i64,
    },
}

impl Step {
    /// Whether it leads nowhere, and the group only forgets what it has finished above.
    pub fn only_forgets(&self) -> bool {
        self.from == self.to
    }

    /// Offsets that are read again; transaction markers count. Nothing where it goes forward.
    pub fn again(&self) -> i64 {
        (self.from - self.to).max(0)
    }

    /// Offsets that are passed over; nothing where it goes back.
    pub fn passed(&self) -> i64 {
        (self.to - self.from).max(0)
    }

    /// The same for the log to do.
    pub fn as_move(&self) -> Move {
        Move { partition: self.partition.clone(), from: Some(self.from), to: self.to }
    }
}

/// What is asked for and cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The group reads no such partition.
    #[error("the group reads no partition {0}")]
    Foreign(TopicPartition),
    /// The group has never committed there, so there is nothing to go back from.
    #[error("the group has never committed in {0}, so it is at its beginning")]
    NeverCommitted(TopicPartition),
    /// It would go forward.
    #[error("{partition} is at {from}, and {wanted} lies beyond it: records in between would never be done")]
    Forward {
        /// The partition.
        partition: TopicPartition,
        /// Where the group is.
        from: i64,
        /// Where it was to go.
        wanted: i64,
    },
}

/// The way back to these offsets. A partition that is there, or before it, stays, but for what it has finished above;
/// so does one that is not named.
pub fn back(group: &[PartitionLag], wanted: &Offsets) -> Vec<Step> {
    let step = |place: &PartitionLag| {
        let (from, wanted) = (place.committed?, *wanted.get(&place.partition)?);
        let forgets = place.has_map && wanted < place.high && from >= place.low;
        let step = step(place, from, if forgets { wanted.min(from) } else { wanted });
        // A group that has fallen behind retention begins at the lowest offset anyway.
        (step.to < from || forgets).then_some(step)
    };
    group.iter().filter_map(step).collect()
}

/// The way back to a time, by the first offsets that are not older. One that is the lowest of all may stand for
/// others that retention has deleted.
pub fn back_to_time(group: &[PartitionLag], found: &Offsets) -> Vec<Step> {
    let mut steps = back(group, found);
    for step in &mut steps {
        let begins = group.iter().any(|place| place.partition == step.partition && place.low == step.to);
        step.clamp = (begins && step.to > 0).then_some(Clamp::Retention { wanted: None });
    }
    steps
}

/// The way back to offsets that somebody has named one by one: what cannot be is refused, not left out.
pub fn back_exactly(group: &[PartitionLag], wanted: &Offsets) -> Result<Vec<Step>, PlanError> {
    for (partition, wanted) in wanted {
        let from = committed(group, partition)?;
        let forgets = |place: &PartitionLag| place.partition == *partition && place.has_map && *wanted < place.high;
        if *wanted > from && !group.iter().any(forgets) {
            return Err(PlanError::Forward { partition: partition.clone(), from, wanted: *wanted });
        }
    }
    Ok(back(group, wanted))
}

/// The way to the offsets of a backup, back or forward; a partition that is there stays.
pub fn restore(group: &[PartitionLag], backup: &Offsets) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    for (partition, wanted) in backup {
        let from = committed(group, partition)?;
        let place = group.iter().find(|place| place.partition == *partition);
        steps.extend(place.map(|place| step(place, from, *wanted)).filter(|step| step.to != step.from));
    }
    Ok(steps)
}

fn committed(group: &[PartitionLag], partition: &TopicPartition) -> Result<i64, PlanError> {
    let place = group.iter().find(|place| place.partition == *partition);
    let place = place.ok_or_else(|| PlanError::Foreign(partition.clone()))?;
    place.committed.ok_or_else(|| PlanError::NeverCommitted(partition.clone()))
}

fn step(place: &PartitionLag, from: i64, wanted: i64) -> Step {
    let to = wanted.clamp(place.low, place.high.max(place.low));
    let clamp = match wanted {
        _ if wanted < to => Some(Clamp::Retention { wanted: Some(wanted) }),
        _ if wanted > to => Some(Clamp::End { wanted }),
        _ => None,
    };
    Step { partition: place.partition.clone(), from, to, clamp }
}

#[cfg(test)]
mod tests;

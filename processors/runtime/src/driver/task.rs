//! A record on its way through a stage.

use super::spans::{Hop, Worked};
use crate::lanes::{Item, LaneId};
use crate::limiter::Ticket;
use crate::record::{Output, Record};
use crate::stage::{Failure, Subject};
use crate::wire::Wire;

/// One assignment of one partition: when the partition comes back later, it is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AssignmentId(pub(super) u64);

/// A record to be done.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) assignment: AssignmentId,
    pub(super) record: Record,
    /// How often it has failed.
    pub(super) failures: u32,
    pub(super) first_failed_at_ms: i64,
    /// The stage broke down over a batch with this record: next time it is alone.
    pub(super) suspect: bool,
}

impl Item for Task {
    fn size_bytes(&self) -> usize {
        self.record.size_bytes()
    }

    fn alone(&self) -> bool {
        self.suspect
    }
}

/// How a record ended, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Skipped,
    DeadLettered,
}

impl Ending {
    /// Its name in metrics and spans.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::Skipped => "skipped",
            Ending::DeadLettered => "dead_lettered",
        }
    }
}

/// What the stage made of one record, headers and progress included.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) ending: Ending,
    /// The code of the reason, where it was skipped.
    pub(super) skipped: Option<&'static str>,
    pub(super) outputs: Vec<Output>,
}

impl Made {
    /// The same, with the ids that its records have on the wire.
    pub(super) fn addressed(mut self, wire: &Wire) -> Result<Self, Failure> {
        wire.address(&mut self.outputs)?;
        Ok(self)
    }
}

/// A batch that came back from the stage: for every task what was made of it, or why nothing was.
#[derive(Debug)]
pub(super) struct BatchResult {
    pub(super) tasks: Vec<(LaneId, Task)>,
    pub(super) results: Vec<Result<Made, Failure>>,
    pub(super) subjects: Vec<Option<Subject>>,
    /// Every task's place in its trace, where it has one.
    pub(super) hops: Vec<Option<Box<Hop>>>,
    pub(super) worked: Worked,
    /// Of the limiter, where the stage calls a dependency.
    pub(super) ticket: Option<Ticket>,
}

/// A record that is through, with what is to be committed for it.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) assignment: AssignmentId,
    pub(super) offset: i64,
    pub(super) ending: Ending,
    pub(super) skipped: Option<&'static str>,
    pub(super) outputs: Vec<Output>,
    /// Kept until it is committed: the log may refuse an output, and then this is the dead letter.
    pub(super) record: Record,
    pub(super) subject: Option<Subject>,
}

impl Finished {
    pub(super) fn size_bytes(&self) -> usize {
        self.record.size_bytes() + self.outputs.iter().map(Output::size_bytes).sum::<usize>()
    }
}

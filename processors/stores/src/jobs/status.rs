//! What a set of facts makes of a job. No I/O, no clock.
//!
//! A fact is what a stage told of a file, a unit or a file's end. Facts form a join-semilattice: of two about the
//! same thing one wins, by an order of all facts, so a union is the same in any order and with any repeats
//! (Shapiro et al., *Conflict-free Replicated Data Types*, 2011). What was done once is done: it wins over a
//! failure that it followed, as after a redrive, and over one that follows it, as after a replay.
//!
//! A record that is put back from the dead letters takes its failure back, and may fail again. Both are told with
//! how often it had been put back, and so they alternate in the order of facts, whenever they arrive: failed, taken
//! back for the first time, failed after that, taken back for the second time ...

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use frameline_schemas::{Head, Outcome, Progress, Step};
use uuid::Uuid;

/// The stage whose end closes a job.
pub const LAST_STAGE: &str = "index";
/// The stages that a frame passes, in order; a passage passes the last two.
const UNIT_STAGES: [&str; 4] = ["render", "validate", "embed", LAST_STAGE];
const STEPS_OF_A_FRAME: u64 = UNIT_STAGES.len() as u64;
const STEPS_OF_A_PASSAGE: u64 = 2;
/// Where passages join.
const FIRST_STAGE_OF_PASSAGES: &str = "embed";

/// What a job has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobState {
    /// No stage has told anything yet.
    Queued,
    /// Some stage has.
    Running,
    /// The end is indexed, and nothing failed.
    Done,
    /// The file, its end, or some of its units failed.
    Failed,
    /// The file is not to be indexed, or a newer revision has taken its place.
    Skipped,
}

impl JobState {
    /// All of them.
    pub const ALL: [JobState; 5] =
        [JobState::Queued, JobState::Running, JobState::Done, JobState::Failed, JobState::Skipped];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Skipped => "skipped",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether nothing more is expected.
    pub fn has_ended(self) -> bool {
        !matches!(self, JobState::Queued | JobState::Running)
    }
}

/// What a fact is about, within its job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FactKey {
    pub(super) stage: String,
    pub(super) step: Step,
    pub(super) unit_id: Option<Uuid>,
}

/// What was told. Of two facts with one key the greater one wins; the fields stand in the order that counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fact {
    pub(super) rank: i64,
    /// Of a failure: twice how often the record had been put back; one less where that takes the failure back.
    pub(super) turn: i64,
    pub(super) at_ms: i64,
    pub(super) reason_code: String,
    pub(super) reason: String,
}

/// Done wins over skipped, skipped over failed.
const RANKS: [(Outcome, i64); 3] = [(Outcome::Failed, 0), (Outcome::Skipped, 1), (Outcome::Done, 2)];

pub(super) fn rank_of(outcome: Outcome) -> i64 {
    RANKS.iter().find(|(other, _)| *other == outcome).map_or(0, |(_, rank)| *rank)
}

pub(super) fn outcome_of(rank: i64) -> Option<Outcome> {
    RANKS.iter().find(|(_, other)| *other == rank).map(|(outcome, _)| *outcome)
}

fn turn_of(told: &Progress) -> i64 {
    match told.outcome {
        Outcome::Failed => 2 * i64::from(told.redrives) - i64::from(told.redriven),
        Outcome::Skipped | Outcome::Done => 0,
    }
}

/// Whether a fact of this turn is a failure that was taken back.
pub(super) fn is_taken_back(turn: i64) -> bool {
    turn % 2 != 0
}

/// The facts of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JobFacts {
    pub(super) head: Head,
    pub(super) facts: BTreeMap<FactKey, Fact>,
    pub(super) totals: Totals,
    pub(super) first_at_ms: i64,
    pub(super) last_at_ms: i64,
}

/// How many units a file has, once `identify` has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Frames.
    pub frames: Option<i32>,
    /// Passages.
    pub passages: Option<i32>,
}

impl JobFacts {
    /// A job of which nothing is told.
    pub(super) fn new(head: Head, at_ms: i64) -> Self {
        Self { head, facts: BTreeMap::new(), totals: Totals::default(), first_at_ms: at_ms, last_at_ms: at_ms }
    }

    /// Joins what a stage told.
    fn join(&mut self, told: &Progress) {
        self.totals = self.totals.join(Totals { frames: told.frames, passages: told.passages });
        self.first_at_ms = self.first_at_ms.min(told.at);
        self.last_at_ms = self.last_at_ms.max(told.at);
        let key = FactKey { stage: told.stage.clone(), step: told.step, unit_id: told.unit_id };
        let fact = Fact {
            rank: rank_of(told.outcome),
            turn: turn_of(told),
            at_ms: told.at,
            reason_code: told.reason_code.clone().unwrap_or_default(),
            reason: told.reason.clone().unwrap_or_default(),
        };
        match self.facts.entry(key) {
            Entry::Vacant(place) => {
                place.insert(fact);
            }
            Entry::Occupied(mut known) if fact > *known.get() => {
                known.insert(fact);
            }
            Entry::Occupied(_) => {}
        }
    }
}

impl Totals {
    /// What both know together.
    pub(super) fn join(self, other: Self) -> Self {
        Self { frames: self.frames.max(other.frames), passages: self.passages.max(other.passages) }
    }
}

/// The union of facts, by job.
pub(super) fn union(progress: &[Progress]) -> BTreeMap<Uuid, JobFacts> {
    let mut jobs: BTreeMap<Uuid, JobFacts> = BTreeMap::new();
    for told in progress {
        let job = jobs.entry(told.head.job_id).or_insert_with(|| JobFacts::new(told.head.clone(), told.at));
        job.join(told);
    }
    jobs
}

/// How a stage's records of one kind ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageCounts {
    /// Done.
    pub done: u64,
    /// Skipped, on purpose.
    pub skipped: u64,
    /// Failed.
    pub failed: u64,
}

impl StageCounts {
    /// Adds `count` that ended so.
    pub(super) fn add(&mut self, outcome: Outcome, count: u64) {
        match outcome {
            Outcome::Done => self.done += count,
            Outcome::Skipped => self.skipped += count,
            Outcome::Failed => self.failed += count,
        }
    }
}

/// A job's facts, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// What became of the whole file, over all stages.
    pub file: StageCounts,
    /// What became of the file's end, by stage.
    pub ends: BTreeMap<String, StageCounts>,
    /// What became of its units, by stage.
    pub units: BTreeMap<String, StageCounts>,
    /// How many units are expected.
    pub totals: Totals,
    /// Failures that were taken back; what they were about is on its way again.
    pub taken_back: u64,
}

impl Tally {
    /// Counts `count` facts of a kind.
    pub(super) fn add(&mut self, stage: &str, step: Step, outcome: Outcome, count: u64) {
        let counts = match step {
            Step::File => &mut self.file,
            Step::End => self.ends.entry(stage.to_owned()).or_default(),
            Step::Unit => self.units.entry(stage.to_owned()).or_default(),
        };
        counts.add(outcome, count);
    }

    /// Counts `count` failures that were taken back.
    pub(super) fn take_back(&mut self, count: u64) {
        self.taken_back += count;
    }

    /// What the job has come to. Of a job that has not ended by itself, a newer revision takes the place.
    pub fn state(&self, is_superseded: bool) -> JobState {
        if let Some(ended) = self.ended() {
            return ended;
        }
        if is_superseded {
            return JobState::Skipped;
        }
        let is_begun = *self != Self { totals: self.totals, ..Self::default() };
        if is_begun { JobState::Running } else { JobState::Queued }
    }

    fn ended(&self) -> Option<JobState> {
        // An end that some stage lost never reaches the last one.
        if self.file.failed > 0 || self.ends.values().any(|end| end.failed > 0) {
            return Some(JobState::Failed);
        }
        if self.file.skipped > 0 || self.ends.values().any(|end| end.skipped > 0) {
            return Some(JobState::Skipped);
        }
        if self.ends.get(LAST_STAGE).is_none_or(|end| end.done == 0) {
            return None;
        }
        if self.units.values().any(|units| units.failed > 0) {
            return Some(JobState::Failed);
        }
        self.is_settled().then_some(JobState::Done)
    }

    /// Whether each stage has told of all units that came to it. At the end of a file it has, unless a unit was put
    /// back from the dead letters after the end had passed.
    fn is_settled(&self) -> bool {
        let count = |units: Option<i32>| units.and_then(|units| u64::try_from(units).ok()).unwrap_or(0);
        let mut coming = count(self.totals.frames);
        for stage in UNIT_STAGES {
            if stage == FIRST_STAGE_OF_PASSAGES {
                coming += count(self.totals.passages);
            }
            let told = self.units.get(stage).copied().unwrap_or_default();
            if told.done + told.skipped + told.failed < coming {
                return false;
            }
            coming = told.done;
        }
        true
    }

    /// How far the job is, in steps of units through stages: 0 to 99, and 100 once it has ended.
    ///
    /// A unit that a stage skipped or failed has no steps left.
    pub fn percent(&self, state: JobState) -> u8 {
        if state.has_ended() {
            return 100;
        }
        let (Some(frames), Some(passages)) = (self.totals.frames, self.totals.passages) else { return 0 };
        let count = |units: i32| u64::try_from(units).unwrap_or(0);
        // The file's end is a step too, so that a job whose units are through is not at the end yet.
        let expected = count(frames) * STEPS_OF_A_FRAME + count(passages) * STEPS_OF_A_PASSAGE + 1;
        let settled = UNIT_STAGES.iter().zip((1..=STEPS_OF_A_FRAME).rev()).map(|(stage, steps_left)| {
            let units = self.units.get(*stage).copied().unwrap_or_default();
            units.done + (units.skipped + units.failed) * steps_left
        });
        let percent = settled.sum::<u64>() * 100 / expected;
        u8::try_from(percent).unwrap_or(u8::MAX).min(99)
    }
}

#[cfg(test)]
mod tests;

//! What happens in a run, and when: a pure value of the log's kind, the number of faults and the seed.
//!
//! Faults are drawn from a deck that is shuffled anew whenever it is used up, so that a short run sees every kind
//! and a long one sees them as often as the deck says.

use std::time::Duration;

use fastrand::Rng;
use frameline_runtime::breach::Breach;

use crate::input::{Input, Inputs};

/// How long the group waits for a sign of life; short, so that a zombie is made in seconds.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a drain may take.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(4);

/// The stages, in the order of the chain, each with the topic that it reads.
pub(crate) const STAGES: [(&str, &str); 6] = [
    ("identify", "files"),
    ("render", "frames"),
    ("validate", "thumbnails"),
    ("embed", "units"),
    ("index", "embeddings"),
    ("jobs", "progress"),
];

/// Which log carries the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogKind {
    Sqlite,
    Kafka,
}

/// How a replica is taken away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Kill,
    Terminate,
}

/// What is wrong with the way to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Connections are closed, new ones refused.
    Cut,
    /// Connections stay, and nothing comes through.
    Stall,
    /// Every packet takes longer.
    Slow(Duration),
}

/// What is wrong with Qdrant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sickness {
    /// Calls end with this status; some of them when their work is done already.
    Fails { status: &'static str, after: bool },
    /// Answers come later than they are waited for.
    Late,
    /// SIGKILL, and a start.
    Gone,
}

/// One fault. `lasts` is how long it stays before it is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to one stage.
    Kill { stage: &'static str },
    /// SIGKILL to all of them at once.
    KillAll,
    /// SIGTERM to one stage, which has to drain.
    Terminate { stage: &'static str },
    /// SIGSTOP, and SIGCONT after `lasts`: past the session timeout it is a zombie with records in its hands.
    Freeze { stage: &'static str, lasts: Duration },
    /// The data directory's disk is full.
    FullDisk { lasts: Duration },
    /// The blobs can be neither read nor written.
    LockedBlobs { lasts: Duration },
    /// The wall clock of all stages is off by `seconds`.
    ClockJump { seconds: i64, lasts: Duration },
    /// A second process of the stage joins the group, and goes again: two rebalances in the middle of the work.
    Replica { stage: &'static str, lasts: Duration, end: End },
    /// SIGKILL to the broker, and a start after `lasts`.
    Broker { lasts: Duration },
    /// The index is sick.
    Qdrant { sickness: Sickness, lasts: Duration },
    /// Something is wrong between stages and broker.
    Network { trouble: Trouble, lasts: Duration },
}

impl Fault {
    /// Two faults of one kind do not overlap: each would mend the other.
    fn kind(self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(&self)
    }

    /// How long it lasts.
    pub(crate) fn lasts(self) -> Duration {
        match self {
            Fault::Kill { .. } | Fault::KillAll | Fault::Terminate { .. } => Duration::ZERO,
            Fault::Freeze { lasts, .. }
            | Fault::FullDisk { lasts }
            | Fault::LockedBlobs { lasts }
            | Fault::ClockJump { lasts, .. }
            | Fault::Replica { lasts, .. }
            | Fault::Broker { lasts }
            | Fault::Qdrant { lasts, .. }
            | Fault::Network { lasts, .. } => lasts,
        }
    }
}

/// A batch of a stage is held when the faults come, so that they meet work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) stage: &'static str,
    /// How long it may take until one is there; not everything that comes in gets to every stage.
    pub(crate) patience: Duration,
    /// How long it is held before the faults come. What is not of its keys goes past it.
    pub(crate) lasts: Duration,
}

/// Files come in while faults happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) inputs: Vec<Input>,
    /// How long the work goes on undisturbed first: it varies what the fault meets.
    pub(crate) pause: Duration,
    pub(crate) held: Option<Held>,
    /// One, or two that overlap.
    pub(crate) faults: Vec<Fault>,
    /// Whether the next step waits until every stage is ready again; else it meets them while they start.
    pub(crate) recovers: bool,
}

/// Everything that happens in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) steps: Vec<Step>,
}

impl Schedule {
    /// Draws `faults` faults on a log of this kind.
    pub(crate) fn draw(log: LogKind, faults: usize, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let (mut deck, mut inputs) = (Deck::new(log), Inputs::default());
        let (mut steps, mut drawn) = (Vec::new(), 0);
        while drawn < faults {
            let mut together = vec![deck.draw(&mut random)];
            if drawn + 1 < faults && random.u32(..5) == 0 {
                let second = deck.draw(&mut random);
                if second.kind() != together[0].kind() {
                    together.push(second);
                } else {
                    deck.put_back(second);
                }
            }
            drawn += together.len();
            steps.push(Step {
                inputs: inputs.draw(&mut random),
                pause: Duration::from_millis(random.u64(..900)),
                held: held(&together, &mut random),
                faults: together,
                recovers: random.u32(..4) > 0,
            });
        }
        Self { steps }
    }

    /// Draws faults that show whether a promise is kept: every one alone, and in the middle of much work.
    pub(crate) fn against(breach: Breach, faults: usize, seed: u64) -> Self {
        const PATIENCE: Duration = Duration::from_secs(60);
        const LASTS: Duration = Duration::from_millis(1_500);
        let (mut random, mut inputs) = (Rng::with_seed(seed), Inputs::default());
        let step = |_| {
            let (stage, fault) = provoking(breach, &mut random);
            Step {
                inputs: inputs.draw_many(&mut random),
                pause: Duration::ZERO,
                held: Some(Held { stage, patience: PATIENCE, lasts: LASTS }),
                faults: vec![fault],
                recovers: true,
            }
        };
        Self { steps: (0..faults).map(step).collect() }
    }

    /// How many of the faults are full disks.
    pub(crate) fn full_disks(&self) -> usize {
        let faults = self.steps.iter().flat_map(|step| &step.faults);
        faults.filter(|fault| matches!(fault, Fault::FullDisk { .. })).count()
    }

    /// How many faults there are.
    pub(crate) fn faults(&self) -> usize {
        self.steps.iter().map(|step| step.faults.len()).sum()
    }
}

type Draw = fn(&mut Rng) -> Fault;

/// The faults of a kind of log, each as often as it is to come.
struct Deck {
    full: Vec<Draw>,
    left: Vec<Draw>,
    returned: Option<Fault>,
}

impl Deck {
    fn new(log: LogKind) -> Self {
        let mut full: Vec<Draw> = vec![kill_all, full_disk];
        let everywhere: [(Draw, usize); 5] =
            [(kill, 4), (terminate, 3), (freeze, 3), (locked_blobs, 2), (clock_jump, 2)];
        let on_kafka: [(Draw, usize); 4] = [(replica, 4), (broker, 2), (network, 4), (qdrant, 3)];
        let of_log = if log == LogKind::Kafka { on_kafka.as_slice() } else { &[] };
        for (draw, times) in everywhere.iter().chain(of_log) {
            full.extend([*draw].repeat(*times));
        }
        Self { full, left: Vec::new(), returned: None }
    }

    fn draw(&mut self, random: &mut Rng) -> Fault {
        if let Some(returned) = self.returned.take() {
            return returned;
        }
        if self.left.is_empty() {
            self.left.clone_from(&self.full);
            random.shuffle(&mut self.left);
        }
        self.left.pop().map_or(Fault::KillAll, |draw| draw(random))
    }

    fn put_back(&mut self, fault: Fault) {
        self.returned = Some(fault);
    }
}

/// Two in three of the faults of a single stage meet a batch of it for certain, the others whatever there is.
fn held(faults: &[Fault], random: &mut Rng) -> Option<Held> {
    let stage = faults.iter().find_map(|fault| match fault {
        Fault::Kill { stage } | Fault::Terminate { stage } | Fault::Freeze { stage, .. } => Some(*stage),
        _ => None,
    })?;
    let is_held = random.u32(..3) > 0;
    is_held.then(|| Held { stage, patience: Duration::from_secs(2), lasts: lasts(random, 0, 400) })
}

/// A fault that a stage does not stand that breaks this promise, and the stage; see [`crate::promise`].
fn provoking(breach: Breach, random: &mut Rng) -> (&'static str, Fault) {
    // Where a file is many records, each of which leads to another.
    const EMBED: &str = "embed";
    let stage = match breach {
        Breach::Fencing | Breach::Lanes => EMBED,
        // All but the last one write what is then missing.
        Breach::Completion | Breach::Drain | Breach::Revisions => STAGES[random.usize(..STAGES.len() - 1)].0,
    };
    let fault = match breach {
        Breach::Completion | Breach::Lanes | Breach::Revisions => Fault::Kill { stage },
        Breach::Drain => Fault::Terminate { stage },
        Breach::Fencing => Fault::Freeze { stage, lasts: SESSION_TIMEOUT + Duration::from_secs(1) },
    };
    (stage, fault)
}

fn stage(random: &mut Rng) -> &'static str {
    STAGES[random.usize(..STAGES.len())].0
}

fn lasts(random: &mut Rng, least_ms: u64, most_ms: u64) -> Duration {
    Duration::from_millis(random.u64(least_ms..most_ms))
}

fn kill(random: &mut Rng) -> Fault {
    Fault::Kill { stage: stage(random) }
}

fn kill_all(_: &mut Rng) -> Fault {
    Fault::KillAll
}

fn terminate(random: &mut Rng) -> Fault {
    Fault::Terminate { stage: stage(random) }
}

/// Two in three outlast the session.
fn freeze(random: &mut Rng) -> Fault {
    let is_short = random.u32(..3) == 0;
    let session_ms = u64::try_from(SESSION_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let lasts =
        if is_short { lasts(random, 300, 2_000) } else { lasts(random, session_ms + 1_000, session_ms + 2_500) };
    Fault::Freeze { stage: stage(random), lasts }
}

fn full_disk(random: &mut Rng) -> Fault {
    Fault::FullDisk { lasts: lasts(random, 500, 3_000) }
}

fn locked_blobs(random: &mut Rng) -> Fault {
    Fault::LockedBlobs { lasts: lasts(random, 500, 3_000) }
}

fn clock_jump(random: &mut Rng) -> Fault {
    const DAY_S: i64 = 86_400;
    let seconds = random.i64(10..DAY_S) * if random.bool() { 1 } else { -1 };
    Fault::ClockJump { seconds, lasts: lasts(random, 500, 3_000) }
}

fn replica(random: &mut Rng) -> Fault {
    let end = if random.bool() { End::Kill } else { End::Terminate };
    Fault::Replica { stage: stage(random), lasts: lasts(random, 500, 4_000), end }
}

fn broker(random: &mut Rng) -> Fault {
    Fault::Broker { lasts: lasts(random, 100, 3_000) }
}

fn qdrant(random: &mut Rng) -> Fault {
    let sickness = match random.u32(..5) {
        0 => Sickness::Gone,
        1 => Sickness::Late,
        _ => {
            let status = ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED"][random.usize(..3)];
            Sickness::Fails { status, after: random.bool() }
        }
    };
    Fault::Qdrant { sickness, lasts: lasts(random, 500, 4_000) }
}

fn network(random: &mut Rng) -> Fault {
    let trouble = match random.u32(..4) {
        0 => Trouble::Cut,
        1 => Trouble::Stall,
        _ => Trouble::Slow(lasts(random, 20, 200)),
    };
    Fault::Network { trouble, lasts: lasts(random, 500, 5_000) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_seed_alone_gives_the_same_schedule_again() {
        for log in [LogKind::Sqlite, LogKind::Kafka] {
            for seed in 0..50 {
                assert_eq!(Schedule::draw(log, 60, seed), Schedule::draw(log, 60, seed));
            }
            assert_ne!(Schedule::draw(log, 60, 1), Schedule::draw(log, 60, 2));
        }
        assert_eq!(Schedule::against(Breach::Drain, 60, 1), Schedule::against(Breach::Drain, 60, 1));
        assert_ne!(Schedule::against(Breach::Drain, 60, 1), Schedule::against(Breach::Drain, 60, 2));
    }

    #[test]
    fn it_has_as_many_faults_as_were_asked_for() {
        for faults in 0..60 {
            assert_eq!(Schedule::draw(LogKind::Kafka, faults, 3).faults(), faults);
            assert_eq!(Schedule::against(Breach::Lanes, faults, 3).faults(), faults);
        }
    }

    #[test]
    fn a_short_run_sees_every_kind_of_fault() {
        for (log, kinds) in [(LogKind::Sqlite, 7), (LogKind::Kafka, 11)] {
            for seed in 0..50 {
                let schedule = Schedule::draw(log, 32, seed);
                let seen: HashSet<_> =
                    schedule.steps.iter().flat_map(|step| &step.faults).map(|fault| fault.kind()).collect();
                assert_eq!(seen.len(), kinds, "{log:?}, seed {seed}");
            }
        }
    }

    #[test]
    fn faults_that_overlap_are_of_different_kinds() {
        let schedule = Schedule::draw(LogKind::Kafka, 2_000, 5);
        let pairs: Vec<_> = schedule.steps.iter().filter(|step| step.faults.len() > 1).collect();
        assert!(pairs.len() > 100 && pairs.iter().all(|step| step.faults[0].kind() != step.faults[1].kind()));
    }
}

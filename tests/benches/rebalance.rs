//! What it costs that a group grows from four members to five and shrinks to four again, under load: ours against
//! bare consumers under the same protocol.
//!
//! Every partition gets a record each 10 ms, and each record carries its number. A partition's pause is its longest
//! gap between two records in hand of any member, while the group changes. Of a partition that stays with its member
//! it has to be none: no longer than what counts as none. One that moves may be without an owner for as long as with
//! the bare consumers, which finish nothing and commit by themselves, and a second more, in which ours lets its
//! owner finish. Afterwards a committed reader counts the outputs: a record that is there twice, or not at all, ends
//! the benchmark.

mod bare;
mod load;
mod ours;
mod sightings;

use std::sync::Arc;
use std::time::Duration;

use frameline_runtime::log::kafka::{GroupProtocol, KafkaLog, KafkaSettings};
use frameline_runtime::log::{Log, NewTopic};
use frameline_tests::kafka::Broker;

use self::load::Load;
use self::sightings::{Pauses, Sightings};
use crate::contest::{Better, Contest, Scores};

const PARTITIONS: i32 = 12;
/// A record to every partition.
const RECORD_INTERVAL: Duration = Duration::from_millis(10);
/// A shorter gap is none: it is as long as one between two commits.
const NO_PAUSE: Duration = Duration::from_millis(100);
/// By how much the pause of a partition that moves may be longer than with bare consumers.
const DRAIN: Duration = Duration::from_secs(1);
/// How long the group works undisturbed before and after each change.
const STEADY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// A member that can be told to leave.
pub(crate) trait Member {
    /// Leaves, and returns when it has left.
    fn leave(self) -> anyhow::Result<()>;
}

/// A run of a group: its topics, its load, and who saw what.
pub(crate) struct Run {
    settings: KafkaSettings,
    name: &'static str,
    input: &'static str,
    output: &'static str,
    sightings: Arc<Sightings>,
}

pub(crate) fn run(rounds: usize) -> anyhow::Result<Vec<(Contest, Scores)>> {
    let broker = Broker::start();
    let mut played = Vec::new();
    for (protocol, kept_name, moved_name) in [
        (GroupProtocol::Classic, "rebalance: kept, classic", "rebalance: moved, classic"),
        (GroupProtocol::Consumer, "rebalance: kept, consumer", "rebalance: moved, consumer"),
    ] {
        let (mut kept, mut moved) = (Scores::default(), Scores::default());
        for round in 1..=rounds {
            let prepared = |who: &str| Run::prepare(&broker, protocol, format!("{who}-{protocol:?}-{round}"));
            let run = prepared("ours")?;
            let ours = change(&run, |name| ours::Replica::start(&run, name))?;
            ours::check(&run, ours.written)?;
            let run = prepared("bare")?;
            let bare = change(&run, |name| bare::Bare::start(&run, name))?;
            eprintln!("round {round} of {rounds}, {protocol:?}: ours {}; bare {}", ours.pauses, bare.pauses);
            kept.add(millis(ours.pauses.kept), millis(NO_PAUSE));
            moved.add(millis(ours.pauses.moved), millis(bare.pauses.moved + DRAIN));
        }
        let contest = |name, against| Contest { name, against, unit: "ms", better: Better::Less, goal: 1.0 };
        played.push((contest(kept_name, "what counts as no pause"), kept));
        played.push((contest(moved_name, "a bare consumer and a second"), moved));
    }
    Ok(played)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

struct Changed {
    pauses: Pauses,
    /// Records that were written to each partition.
    written: u64,
}

/// Lets four members of a kind work, adds one, and takes it away.
fn change<M: Member>(run: &Run, start: impl Fn(&'static str) -> anyhow::Result<M>) -> anyhow::Result<Changed> {
    let load = Load::start(run)?;
    let mut members = Vec::new();
    for name in ["one", "two", "three", "four"] {
        members.push(start(name)?);
        run.sightings.wait_for_owners(members.len(), STEADY)?;
    }
    let (fifth, grown) = run.sightings.during(|| {
        let fifth = start("five")?;
        run.sightings.wait_for_owners(5, STEADY)?;
        Ok(fifth)
    })?;
    let ((), shrunk) = run.sightings.during(|| {
        fifth.leave()?;
        run.sightings.wait_for_owners(4, STEADY)
    })?;
    let written = load.end()?;
    run.sightings.wait_for_all(written)?;
    for member in members {
        member.leave()?;
    }
    Ok(Changed { pauses: grown.max(shrunk), written })
}

impl Run {
    fn prepare(broker: &Broker, group_protocol: GroupProtocol, name: String) -> anyhow::Result<Self> {
        let settings = KafkaSettings { group_protocol, ..KafkaSettings::new(broker.bootstrap_servers()) };
        let name: &'static str = name.to_lowercase().leak();
        let (input, output) = (format!("{name}-in").leak(), format!("{name}-out").leak());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let log = KafkaLog::connect(settings.clone())?;
        for topic in [&*input, &*output, &format!("{name}.dlq")] {
            let new = NewTopic {
                name: topic.to_owned(),
                partitions: PARTITIONS,
                replication: 1,
                retention: None,
                compacted: false,
                largest_message_bytes: 1 << 20,
            };
            runtime.block_on(log.create_topic(&new))?;
        }
        Ok(Self { settings, name, input, output, sightings: Arc::new(Sightings::new(PARTITIONS)) })
    }
}

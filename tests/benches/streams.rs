//! Copying a topic with exactly-once: the runtime's driver against Kafka Streams with `exactly_once_v2`, tuned for
//! throughput and warm, in records a second and in records a second of CPU time.

use std::process;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tempfile::TempDir;

use crate::contest::{Better, Contest, Scores};
use crate::copies::{self, Copies, INPUT, Run};
use crate::java::{Contender, Program};

const PROGRAM: Program = Program {
    name: "streams",
    class: "StreamsPass",
    source: include_str!("java/StreamsPass.java"),
    artifacts: &[("org.apache.kafka", "kafka-streams", "4.3.1"), ("org.slf4j", "slf4j-nop", "1.7.36")],
};
const WARM_UPS: usize = 2;

pub(crate) fn run(rounds: usize) -> anyhow::Result<Vec<(Contest, Scores)>> {
    let copies = Copies::prepare()?;
    let state = TempDir::new()?;
    let folder = state.path().to_str().context("the temporary folder's name is not UTF-8")?;
    let mut streams = Contender::start(&PROGRAM, &[copies.bootstrap(), folder])?;
    for number in 0..WARM_UPS {
        copies.score(&format!("warm-{number}"), streams.id(), |run| pass(&mut streams, run))?;
    }
    let (mut by_time, mut by_cpu) = (Scores::default(), Scores::default());
    for round in 1..=rounds {
        let ours = copies.score(&format!("ours-{round}"), process::id(), copies::ours)?;
        let other = copies.score(&format!("streams-{round}"), streams.id(), |run| pass(&mut streams, run))?;
        eprintln!(
            "round {round} of {rounds}: ours {:.0} records/s and {:.0} a CPU second, the other {:.0} and {:.0}",
            ours.records_per_s, ours.records_per_cpu_s, other.records_per_s, other.records_per_cpu_s
        );
        by_time.add(ours.records_per_s, other.records_per_s);
        by_cpu.add(ours.records_per_cpu_s, other.records_per_cpu_s);
    }
    let against = "Kafka Streams, exactly_once_v2";
    let contest = |name, unit, goal| Contest { name, against, unit, better: Better::More, goal };
    Ok(vec![
        (contest("streams-time", "records/s", 2.0), by_time),
        (contest("streams-cpu", "records/CPU s", 4.0), by_cpu),
    ])
}

/// One pass of the program: it says when it had the first record, and ends when it is told to.
fn pass(streams: &mut Contender, run: &Run) -> anyhow::Result<()> {
    streams.tell(&format!("{} {} {}", INPUT.name, run.output, run.group))?;
    let first_ms: u64 = streams.hear("first")?.parse()?;
    let first = UNIX_EPOCH + Duration::from_millis(first_ms);
    let ago = SystemTime::now().duration_since(first).unwrap_or_default();
    run.first.get_or_init(|| Instant::now() - ago);
    while !run.stop.is_cancelled() {
        std::thread::sleep(Duration::from_millis(5));
    }
    streams.tell("end")?;
    streams.hear("closed").map(drop)
}

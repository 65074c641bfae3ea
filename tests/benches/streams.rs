//! Copying a topic with exactly-once: the runtime's driver against Kafka Streams with `exactly_once_v2`, tuned for
//! throughput, in records a second and in records a second of CPU time: against one that is warm, after two passes, and
//! against one that was just started, as a replica is that an autoscaler adds.

use std::process;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tempfile::TempDir;

use crate::contest::{Better, Contest, Scores};
use crate::copies::{self, Copies, INPUT, Run, Score};
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
    let start = || Contender::start(&PROGRAM, &[copies.bootstrap(), folder]);
    let score = |name: &str, streams: &mut Contender| copies.score(name, streams.id(), |run| pass(streams, run));
    let mut warm = start()?;
    for number in 0..WARM_UPS {
        score(&format!("warm-up-{number}"), &mut warm)?;
    }
    let mut played = contests().map(|contest| (contest, Scores::default()));
    for round in 1..=rounds {
        let ours = copies.score(&format!("ours-{round}"), process::id(), copies::ours)?;
        let others = [score(&format!("warm-{round}"), &mut warm)?, score(&format!("fresh-{round}"), &mut start()?)?];
        let told = |score: &Score| format!("{:.0} and {:.0}", score.records_per_s, score.records_per_cpu_s);
        let [ours_told, warm_told, fresh_told] = [&ours, &others[0], &others[1]].map(told);
        eprintln!(
            "round {round} of {rounds}, records a second and a CPU second: ours {ours_told}, warm {warm_told}, fresh \
             {fresh_told}"
        );
        for ([(_, by_time), (_, by_cpu)], other) in played.as_chunks_mut().0.iter_mut().zip(&others) {
            by_time.add(ours.records_per_s, other.records_per_s);
            by_cpu.add(ours.records_per_cpu_s, other.records_per_cpu_s);
        }
    }
    Ok(played.into())
}

fn contests() -> [Contest; 4] {
    let contest = |name, against, unit, goal| Contest { name, against, unit, better: Better::More, goal };
    let (warm, fresh) = ("Kafka Streams, exactly_once_v2, warm", "Kafka Streams, exactly_once_v2, just started");
    [
        contest("streams-time", warm, "records/s", 2.0),
        contest("streams-cpu", warm, "records/CPU s", 4.0),
        contest("streams-fresh-time", fresh, "records/s", 2.0),
        contest("streams-fresh-cpu", fresh, "records/CPU s", 4.0),
    ]
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

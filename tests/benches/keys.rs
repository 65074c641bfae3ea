//! Records of 0 to 5 ms of work in one partition, worked off in the order of their keys, a hundred at a time: the
//! runtime's driver with exactly-once against the bound, and against `io.confluent.parallelconsumer` in both of its
//! ways to commit.
//!
//! The bound is the longest sum of work of one key, or all work shared by a hundred, whichever is more. All sleep alike
//! and for the same times. The others are timed from the first start of work to its last end; ours to the commit
//! of everything, which is later.

mod ours;
mod sleeper;
mod work;

use frameline_tests::kafka::Broker;

use crate::contest::{Better, Contest, Scores};
use crate::java::{Contender, Program};
use crate::kafka::{Cluster, Topic};

const CONCURRENCY: usize = 100;
const VALUE_BYTES: usize = 400;
const SEED: u64 = 42;

const PROGRAM: Program = Program {
    name: "keys",
    class: "KeysRun",
    source: include_str!("java/KeysRun.java"),
    artifacts: &[
        ("io.confluent.parallelconsumer", "parallel-consumer-core", "0.5.3.3"),
        ("org.slf4j", "slf4j-nop", "2.0.13"),
    ],
};

/// So many records with so many keys, and what the lines about them are called.
struct Case {
    records: usize,
    keys: u64,
    topic: &'static str,
    names: [&'static str; 3],
}

const CASES: [Case; 4] = [
    Case { records: 10_000, keys: 20, topic: "keys-10k-20", names: ["10k-20-bound", "10k-20-async", "10k-20-tx"] },
    Case { records: 10_000, keys: 1_000, topic: "keys-10k-1k", names: ["10k-1k-bound", "10k-1k-async", "10k-1k-tx"] },
    Case { records: 100_000, keys: 20, topic: "keys-100k-20", names: ["100k-20-bound", "100k-20-async", "100k-20-tx"] },
    Case {
        records: 100_000,
        keys: 1_000,
        topic: "keys-100k-1k",
        names: ["100k-1k-bound", "100k-1k-async", "100k-1k-tx"],
    },
];

/// Within one and a half times the bound.
const BOUND_GOAL: f64 = 1.0 / 1.5;

pub(crate) fn run(rounds: usize) -> anyhow::Result<Vec<(Contest, Scores)>> {
    let broker = Broker::start();
    let cluster = Cluster::new(&broker.bootstrap_servers())?;
    for case in &CASES {
        let topic = case.input();
        cluster.create(topic)?;
        let keys = (0..case.records as u64).map(|index| work::text_of(work::key_of(index, case.keys)));
        cluster.load(topic, keys, VALUE_BYTES, SEED)?;
    }
    let mut parallel = Contender::start(&PROGRAM, &[cluster.bootstrap()])?;
    for mode in ["async", "tx"] {
        CASES[1].parallel(&cluster, &mut parallel, mode, "warm")?;
    }
    let mut played = Vec::new();
    for case in &CASES {
        let mut scores: [Scores; 3] = Default::default();
        let bound = work::bound(case.records as u64, case.keys, CONCURRENCY);
        for round in 1..=rounds {
            let ours = ours::run(&cluster, case.input(), &format!("{}-ours-{round}", case.topic), case.records)?;
            let asynchronous = case.parallel(&cluster, &mut parallel, "async", &round.to_string())?;
            let transactional = case.parallel(&cluster, &mut parallel, "tx", &round.to_string())?;
            eprintln!(
                "round {round} of {rounds}, {} records, {} keys: ours {ours:.2} s, the bound {bound:.2} s, \
                 parallel-consumer {asynchronous:.2} s, with transactions {transactional:.2} s",
                case.records, case.keys
            );
            for (scores, other) in scores.iter_mut().zip([bound, asynchronous, transactional]) {
                scores.add(ours, other);
            }
        }
        played.extend(case.contests().into_iter().zip(scores));
    }
    Ok(played)
}

impl Case {
    fn input(&self) -> Topic<'static> {
        Topic { name: self.topic, partitions: 1 }
    }

    fn contests(&self) -> [Contest; 3] {
        let [bound, asynchronous, transactional] = self.names;
        let contest = |name, against, goal| Contest { name, against, unit: "s", better: Better::Less, goal };
        [
            contest(bound, "the bound", BOUND_GOAL),
            contest(asynchronous, "parallel-consumer, asynchronous commits", 1.0),
            contest(transactional, "parallel-consumer, transactional producer", 1.0),
        ]
    }

    fn parallel(&self, cluster: &Cluster, program: &mut Contender, mode: &str, label: &str) -> anyhow::Result<f64> {
        let name = format!("{}-{mode}-{label}", self.topic);
        let output = Topic { name: &name, partitions: 1 };
        cluster.create(output)?;
        program.tell(&format!("{mode} {} {name} {name} {}", self.topic, self.records))?;
        let seconds = program.hear("done")?.parse()?;
        cluster.delete(output)?;
        Ok(seconds)
    }
}

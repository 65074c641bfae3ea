//! Several processes on one file; some of them are killed or stopped. What they do is [`child_process`].

use std::time::Instant;

use frameline_runtime::Position;
use frameline_runtime::log::{Commit, Event};
use rustix::process::Signal;

use super::super::child::Child;
use super::super::copier::{COPIED_BY, copy};
use super::super::follower::Follower;
use super::*;

const FILE: &str = "FRAMELINE_CONTRACT_FILE";
const WORK: &str = "FRAMELINE_CONTRACT_WORK";
/// How often a process is killed in [`a_killed_process_leaves_outputs_and_positions_that_agree`].
const KILLS: usize = 25;

/// Another process on the fixture's file.
pub(super) fn start(fixture: &Embedded, work: &[&str]) -> Child {
    Child::start(module_path!(), [(FILE, fixture.file().display().to_string()), (WORK, work.join(" "))])
}

/// Copies to `target` in another process.
fn start_copier(fixture: &Embedded, instance: &str, source: &str, target: &str) -> Child {
    start(fixture, &["copy", instance, source, target])
}

fn copied_by(records: &[Record], instance: &str) -> usize {
    records.iter().filter(|record| record.headers.text(COPIED_BY) == Some(instance)).count()
}

/// Positions count records here: offsets have no gaps in this log.
async fn committed(log: &Arc<dyn Log>, source: &str) -> usize {
    let lag = log.lag("copiers", &[source.to_owned()]).await.unwrap();
    lag.iter().map(|lag| lag.committed.unwrap_or(0) as usize).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_outputs_and_positions_that_agree() {
    let fixture = Embedded::new().await;
    let (source, target) = (fixture.fresh_topic(3).await, fixture.fresh_topic(3).await);
    let log = fixture.log().await;
    let mut written = 0;
    for _ in 0..KILLS {
        let copier = start_copier(&fixture, "one", &source, &target);
        log.append(numbered(&source, written..written + 2_000)).await.unwrap();
        written += 2_000;
        let done = committed(&log, &source).await;
        // It is in the middle of its commits when it dies: one after the other, hundreds a second.
        wait_for_records(&log, &target, done + 50).await;
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..60_000))).await;
        copier.kill().await;

        let copies = all_records(&log, &target).await;
        assert_eq!(copies.len(), committed(&log, &source).await);
        let mut numbers: Vec<String> = copies.iter().map(value_of).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), copies.len(), "a record was copied twice");
    }
    let _copier = start_copier(&fixture, "one", &source, &target);
    assert_each_once(&wait_for_records(&log, &target, written).await, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_work_and_one_takes_over_when_the_other_is_killed() {
    let fixture = Embedded::new().await;
    let (source, target) = (fixture.fresh_topic(6).await, fixture.fresh_topic(3).await);
    let log = fixture.log().await;
    let _left = start_copier(&fixture, "left", &source, &target);
    let right = start_copier(&fixture, "right", &source, &target);
    let mut written = 0;
    let give_up = Instant::now() + PATIENCE;
    loop {
        log.append(numbered(&source, written..written + 20)).await.unwrap();
        written += 20;
        let copies = all_records(&log, &target).await;
        if copied_by(&copies, "left") >= 200 && copied_by(&copies, "right") >= 200 {
            break;
        }
        assert!(Instant::now() < give_up, "the two do not share the work");
    }
    right.kill().await;
    log.append(numbered(&source, written..written + 2_000)).await.unwrap();
    written += 2_000;
    assert_each_once(&wait_for_records(&log, &target, written).await, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_loses_its_partitions_and_can_commit_nothing_when_it_goes_on() {
    let fixture = Embedded::new().await;
    let (source, target) = (fixture.fresh_topic(2).await, fixture.fresh_topic(1).await);
    let mut stopped = start(&fixture, &["stop", &source, &target]);
    stopped.says("at rest").await;
    stopped.signal(Signal::STOP);

    let log = fixture.log().await;
    let mut heir = Follower::join(&log, fixture.membership("copiers", "heir", &source)).await;
    heir.until("all partitions", |heir| heir.held.len() == 2).await;
    let inherited: Vec<&str> = heir.held.values().map(|position| position.metadata.as_str()).collect();
    assert_eq!(inherited, ["before", "before"]);

    stopped.signal(Signal::CONT);
    stopped.hears("go on\n").await;
    let outcome = stopped.says("after:").await;
    assert!(outcome.contains("fenced: group copiers gave stopped up"), "{outcome}");
    stopped.finish().await;
    let copies = all_records(&log, &target).await;
    assert_eq!(copies.iter().map(value_of).collect::<Vec<_>>(), ["before"]);
}

/// What the other processes do.
#[tokio::test]
#[ignore = "the other tests run it in processes of its own"]
async fn child_process() {
    let (Ok(file), Ok(work)) = (std::env::var(FILE), std::env::var(WORK)) else {
        println!("skipped: child_process: it has nothing to do by itself");
        return;
    };
    let log: Arc<dyn Log> = Arc::new(SqliteLog::open(file.as_ref()).await.unwrap());
    let membership = |instance: &str, source: &str| Membership {
        group: "copiers".to_owned(),
        instance: instance.to_owned(),
        topics: vec![source.to_owned()],
        session_timeout: Duration::from_secs(5),
        drain_deadline: Duration::from_secs(2),
    };
    match work.split(' ').collect::<Vec<_>>().as_slice() {
        ["fill", topic] => fill(log, topic).await,
        ["copy", instance, source, target] => copy(log, membership(instance, source), (*target).to_owned()).await,
        ["stop", source, target] => stop(log, membership("stopped", source), target).await,
        other => panic!("{other:?} is no work"),
    }
}

/// Far more than what SQLite keeps beside its file before it writes it there.
async fn fill(log: Arc<dyn Log>, name: &str) {
    log.create_topic(&topic(name, 1)).await.unwrap();
    for batch in 0..30 {
        let padded = |number: usize| output(name, "key", format!("{number:<4000}"));
        log.append((100 * batch..100 * (batch + 1)).map(padded).collect()).await.unwrap();
    }
}

/// Rests behind a commit, on its only thread, so that nothing of it has the file's lock when it is stopped.
async fn stop(log: Arc<dyn Log>, membership: Membership, target: &str) {
    let mut session = log.join(membership).await.unwrap();
    let Some(Event::Assigned(positions)) = session.events.recv().await else { panic!("no assignment") };
    let commit = |word: &str| {
        let positions = positions.iter().map(|position| Position { metadata: word.to_owned(), ..position.clone() });
        Arc::new(Commit { outputs: vec![output(target, "key", word.to_owned())], positions: positions.collect() })
    };
    session.member.commit(commit("before")).await.unwrap();
    println!("at rest");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let outcome = session.member.commit(commit("after")).await;
    println!("after: {}", outcome.unwrap_err());
}

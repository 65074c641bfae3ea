//! The driver under a member that answers as a test tells it: for moments that no real log can be made to hit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Driver, Plan, StageError, State, Status};
use crate::log::{Commit, CommitError, Event, Member, Revocation, Session};
use crate::record::{Headers, Position, Record, TopicPartition};
use crate::settings::StageSettings;
use crate::stage::{Failure, Outcome, Raw, Stage};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Passes records on once it is let; breaks down over `panic`.
struct Passes {
    started: AtomicUsize,
    open: watch::Sender<bool>,
}

#[async_trait]
impl Stage for Passes {
    type In = Raw;

    fn name(&self) -> &'static str {
        "passes"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["in"]
    }

    async fn process(&self, batch: Vec<Raw>) -> Vec<Outcome> {
        self.started.fetch_add(batch.len(), Ordering::SeqCst);
        let _ = self.open.subscribe().wait_for(|is_open| *is_open).await;
        assert!(batch.iter().all(|Raw(record)| record.key.as_deref() != Some(b"panic")), "the record says so");
        batch.into_iter().map(|Raw(record)| Outcome::Emit(vec![record.onto("out")])).collect()
    }
}

/// Keeps what it is to commit, and answers each when the test does.
struct Told {
    commits: Mutex<Vec<Arc<Commit>>>,
    answers: Mutex<mpsc::UnboundedReceiver<Result<(), CommitError>>>,
    answered: Semaphore,
}

#[async_trait]
impl Member for Told {
    fn pause(&self, _: &[TopicPartition]) {}

    fn resume(&self, _: &[TopicPartition]) {}

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), CommitError> {
        self.commits.lock().unwrap().push(commit);
        self.answered.acquire().await.unwrap().forget();
        self.answers.lock().unwrap().try_recv().unwrap()
    }

    async fn leave(&self) {}

    fn has_joined(&self) -> bool {
        true
    }

    fn polled_ago(&self) -> Duration {
        Duration::ZERO
    }
}

/// A driver at work, and all that is around it.
struct World {
    stage: Arc<Passes>,
    member: Arc<Told>,
    answer: mpsc::UnboundedSender<Result<(), CommitError>>,
    events: mpsc::Sender<Event>,
    status: Status,
    stop: CancellationToken,
    driving: JoinHandle<Result<(), StageError>>,
}

impl World {
    fn start(settings: StageSettings) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        let (events, receiver) = mpsc::channel(64);
        let stage = Arc::new(Passes { started: AtomicUsize::new(0), open: watch::Sender::new(false) });
        let answered = Semaphore::new(0);
        let member = Arc::new(Told { commits: Mutex::default(), answers: Mutex::new(answers), answered });
        let (status, stop) = (Status::new("passes"), CancellationToken::new());
        let plan = Plan::new(settings, "one");
        let session = Session { events: receiver, member: Arc::clone(&member) as Arc<dyn Member> };
        let driver = Driver::new(Arc::clone(&stage), plan, status.clone(), Arc::clone(&session.member));
        let driving = tokio::spawn(driver.drive(session, stop.clone()));
        Self { stage, member, answer, events, status, stop, driving }
    }

    async fn assign(&self, partitions: impl IntoIterator<Item = i32>) {
        let position = |number| Position { partition: input(number), offset: 0, metadata: String::new() };
        self.say(Event::Assigned(partitions.into_iter().map(position).collect())).await;
    }

    /// Records with the key of their partition, from this offset on.
    async fn records(&self, partition: i32, offsets: std::ops::Range<i64>) {
        let record = |offset| record(offset, &format!("key-{partition}"));
        self.say(Event::Records { partition: input(partition), records: offsets.map(record).collect() }).await;
    }

    /// Says so, and waits until it was heard.
    async fn say(&self, event: Event) {
        self.events.send(event).await.unwrap();
        until("it is heard", || self.events.capacity() == self.events.max_capacity()).await;
    }

    async fn has_started(&self, records: usize) {
        until("it has begun", || self.stage.started.load(Ordering::SeqCst) >= records).await;
    }

    fn open(&self) {
        self.stage.open.send_replace(true);
    }

    /// Waits until it wants to commit for the `number`th time, and gives what.
    async fn commit(&self, number: usize) -> Arc<Commit> {
        until("it commits", || self.commits() >= number).await;
        Arc::clone(&self.member.commits.lock().unwrap()[number - 1])
    }

    fn commits(&self) -> usize {
        self.member.commits.lock().unwrap().len()
    }

    fn answer(&self, answer: Result<(), CommitError>) {
        self.answer.send(answer).unwrap();
        self.member.answered.add_permits(1);
    }

    /// Answers well from now on, stops, and gives the last position of each partition that was committed.
    async fn end(self) -> Vec<(i32, i64)> {
        self.stop.cancel();
        (0..100).for_each(|_| self.answer(Ok(())));
        tokio::time::timeout(PATIENCE, self.driving).await.unwrap().unwrap().unwrap();
        let mut last = std::collections::BTreeMap::new();
        for commit in self.member.commits.lock().unwrap().iter() {
            last.extend(commit.positions.iter().map(|position| (position.partition.partition, position.offset)));
        }
        last.into_iter().collect()
    }
}

fn input(partition: i32) -> TopicPartition {
    TopicPartition::new("in", partition)
}

fn record(offset: i64, key: &str) -> Record {
    Record {
        offset,
        timestamp_ms: 1,
        key: Some(key.to_owned().into()),
        value: Some(vec![7; 1_000].into()),
        headers: Headers::new(),
    }
}

fn settings() -> StageSettings {
    StageSettings {
        batch_records: 1,
        linger: Duration::ZERO,
        commit_interval: Duration::from_millis(1),
        retry_base: Duration::from_millis(1),
        ..StageSettings::default()
    }
}

fn unavailable() -> Result<(), CommitError> {
    Err(CommitError::Unavailable("the test says so".to_owned()))
}

#[tokio::test]
async fn on_the_way_out_the_end_of_a_partition_does_not_pass_over_what_was_dropped() {
    let world = World::start(settings());
    world.assign([0, 1]).await;
    world.records(0, 0..1).await;
    world.has_started(1).await;
    world.stop.cancel();
    until("it drains", || world.status.snapshot().state == State::Draining).await;
    for partition in [0, 1] {
        world.records(partition, 1..5).await;
        world.say(Event::EndOfPartition { partition: input(partition), offset: 5 }).await;
    }
    world.open();
    assert_eq!(world.end().await, [(0, 1)]);
}

#[tokio::test]
async fn nor_does_it_where_the_partition_is_about_to_leave() {
    let world = World::start(settings());
    world.assign([0]).await;
    world.records(0, 0..1).await;
    world.has_started(1).await;
    let (revocation, released) = Revocation::new(vec![input(0)], Instant::now() + PATIENCE);
    world.say(Event::Revoked(revocation)).await;
    world.records(0, 1..5).await;
    world.say(Event::EndOfPartition { partition: input(0), offset: 5 }).await;
    world.open();
    world.answer(Ok(()));
    assert!(released.await.is_err(), "it is let go");
    assert_eq!(world.end().await, [(0, 1)]);
}

#[tokio::test]
async fn while_commits_fail_what_is_through_stays_within_its_bounds() {
    let bounded = StageSettings { in_flight_bytes: 20_000, concurrency: 4, ..settings() };
    let world = World::start(bounded);
    world.assign([0]).await;
    world.open();
    let many = (0..400).map(|offset| record(offset, &format!("key-{offset}"))).collect();
    world.say(Event::Records { partition: input(0), records: many }).await;
    for number in 1..=6 {
        let commit = world.commit(number).await;
        let bytes: usize = commit.outputs.iter().map(crate::record::Output::size_bytes).sum();
        assert!(bytes < 2 * 20_000, "{bytes} bytes in commit {number}");
        still(&world).await;
        world.answer(unavailable());
    }
    assert!(world.stage.started.load(Ordering::SeqCst) < 60, "it goes on as if all were well");
    assert_eq!(world.end().await.len(), 1);
}

/// Waits until no more work is begun for a while.
async fn still(world: &World) {
    let started = || world.stage.started.load(Ordering::SeqCst);
    let (mut seen, mut since) = (started(), Instant::now());
    while since.elapsed() < Duration::from_millis(50) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if started() != seen {
            (seen, since) = (started(), Instant::now());
        }
    }
}

#[tokio::test]
async fn what_a_refused_commit_leaves_of_a_partition_that_is_gone_is_not_written() {
    let world = World::start(StageSettings { commit_interval: Duration::from_millis(200), ..settings() });
    world.assign([0, 1]).await;
    world.records(0, 0..1).await;
    world.records(1, 0..1).await;
    world.open();
    let first = world.commit(1).await;
    assert_eq!(first.outputs.len(), 2);
    let (revocation, released) = Revocation::new(vec![input(0)], Instant::now());
    world.say(Event::Revoked(revocation)).await;
    assert!(released.await.is_err(), "it is let go");
    let output = first.outputs.iter().position(|output| output.key.as_deref() == Some(b"key-1")).unwrap();
    world.answer(Err(CommitError::Refused { output, topic: "out".into(), reason: "too large".to_owned() }));
    let second = world.commit(2).await;
    assert!(second.outputs.iter().all(|output| output.key.as_deref() != Some(b"key-0")), "{second:?}");
    assert_eq!(second.positions.iter().map(|position| position.partition.partition).collect::<Vec<_>>(), [1]);
    world.end().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_next_try_of_a_commit() {
    let patient = Duration::from_secs(600);
    let world = World::start(StageSettings { retry_base: patient, retry_cap: patient, ..settings() });
    world.assign([0]).await;
    world.records(0, 0..1).await;
    world.open();
    world.commit(1).await;
    world.answer(unavailable());
    until("it waits", || matches!(world.status.snapshot().state, State::Paused(_))).await;
    assert_eq!(world.end().await, [(0, 1)]);
}

#[tokio::test]
async fn neighbours_of_a_record_that_breaks_the_stage_are_not_given_up_for_it() {
    let once = StageSettings { retry_attempts: 1, batch_records: 3, linger: Duration::from_secs(5), ..settings() };
    let world = World::start(once);
    world.assign([0]).await;
    world.open();
    let records = ["a", "panic", "b"].iter().zip(0..).map(|(key, offset)| record(offset, key)).collect();
    world.say(Event::Records { partition: input(0), records }).await;
    (0..10).for_each(|_| world.answer(Ok(())));
    until("all are through", || {
        let commits = world.member.commits.lock().unwrap();
        commits.iter().flat_map(|commit| &commit.positions).any(|position| position.offset == 3)
    })
    .await;
    let outputs = |topic: &str| -> usize {
        let commits = world.member.commits.lock().unwrap();
        commits.iter().flat_map(|commit| &commit.outputs).filter(|output| &*output.topic == topic).count()
    };
    assert_eq!((outputs("out"), outputs("passes.dlq")), (2, 1));
    world.end().await;
}

#[tokio::test]
async fn one_outage_is_one_failure_however_many_batches_it_meets() {
    let stage = Arc::new(Passes { started: AtomicUsize::new(0), open: watch::Sender::new(true) });
    let answered = Semaphore::new(0);
    let (_, answers) = mpsc::unbounded_channel();
    let member = Arc::new(Told { commits: Mutex::default(), answers: Mutex::new(answers), answered });
    let mut driver = Driver::new(stage, Plan::new(settings(), "one"), Status::new("passes"), member);
    let now = Instant::now();
    let down = Failure::unavailable("vectors", "down");
    for _ in 0..16 {
        driver.settle_pause(Some(down.clone()), now);
    }
    assert_eq!(driver.pause.as_ref().unwrap().failures, 1);
    driver.pause.as_mut().unwrap().probing = true;
    driver.settle_pause(Some(down), now);
    assert_eq!(driver.pause.as_ref().unwrap().failures, 2);
}

#[test]
fn what_is_halted_says_so_until_it_ends() {
    let status = Status::new("passes");
    status.enter(State::Halted("five in a row".to_owned()));
    status.enter(State::Paused("the log is away".to_owned()));
    assert!(matches!(status.snapshot().state, State::Halted(_)));
    status.enter(State::Draining);
    assert_eq!(status.snapshot().state, State::Draining);
}

//! The thread that polls: it turns what the client says into events, and never waits for whoever reads them.
//!
//! Events wait in an outbox until the channel has room; while one waits, no records are taken from their queue,
//! and the group's queue is polled on. A rebalance is answered when it can be: an assignment when it is known
//! where to begin, a revocation when it was let go or its deadline has passed. Until then the member keeps its
//! seat, and what it keeps is read on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};

use super::chunks::Collector;
use super::context::log_line;
use super::events::{Content, Message};
use super::member::Shared;
use super::reader::{Reader, Starts};
use super::seat::Seat;
use crate::log::{Event, Revocation};
use crate::record::{Position, TopicPartition};

/// How long to wait for records before the group's queue is looked at again.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// The same while a rebalance is under way or the reader is slow.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// How many records are taken before the group's queue is looked at again.
const BURST_RECORDS: usize = 8_192;
/// How often a member whose successors are kept out looks for one.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// An outage is told about once in this time.
const OUTAGE_INTERVAL: Duration = Duration::from_secs(5);

/// A change of the assignment that the group waits to have answered, in the order that they came.
enum Rebalance {
    Assign { partitions: Vec<TopicPartition>, starts: Option<Starts> },
    Revoke { partitions: Vec<TopicPartition>, released: oneshot::Receiver<()>, deadline: Instant },
}

/// The polling thread's own.
pub(super) struct Poller {
    seat: Seat,
    /// The group has let the member in, once at least.
    was_seated: bool,
    reader: Reader,
    shared: Arc<Shared>,
    drain_deadline: Duration,
    /// The partitions whose records are passed on.
    flowing: Vec<TopicPartition>,
    rebalances: VecDeque<Rebalance>,
    /// Given back because of the deadline, while the reader still holds them: it would take what comes next for
    /// the same assignment.
    held: Vec<(Vec<TopicPartition>, oneshot::Receiver<()>)>,
    collector: Collector,
    outbox: VecDeque<Event>,
    events: mpsc::Sender<Event>,
    last_outage: Option<Instant>,
    last_look: Instant,
    /// Nothing more comes after what is in the outbox.
    ending: bool,
}

impl Poller {
    /// A poller that asks for the seat and reads what comes with it.
    pub(super) fn new(
        seat: Seat,
        reader: Reader,
        shared: Arc<Shared>,
        events: mpsc::Sender<Event>,
        drain_deadline: Duration,
    ) -> Self {
        Self {
            seat,
            was_seated: false,
            reader,
            shared,
            drain_deadline,
            flowing: Vec::new(),
            rebalances: VecDeque::new(),
            held: Vec::new(),
            collector: Collector::default(),
            outbox: VecDeque::new(),
            events,
            last_outage: None,
            last_look: Instant::now(),
            ending: false,
        }
    }

    /// Polls until the member leaves, is fenced, or nobody listens; then closes. `done` goes at the very end.
    pub(super) fn run(mut self, done: watch::Sender<()>) {
        while !self.is_over() {
            self.shared.was_polled(&self.seat.consumer);
            self.notice_fencing();
            let has_room = self.deliver();
            if self.ending {
                std::thread::sleep(BUSY_WAIT);
                continue;
            }
            self.ask_for_seat();
            self.poll_group(if has_room { Duration::ZERO } else { BUSY_WAIT });
            self.poll_news();
            self.answer_rebalances();
            if has_room && self.deliver() {
                self.poll_records(if self.rebalances.is_empty() { IDLE_WAIT } else { BUSY_WAIT });
            }
        }
        self.close();
        drop(done);
    }

    fn is_over(&self) -> bool {
        let is_told = self.ending && self.outbox.is_empty();
        is_told || self.shared.leaving.load(Ordering::Relaxed) || self.events.is_closed()
    }

    fn notice_fencing(&mut self) {
        if let Some(reason) = self.shared.fenced.get()
            && !self.ending
        {
            self.end(reason.clone());
        }
    }

    fn ask_for_seat(&mut self) {
        if let Err(error) = self.seat.ask() {
            self.end(format!("the group cannot be joined: {error}"));
        }
        if self.seat.keeps_successors_out() && self.last_look.elapsed() >= LOOK_INTERVAL {
            self.look_for_successor();
        }
    }

    /// Asks from a thread of its own: the answer takes its time.
    fn look_for_successor(&mut self) {
        self.last_look = Instant::now();
        let shared = Arc::clone(&self.shared);
        let asking = std::thread::Builder::new().name("probe".to_owned()).spawn(move || shared.look_for_successor());
        if let Err(error) = asking {
            tracing::warn!(%error, "no thread to look for a successor with");
        }
    }

    fn end(&mut self, reason: String) {
        self.flush();
        self.outbox.push_back(Event::Fenced(reason));
        self.ending = true;
    }

    /// Hands on what the channel has room for. Whether it had room for everything.
    fn deliver(&mut self) -> bool {
        while let Some(event) = self.outbox.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.outbox.push_front(event);
                    return false;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => self.outbox.clear(),
            }
        }
        true
    }

    fn poll_group(&mut self, mut wait: Duration) {
        loop {
            let Some(mut event) = self.seat.poll(wait) else { return };
            match event.content() {
                Content::Assign(partitions) => {
                    drop(event);
                    self.was_seated = true;
                    self.look_for_successor();
                    self.rebalances.push_back(Rebalance::Assign { partitions, starts: None });
                }
                Content::Revoke(partitions) => {
                    drop(event);
                    self.look_for_successor();
                    self.revoke(partitions);
                }
                Content::Error { fatal: true, reason, .. } => {
                    drop(event);
                    return self.lose_seat(reason);
                }
                // The group, too, may refuse a member for ever, such as one with a session timeout that it does not
                // take, and the client asks on and on.
                Content::Error { code, reason, .. } => {
                    drop(event);
                    tracing::debug!(%code, reason, "the client reports an error");
                    self.tell_outage(reason);
                }
                Content::Log { level, facility, message } => log_line(level, &facility, &message),
                Content::Message(_) | Content::EndOfPartition { .. } | Content::Other => {}
            }
            wait = Duration::ZERO;
        }
    }

    /// What the reading client has to say of itself.
    fn poll_news(&mut self) {
        loop {
            let Some(mut event) = self.reader.poll_news() else { return };
            match event.content() {
                Content::Error { fatal: true, reason, .. } => {
                    drop(event);
                    return self.end(reason);
                }
                Content::Error { code, reason, .. } => {
                    drop(event);
                    self.fail(code, reason);
                }
                Content::Log { level, facility, message } => log_line(level, &facility, &message),
                _ => {}
            }
        }
    }

    /// The client of the seat is finished. One that was never let in may try again in another way.
    fn lose_seat(&mut self, reason: String) {
        let second = if self.was_seated { None } else { self.seat.second_try() };
        match second {
            Some(Ok(seat)) => {
                self.shared.sit(&seat.consumer);
                std::mem::replace(&mut self.seat, seat).discard();
                self.tell_outage(reason);
            }
            Some(Err(error)) => self.end(error.to_string()),
            None => self.end(reason),
        }
    }

    fn poll_records(&mut self, mut wait: Duration) {
        for _ in 0..BURST_RECORDS {
            let Some(mut event) = self.reader.poll_records(wait) else { break };
            wait = Duration::ZERO;
            match event.content() {
                Content::Message(message) => {
                    if self.collector.goes_on_with(&message) {
                        self.collector.push(&message);
                        continue;
                    }
                    let partition = partition_of(&self.flowing, &message);
                    let run = self.collector.take().map(Event::from);
                    if let Some(partition) = partition {
                        self.collector.begin(partition, &message);
                    }
                    drop(event);
                    self.outbox.extend(run);
                    if !self.deliver() {
                        break;
                    }
                }
                Content::EndOfPartition { partition, offset } => {
                    drop(event);
                    self.flush();
                    if self.flowing.contains(&partition) {
                        self.outbox.push_back(Event::EndOfPartition { partition, offset });
                    }
                }
                Content::Error { code, reason, .. } => {
                    drop(event);
                    self.fail(code, reason);
                }
                _ => {}
            }
        }
        self.flush();
        self.deliver();
    }

    /// Ends the run that is being collected.
    fn flush(&mut self) {
        self.outbox.extend(self.collector.take().map(Event::from));
    }

    fn fail(&mut self, code: RDKafkaErrorCode, reason: String) {
        tracing::debug!(%code, reason, "the client reports an error");
        if is_outage(code) {
            self.tell_outage(reason);
        }
    }

    fn tell_outage(&mut self, reason: String) {
        if self.last_outage.is_none_or(|last| last.elapsed() >= OUTAGE_INTERVAL) {
            self.last_outage = Some(Instant::now());
            self.outbox.push_back(Event::Unavailable(reason));
        }
    }

    fn revoke(&mut self, partitions: Vec<TopicPartition>) {
        self.flush();
        self.flowing.retain(|partition| !partitions.contains(partition));
        if let Err(error) = self.reader.hold_back(&partitions) {
            tracing::warn!(%error, "pausing what is revoked failed");
        }
        let is_lost = self.seat.is_lost();
        let deadline = if is_lost { Instant::now() } else { Instant::now() + self.drain_deadline };
        let (revocation, released) = Revocation::new(partitions.clone(), deadline);
        if !partitions.is_empty() {
            self.outbox.push_back(Event::Revoked(revocation));
        }
        if is_lost {
            self.rebalances.retain(|rebalance| !matches!(rebalance, Rebalance::Assign { .. }));
        }
        self.rebalances.push_back(Rebalance::Revoke { partitions, released, deadline });
    }

    /// Answers what can be answered, in order.
    fn answer_rebalances(&mut self) {
        while let Some(rebalance) = self.rebalances.pop_front() {
            match rebalance {
                Rebalance::Assign { partitions, starts } if self.are_held(&partitions) => {
                    self.rebalances.push_front(Rebalance::Assign { partitions, starts });
                    return;
                }
                Rebalance::Assign { partitions, starts } => {
                    let mut starts = starts.unwrap_or_else(|| self.reader.find_starts(partitions.clone()));
                    let starts = match starts.try_recv() {
                        Ok(positions) => {
                            self.take(positions);
                            continue;
                        }
                        Err(TryRecvError::Empty) => Some(starts),
                        Err(TryRecvError::Closed) => None,
                    };
                    self.rebalances.push_front(Rebalance::Assign { partitions, starts });
                    return;
                }
                Rebalance::Revoke { partitions, mut released, deadline } => {
                    let is_held = is_held(&mut released);
                    if is_held && Instant::now() < deadline {
                        self.rebalances.push_front(Rebalance::Revoke { partitions, released, deadline });
                        return;
                    }
                    self.give_back(&partitions);
                    if is_held {
                        self.held.push((partitions, released));
                    }
                }
            }
        }
    }

    fn are_held(&mut self, partitions: &[TopicPartition]) -> bool {
        self.held.retain_mut(|(_, released)| is_held(released));
        self.held.iter().any(|(held, _)| held.iter().any(|partition| partitions.contains(partition)))
    }

    fn take(&mut self, positions: Vec<Position>) {
        if let Err(error) = self.seat.accept() {
            tracing::warn!(%error, "the group took the assignment back before it was taken");
            return;
        }
        if let Err(error) = self.reader.begin(&positions) {
            return self.end(format!("what the group gives cannot be read: {error}"));
        }
        let partitions: Vec<TopicPartition> = positions.iter().map(|position| position.partition.clone()).collect();
        self.shared.own(&partitions);
        self.flowing.extend(partitions);
        if !positions.is_empty() {
            self.outbox.push_back(Event::Assigned(positions));
        }
    }

    fn give_back(&mut self, partitions: &[TopicPartition]) {
        self.shared.disown(partitions);
        if let Err(error) = self.reader.stop(partitions) {
            tracing::warn!(%error, "what was read goes on to be read, and is dropped");
        }
        if let Err(error) = self.seat.let_go() {
            tracing::warn!(%error, "giving partitions back failed");
        }
    }

    /// Leaves the group, which waits for the answers that are due; then lets the clients go.
    fn close(self) {
        let Self { seat, reader, rebalances, flowing, shared, .. } = self;
        shared.disown(&flowing);
        for rebalance in rebalances {
            let answered = match rebalance {
                Rebalance::Assign { .. } => seat.accept(),
                Rebalance::Revoke { partitions, .. } => {
                    shared.disown(&partitions);
                    seat.let_go()
                }
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "the group does not wait for an answer any more");
            }
        }
        seat.leave();
        reader.close();
        shared.close();
    }
}

impl From<super::chunks::Run> for Event {
    fn from(run: super::chunks::Run) -> Self {
        Self::Records { partition: run.partition, records: run.records }
    }
}

fn is_held(released: &mut oneshot::Receiver<()>) -> bool {
    released.try_recv() == Err(oneshot::error::TryRecvError::Empty)
}

fn partition_of(flowing: &[TopicPartition], message: &Message<'_>) -> Option<TopicPartition> {
    let topic = message.topic();
    flowing.iter().find(|partition| partition.partition == message.partition() && *partition.topic == *topic).cloned()
}

fn is_outage(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
    )
}

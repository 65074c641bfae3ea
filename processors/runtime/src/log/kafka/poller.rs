//! The thread that polls: it turns what the client says into events, and never waits for whoever reads them.
//!
//! Events wait in an outbox until the channel has room; while one waits, no records are taken from their queue,
//! and the group's queue is polled on. A rebalance is answered when it can be: an assignment when it is known
//! where to begin, a revocation when it was let go or its deadline has passed. Until then the client keeps its
//! membership and waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{Consumer as _, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use tokio::sync::{mpsc, oneshot, watch};

use super::chunks::Collector;
use super::context::{Consumer, log_line};
use super::events::{Content, Message, Queue};
use super::member::Shared;
use super::positions::{list_of, starts};
use crate::log::{Event, Revocation};
use crate::record::{Position, TopicPartition};

/// How long to wait for records before the group's queue is looked at again.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// The same while a rebalance is under way or the reader is slow.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// How many records are taken before the group's queue is looked at again.
const BURST_RECORDS: usize = 8_192;
/// How long one try to find out where to begin may take.
const STARTS_TIMEOUT: Duration = Duration::from_secs(2);
/// An outage is told about once in this time.
const OUTAGE_INTERVAL: Duration = Duration::from_secs(5);

/// A change of the assignment that the client waits to have answered, in the order that they came.
enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke { partitions: Vec<TopicPartition>, released: oneshot::Receiver<()>, deadline: Instant },
}

/// The polling thread's own.
pub(super) struct Poller {
    consumer: Arc<Consumer>,
    group_queue: Queue,
    record_queue: Queue,
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
    /// Nothing more comes after what is in the outbox.
    ending: bool,
}

impl Poller {
    /// A poller for the consumer, which has subscribed; `None` where the client has no queues any more.
    pub(super) fn new(
        consumer: Arc<Consumer>,
        shared: Arc<Shared>,
        events: mpsc::Sender<Event>,
        drain_deadline: Duration,
    ) -> Option<Self> {
        Some(Self {
            group_queue: Queue::of_group(&consumer)?,
            record_queue: Queue::of_records(&consumer)?,
            consumer,
            shared,
            drain_deadline,
            flowing: Vec::new(),
            rebalances: VecDeque::new(),
            held: Vec::new(),
            collector: Collector::default(),
            outbox: VecDeque::new(),
            events,
            last_outage: None,
            ending: false,
        })
    }

    /// Polls until the member leaves, is fenced, or nobody listens; then closes. `done` goes at the very end.
    pub(super) fn run(mut self, done: watch::Sender<()>) {
        while !self.is_over() {
            self.shared.was_polled();
            self.notice_fencing();
            let has_room = self.deliver();
            if self.ending {
                std::thread::sleep(BUSY_WAIT);
                continue;
            }
            self.poll_group(if has_room { Duration::ZERO } else { BUSY_WAIT });
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

    /// Asks from a thread of its own: the answer takes its time.
    fn look_for_successor(&self) {
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
            let Some(mut event) = self.group_queue.poll(wait) else { return };
            let content = event.content();
            match content {
                Content::Assign(partitions) => {
                    self.look_for_successor();
                    self.rebalances.push_back(Rebalance::Assign(partitions));
                }
                Content::Revoke(partitions) => {
                    drop(event);
                    self.look_for_successor();
                    self.revoke(partitions);
                }
                Content::Error { code, fatal, reason } => {
                    drop(event);
                    self.fail(code, fatal, reason);
                }
                Content::Log { level, facility, message } => log_line(level, &facility, &message),
                Content::Message(_) | Content::EndOfPartition { .. } | Content::Other => {}
            }
            wait = Duration::ZERO;
        }
    }

    fn poll_records(&mut self, mut wait: Duration) {
        for _ in 0..BURST_RECORDS {
            let Some(mut event) = self.record_queue.poll(wait) else { break };
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
                Content::Error { code, fatal, reason } => {
                    drop(event);
                    self.fail(code, fatal, reason);
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

    fn fail(&mut self, code: RDKafkaErrorCode, fatal: bool, reason: String) {
        if fatal {
            return self.end(reason);
        }
        tracing::debug!(%code, reason, "the client reports an error");
        let is_due = self.last_outage.is_none_or(|last| last.elapsed() >= OUTAGE_INTERVAL);
        if is_due && is_outage(code) {
            self.last_outage = Some(Instant::now());
            self.outbox.push_back(Event::Unavailable(reason));
        }
    }

    fn revoke(&mut self, partitions: Vec<TopicPartition>) {
        self.flush();
        self.flowing.retain(|partition| !partitions.contains(partition));
        let is_lost = self.consumer.assignment_lost();
        let deadline = if is_lost { Instant::now() } else { Instant::now() + self.drain_deadline };
        let (revocation, released) = Revocation::new(partitions.clone(), deadline);
        if !partitions.is_empty() {
            self.outbox.push_back(Event::Revoked(revocation));
        }
        if is_lost {
            self.rebalances.retain(|rebalance| !matches!(rebalance, Rebalance::Assign(_)));
        }
        self.rebalances.push_back(Rebalance::Revoke { partitions, released, deadline });
    }

    /// Answers what can be answered, in order.
    fn answer_rebalances(&mut self) {
        while let Some(rebalance) = self.rebalances.pop_front() {
            match rebalance {
                Rebalance::Assign(partitions) if self.are_held(&partitions) => {
                    self.rebalances.push_front(Rebalance::Assign(partitions));
                    return;
                }
                Rebalance::Assign(partitions) => match starts(&self.consumer, &partitions, STARTS_TIMEOUT) {
                    Ok(positions) => self.take(positions),
                    Err(error) => {
                        tracing::info!(%error, "where the group stands is not known yet; asking again");
                        self.rebalances.push_front(Rebalance::Assign(partitions));
                        return;
                    }
                },
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
        let partitions: Vec<TopicPartition> = positions.iter().map(|position| position.partition.clone()).collect();
        for partition in &partitions {
            self.record_queue.gather(partition);
        }
        let assigned = list_from(&positions).and_then(|list| match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.consumer.assign(&list),
        });
        if let Err(error) = assigned {
            tracing::warn!(%error, "the group took the assignment back before it was taken");
            return;
        }
        self.shared.own(&partitions);
        self.flowing.extend(partitions);
        if !positions.is_empty() {
            self.outbox.push_back(Event::Assigned(positions));
        }
    }

    fn give_back(&self, partitions: &[TopicPartition]) {
        self.shared.disown(partitions);
        let list = list_of(partitions);
        // A pause outlasts an assignment: whoever gets the partition next, maybe this member, would get no records.
        let resumed = self.consumer.resume(&list);
        let unassigned = resumed.and_then(|()| match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_unassign(&list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.consumer.unassign(),
        });
        if let Err(error) = unassigned {
            tracing::warn!(%error, "giving partitions back failed");
        }
    }

    /// Leaves the group. The client cannot close while it waits for an answer, nor while a queue of it is held.
    fn close(mut self) {
        self.shared.disown(&self.flowing);
        self.consumer.unsubscribe();
        while let Some(rebalance) = self.rebalances.pop_front() {
            match rebalance {
                Rebalance::Assign(partitions) => {
                    let positions = partitions.into_iter().map(|partition| Position {
                        partition,
                        offset: 0,
                        metadata: String::new(),
                    });
                    self.take(positions.collect());
                }
                Rebalance::Revoke { partitions, .. } => self.give_back(&partitions),
            }
        }
        let Self { consumer, group_queue, record_queue, shared, .. } = self;
        drop((group_queue, record_queue));
        close(consumer);
        shared.close();
    }
}

/// Drops the consumer here, where it may block. Others hold it for the length of a call at most.
fn close(mut consumer: Arc<Consumer>) {
    loop {
        match Arc::try_unwrap(consumer) {
            Ok(last) => return drop(last),
            Err(shared) => consumer = shared,
        }
        std::thread::sleep(Duration::from_millis(1));
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

fn list_from(positions: &[Position]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for position in positions {
        let topic = &position.partition.topic;
        list.add_partition_offset(topic, position.partition.partition, Offset::Offset(position.offset))?;
    }
    Ok(list)
}

fn is_outage(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
    )
}

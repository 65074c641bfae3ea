//! The client that has the member's seat in its group. It reads nothing.
//!
//! From the moment when the group asks for something until it is answered, librdkafka stops all partitions of a
//! client, those that stay included, and an answer takes its time here: a revocation waits until what is in flight
//! is finished. So another client, the [`super::reader`], has the partitions, and this one has none: it answers
//! with lists that are empty. What the group counts on is that there was an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{Consumer as _, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::context::{Consumer, close};
use super::events::{Content, Event, Queue, is_in_group, member_id};
use super::faults::log_error;
use super::settings::{GroupProtocol, Identity, KafkaSettings};
use super::token::Connect;
use crate::log::{LogError, Membership};

/// How long to wait before a name is asked for again that another member has.
const NAME_WAIT: Duration = Duration::from_secs(1);
/// While a member leaves, its queue is looked at this often.
const LEAVE_WAIT: Duration = Duration::from_millis(20);
/// How long the first word of a member without a name waits for its answer, at most; one with a name has it when the
/// rebalance is over.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// A seat in a group, or the wish for one.
pub(super) struct Seat {
    settings: KafkaSettings,
    membership: Membership,
    protocol: GroupProtocol,
    pub(super) consumer: Arc<Consumer>,
    queue: Queue,
    /// When to ask for it; `None` once it was.
    ask_at: Option<Instant>,
}

impl Seat {
    /// A client that asks for the seat as soon as it is polled. Where nothing else was chosen it begins with the
    /// protocol of the broker.
    pub(super) fn new(settings: KafkaSettings, membership: Membership) -> Result<Self, LogError> {
        let protocol = match settings.group_protocol {
            GroupProtocol::Auto => GroupProtocol::Consumer,
            chosen => chosen,
        };
        Self::with(settings, membership, protocol, Instant::now())
    }

    fn with(
        settings: KafkaSettings,
        membership: Membership,
        protocol: GroupProtocol,
        ask_at: Instant,
    ) -> Result<Self, LogError> {
        let config = settings.member(&membership, protocol);
        let consumer: Consumer = config.connect().map_err(|error| log_error(&error))?;
        let consumer = Arc::new(consumer);
        let queue =
            Queue::of_group(&consumer).ok_or_else(|| LogError::Unavailable("the client has closed".to_owned()))?;
        Ok(Self { settings, membership, protocol, consumer, queue, ask_at: Some(ask_at) })
    }

    /// Asks for the seat when it is time to.
    pub(super) fn ask(&mut self) -> Result<(), KafkaError> {
        if self.ask_at.is_some_and(|at| at <= Instant::now()) {
            self.ask_at = None;
            let topics: Vec<&str> = self.membership.topics.iter().map(String::as_str).collect();
            self.consumer.subscribe(&topics)?;
        }
        Ok(())
    }

    /// The next event of the group.
    pub(super) fn poll(&self, wait: Duration) -> Option<Event<'_>> {
        self.queue.poll(wait)
    }

    /// Whether the group gave the member up, so that it need not be told what is let go.
    pub(super) fn is_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// Whether a successor of the same name has to wait for this member to notice it. The broker then lets it in
    /// no earlier, so it makes nothing happen in the group that would tell of it.
    pub(super) fn keeps_successors_out(&self) -> bool {
        self.protocol == GroupProtocol::Consumer && self.settings.identity != Identity::Dynamic
    }

    /// Tells the group that an assignment was taken.
    pub(super) fn accept(&self) -> Result<(), KafkaError> {
        let none = TopicPartitionList::new();
        match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&none),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.consumer.assign(&none),
        }
    }

    /// Tells the group that what it asked for was given back.
    pub(super) fn let_go(&self) -> Result<(), KafkaError> {
        match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_unassign(&TopicPartitionList::new()),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.consumer.unassign(),
        }
    }

    /// Why the client is finished, and what to do instead, where there is something: to join by the protocol that
    /// every broker speaks, when this one does not speak the other; to wait until the name is free.
    pub(super) fn second_try(&self) -> Option<Result<Self, LogError>> {
        let (protocol, ask_at) = match self.consumer.client().fatal_error()? {
            (RDKafkaErrorCode::UnsupportedVersion | RDKafkaErrorCode::UnsupportedFeature, _)
                if self.settings.group_protocol == GroupProtocol::Auto =>
            {
                tracing::info!(group = self.membership.group, "the broker knows no other than the classic protocol");
                (GroupProtocol::Classic, Instant::now())
            }
            (RDKafkaErrorCode::UnreleasedInstanceId, _) => (self.protocol, Instant::now() + NAME_WAIT),
            _ => return None,
        };
        Some(Self::with(self.settings.clone(), self.membership.clone(), protocol, ask_at))
    }

    /// Gives the seat up; blocks, for the session timeout at most: then the broker has noticed by itself. A static
    /// member keeps it for a successor of the same name, unless it is to leave.
    pub(super) fn leave(self) {
        let has_seat = self.consumer.client().fatal_error().is_none();
        if has_seat && self.settings.identity != Identity::Static {
            let give_up = Instant::now() + self.membership.session_timeout;
            self.be_known(give_up);
            self.consumer.unsubscribe();
            if self.protocol == GroupProtocol::Classic {
                // A member that waits to hear what comes of a rebalance is not heard itself. A client that closes says
                // that it leaves all the same, waits five seconds for an answer, and hangs up. One that only has no
                // subscription any more says it when the rebalance is over.
                self.answer_until(give_up, |seat| member_id(&seat.consumer).is_empty());
            }
        }
        self.discard();
    }

    /// Waits for the answer to the member's first word, if that is under way: the group may have let it in, and
    /// whoever does not know by which name cannot leave.
    fn be_known(&self, give_up: Instant) {
        if self.ask_at.is_some() {
            return;
        }
        let give_up = match self.settings.identity {
            Identity::Dynamic => give_up.min(Instant::now() + ANSWER_WAIT),
            Identity::Static | Identity::StaticLeaving => give_up,
        };
        self.answer_until(give_up, |seat| match seat.protocol {
            GroupProtocol::Classic => !member_id(&seat.consumer).is_empty(),
            GroupProtocol::Consumer | GroupProtocol::Auto => is_in_group(&seat.consumer),
        });
    }

    /// Answers whatever the group asks, at once.
    fn answer_until(&self, give_up: Instant, is_done: impl Fn(&Self) -> bool) {
        while !is_done(self) && Instant::now() < give_up {
            let answered = match self.queue.poll(LEAVE_WAIT).as_mut().map(Event::content) {
                Some(Content::Assign(_)) => self.accept(),
                Some(Content::Revoke(_)) => self.let_go(),
                _ => Ok(()),
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "an answer to the group came too late");
            }
        }
    }

    /// Lets the client go, which has no seat.
    pub(super) fn discard(self) {
        let Self { consumer, queue, .. } = self;
        drop(queue);
        close(consumer);
    }
}

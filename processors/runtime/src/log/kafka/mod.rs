//! The log on Apache Kafka.
//!
//! ```text
//!   join ──► poller (a thread of its own) ──► events        two clients a member: one has its seat in the group,
//!                                                           one reads
//!            member ──────────────────────► commits         one transactional producer a member
//!            admin                                          topics, lag, reading without a group
//! ```
//!
//! What the promises of the port rest on: the consumer reads committed records only and commits nothing by
//! itself; positions are part of the producer's transaction, under the generation of the member, so the broker
//! refuses a stale one; the producer's transactional id is made of group and instance, so a successor fences its
//! predecessor at once. Members are not static unless they are told to be ([`Identity`]): a static one keeps its
//! partitions after it has left, and what does not come back under the same name leaves them lying.

mod admin;
mod chunks;
mod context;
mod events;
mod faults;
mod groups;
mod member;
mod operate;
mod poller;
mod positions;
mod reader;
mod scan;
mod seat;
mod settings;
mod token;
mod transactions;
mod why;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use self::admin::Admin;
use self::context::Consumer;
use self::faults::log_error;
use self::member::{KafkaMember, Shared};
use self::poller::Poller;
use self::reader::Reader;
use self::seat::Seat;
pub use self::settings::{
    GroupProtocol, Identity, KafkaSettings, Sasl, SaslMechanism, Security, SecurityProtocol, Tls, is_secret,
};
use self::token::Connect as _;
use self::transactions::Transactions;
use super::operate::{GroupMember, Held, Move, Operate, ResetError};
use super::scan::{Scan, Span};
use super::{CommitError, Log, LogError, Membership, NewTopic, PartitionLag, Session, TopicState};
use crate::record::{Output, Record, TopicPartition};

/// Events that wait for their reader, at most. Records come in runs of up to half a mebibyte.
const EVENTS: usize = 32;

/// The log on Apache Kafka.
pub struct KafkaLog {
    inner: Arc<Inner>,
}

struct Inner {
    settings: KafkaSettings,
    admin: Admin,
    /// For what is written outside any group; made when it is first needed.
    appender: Mutex<Option<Transactions>>,
    closing: Arc<AtomicBool>,
    /// Off only under the fault harness.
    fences: AtomicBool,
}

impl KafkaLog {
    /// Checks the settings, and makes the client. It connects when it is first used.
    pub fn connect(settings: KafkaSettings) -> Result<Self, LogError> {
        let settings = settings.open()?;
        let admin = Admin::new(settings.clone())?;
        let closing = Arc::new(AtomicBool::new(false));
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                admin,
                appender: Mutex::new(None),
                closing,
                fences: AtomicBool::new(true),
            }),
        })
    }

    /// The same, but whom the group has given up, or who has a successor, may still commit: for the fault harness,
    /// which has to notice.
    pub fn without_fencing(self) -> Self {
        self.inner.fences.store(false, Ordering::Relaxed);
        self
    }

    /// Calls what blocks, off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Inner) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || {
            inner.admin.log_in();
            call(&inner).map_err(|error| why::explained(&inner.settings, error))
        })
        .await;
        done.unwrap_or_else(|error| Err(LogError::Unavailable(error.to_string())))
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.inner.closing.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    fn join(&self, membership: &Membership) -> Result<Session, LogError> {
        if membership.drain_deadline >= membership.session_timeout {
            return Err(LogError::Refused(format!(
                "the drain deadline, {:?}, has to be shorter than the session timeout, {:?}",
                membership.drain_deadline, membership.session_timeout
            )));
        }
        for topic in &membership.topics {
            self.admin.partitions(topic)?;
        }
        let leaving = Arc::new(AtomicBool::new(false));
        let fences = self.fences.load(Ordering::Relaxed);
        let mut name = format!("{}/{}", membership.group, membership.instance);
        if !fences {
            name = format!("{name}/{}", Uuid::new_v4());
        }
        let transactions = Transactions::open(self.settings.clone(), name, Arc::clone(&leaving))?;
        let reader = Reader::new(&self.settings, membership)?;
        let seat = Seat::new(self.settings.clone(), membership.clone())?;

        // In the name of nobody, the broker takes positions without asking for a generation.
        let nobody = || self.settings.consumer(&membership.group, "nobody").connect();
        let nobody: Option<Consumer> = (!fences).then(nobody).transpose().map_err(|error| log_error(&error))?;
        let shared = Arc::new(Shared::new(&seat.consumer, &reader.consumer, transactions, leaving, nobody));
        let (sender, events) = mpsc::channel(EVENTS);
        let (done_sender, done) = watch::channel(());
        let poller = Poller::new(seat, reader, Arc::clone(&shared), sender, membership.drain_deadline);
        std::thread::Builder::new()
            .name(format!("poll-{}", membership.group))
            .spawn(move || poller.run(done_sender))
            .map_err(|error| LogError::Unavailable(format!("no thread to poll with: {error}")))?;
        Ok(Session {
            events,
            member: Arc::new(KafkaMember { shared, done, session_timeout: membership.session_timeout }),
        })
    }

    fn scan(&self, spans: Vec<Span>) -> Result<Scan, LogError> {
        let mut topics: Vec<&str> = spans.iter().map(|span| span.partition.topic.as_ref()).collect();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            self.admin.partitions(topic)?;
        }
        scan::start(&self.settings, spans)
    }

    fn append(&self, outputs: &[Output]) -> Result<(), LogError> {
        let mut appender = self.appender.lock().unwrap_or_else(PoisonError::into_inner);
        let transactions = match appender.as_mut() {
            Some(transactions) => transactions,
            None => {
                let name = format!("append/{}", Uuid::new_v4());
                appender.insert(Transactions::open(self.settings.clone(), name, Arc::clone(&self.closing))?)
            }
        };
        let result = transactions.commit(outputs, None);
        if let Err(CommitError::Fenced(_)) = &result {
            // Nobody else has the name; the broker gave it up because it was silent for too long.
            *appender = None;
        }
        result.map_err(|error| match error {
            CommitError::Refused { .. } => LogError::Refused(error.to_string()),
            other => LogError::Unavailable(other.to_string()),
        })
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn join(&self, membership: Membership) -> Result<Session, LogError> {
        self.blocking(move |inner| inner.join(&membership)).await
    }

    async fn append(&self, outputs: Vec<Output>) -> Result<(), LogError> {
        self.blocking(move |inner| inner.append(&outputs)).await
    }

    async fn topics(&self) -> Result<Vec<TopicState>, LogError> {
        self.blocking(|inner| inner.admin.topics()).await
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<(), LogError> {
        self.inner.admin.create(topic).await?;
        let topic = topic.clone();
        self.blocking(move |inner| inner.admin.wait_for(&topic)).await
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>, LogError> {
        let (group, topics) = (group.to_owned(), topics.to_vec());
        self.blocking(move |inner| inner.admin.lag(&group, &topics)).await
    }

    async fn readable(&self, topics: &[String]) -> Result<Vec<Span>, LogError> {
        let topics = topics.to_vec();
        self.blocking(move |inner| inner.admin.readable(&topics)).await
    }

    async fn read(&self, partition: &TopicPartition, offset: i64, limit: usize) -> Result<Vec<Record>, LogError> {
        let partition = partition.clone();
        self.blocking(move |inner| inner.admin.read(&partition, offset, limit)).await
    }

    async fn scan(&self, spans: Vec<Span>) -> Result<Scan, LogError> {
        self.blocking(move |inner| inner.scan(spans)).await
    }
}

#[async_trait]
impl Operate for KafkaLog {
    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, LogError> {
        let group = group.to_owned();
        self.blocking(move |inner| inner.admin.members(&group)).await
    }

    async fn offsets_at(&self, partitions: &[TopicPartition], time_ms: i64) -> Result<Vec<i64>, LogError> {
        let partitions = partitions.to_vec();
        self.blocking(move |inner| inner.admin.offsets_at(&partitions, time_ms)).await
    }

    async fn written_at(&self, places: &[(TopicPartition, i64)]) -> Result<Vec<Option<i64>>, LogError> {
        let places = places.to_vec();
        self.blocking(move |inner| inner.admin.written_at(&places)).await
    }

    async fn held(&self, topics: &[String]) -> Result<Vec<Held>, LogError> {
        let topics = topics.to_vec();
        self.blocking(move |inner| inner.admin.held(&topics)).await
    }

    async fn reset(&self, group: &str, moves: &[Move]) -> Result<(), ResetError> {
        let (group, moves) = (group.to_owned(), moves.to_vec());
        self.blocking(move |inner| Ok(inner.admin.reset(&group, &moves))).await?
    }

    async fn about(&self) -> Result<String, LogError> {
        self.blocking(|inner| inner.admin.about()).await
    }
}

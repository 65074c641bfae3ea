//! The client that reads what the member has. It assigns the partitions to itself and joins no group, so nothing
//! that happens to the group makes it stop.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use tokio::sync::oneshot;

use super::context::{Consumer, close};
use super::events::{Event, Queue};
use super::faults::log_error;
use super::positions::{list_of, starts};
use super::settings::KafkaSettings;
use super::token::Connect;
use crate::log::{LogError, Membership};
use crate::record::{Position, TopicPartition};

/// How long one try to find out where to begin may take.
const STARTS_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two tries.
const STARTS_WAIT: Duration = Duration::from_millis(50);

/// Where to begin in some partitions, once it is known.
pub(super) type Starts = oneshot::Receiver<Vec<Position>>;

/// A reader of partitions that somebody else gives it.
pub(super) struct Reader {
    pub(super) consumer: Arc<Consumer>,
    news: Queue,
    records: Queue,
    assigned: HashSet<TopicPartition>,
}

impl Reader {
    /// Reads nothing yet.
    pub(super) fn new(settings: &KafkaSettings, membership: &Membership) -> Result<Self, LogError> {
        let config = settings.consumer(&membership.group, &membership.instance);
        let consumer: Consumer = config.connect().map_err(|error| log_error(&error))?;
        let consumer = Arc::new(consumer);
        let closed = || LogError::Unavailable("the client has closed".to_owned());
        let news = Queue::of_group(&consumer).ok_or_else(closed)?;
        let records = Queue::of_records(&consumer).ok_or_else(closed)?;
        Ok(Self { consumer, news, records, assigned: HashSet::new() })
    }

    /// The next record, end of a partition, or error of one.
    pub(super) fn poll_records(&self, wait: Duration) -> Option<Event<'_>> {
        self.records.poll(wait)
    }

    /// The next word about the client itself; does not wait.
    pub(super) fn poll_news(&self) -> Option<Event<'_>> {
        self.news.poll(Duration::ZERO)
    }

    /// Begins to read from these positions on.
    pub(super) fn begin(&mut self, positions: &[Position]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for Position { partition, offset, .. } in positions {
            self.records.gather(partition);
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))?;
        }
        self.consumer.incremental_assign(&list)?;
        self.assigned.extend(positions.iter().map(|position| position.partition.clone()));
        Ok(())
    }

    /// Reads no more of these, which are about to go; they are still assigned.
    pub(super) fn hold_back(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.consumer.pause(&self.assigned_among(partitions))
    }

    /// Lets these go.
    pub(super) fn stop(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = self.assigned_among(partitions);
        self.assigned.retain(|partition| !partitions.contains(partition));
        // A pause outlasts an assignment: whoever gets the partition next, maybe this member, would get no records.
        self.consumer.resume(&list)?;
        self.consumer.incremental_unassign(&list)
    }

    fn assigned_among(&self, partitions: &[TopicPartition]) -> TopicPartitionList {
        list_of(partitions.iter().filter(|partition| self.assigned.contains(*partition)))
    }

    /// Asks where to begin, on a thread of its own: the answer may take its time, as what was written last has to
    /// be settled before, and all else is read on. Asks until there is an answer or nobody waits for it.
    pub(super) fn find_starts(&self, partitions: Vec<TopicPartition>) -> Starts {
        let (sender, found) = oneshot::channel();
        let consumer = Arc::clone(&self.consumer);
        let asking = std::thread::Builder::new().name("starts".to_owned()).spawn(move || {
            while !sender.is_closed() {
                match starts(&consumer, &partitions, STARTS_TIMEOUT) {
                    Ok(positions) => {
                        // Nobody waits when the partitions were taken back in between.
                        let _ = sender.send(positions);
                        return;
                    }
                    Err(error) => tracing::info!(%error, "where the group stands is not known yet; asking again"),
                }
                std::thread::sleep(STARTS_WAIT);
            }
        });
        if let Err(error) = asking {
            tracing::warn!(%error, "no thread to find out with where to begin");
        }
        found
    }

    /// Lets the client go; blocks.
    pub(super) fn close(self) {
        let Self { consumer, news, records, .. } = self;
        drop((news, records));
        close(consumer);
    }
}

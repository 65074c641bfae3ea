//! Where a group stands: what it committed, with its metadata, against what the partitions still have.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::context::Consumer;
use super::events::{Entry, entries};
use crate::record::{Position, TopicPartition};

/// Between two tries to ask a leader or a coordinator that is not there yet.
const MOVE_WAIT: Duration = Duration::from_millis(50);

/// A list of the partitions, without offsets.
pub(super) fn list_of<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}

/// What the consumer's group committed in each of the partitions: offset and metadata, or `None`. A commit that
/// is under way is waited for, and so is the group's coordinator.
pub(super) fn committed(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<(i64, String)>>, KafkaError> {
    let entries = ask(timeout, |left| read(&consumer.committed_offsets(list_of(partitions), left)?))?;
    let of = |entry: Entry| (entry.offset >= 0).then_some((entry.offset, entry.metadata));
    Ok(entries.into_iter().map(of).collect())
}

/// Asks again while a leader or a coordinator moves, or comes up.
pub(super) fn ask<T>(
    timeout: Duration,
    mut question: impl FnMut(Duration) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let deadline = Instant::now() + timeout;
    loop {
        match question(deadline.saturating_duration_since(Instant::now())) {
            Err(error) if is_passing(&error) && Instant::now() < deadline => std::thread::sleep(MOVE_WAIT),
            other => return other,
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::UnstableOffsetCommit
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::UnknownLeaderEpoch
        )
    )
}

/// Where the member begins in each of the partitions.
pub(super) fn starts(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Position>, KafkaError> {
    if partitions.is_empty() {
        // A member that gets nothing is told so, and the client refuses to be asked about nothing.
        return Ok(Vec::new());
    }
    let committed = committed(consumer, partitions, timeout)?;
    let low = edges(consumer, partitions, Offset::Beginning, timeout)?;
    let high = edges(consumer, partitions, Offset::End, timeout)?;
    let starts = partitions.iter().zip(committed).zip(low.into_iter().zip(high));
    Ok(starts.map(|((partition, committed), (low, high))| start(partition, committed, low, high)).collect())
}

/// One edge of each of the partitions, in one request to each broker.
pub(super) fn edges(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    edge: Offset,
    timeout: Duration,
) -> Result<Vec<i64>, KafkaError> {
    let found = found_for(consumer, partitions, edge, timeout)?;
    Ok(found.into_iter().map(|entry| entry.offset.max(0)).collect())
}

/// The first record in each of the partitions that is not older than that, where there is one.
pub(super) fn first_since(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    time_ms: i64,
    timeout: Duration,
) -> Result<Vec<Option<i64>>, KafkaError> {
    let found = found_for(consumer, partitions, Offset::Offset(time_ms.max(0)), timeout)?;
    Ok(found.into_iter().map(|entry| (entry.offset >= 0).then_some(entry.offset)).collect())
}

/// The question for times also answers for the edges; where it is asked for a time, that stands as an offset.
fn found_for(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    wanted: Offset,
    timeout: Duration,
) -> Result<Vec<Entry>, KafkaError> {
    ask(timeout, |left| {
        let mut list = list_of(partitions);
        list.set_all_offsets(wanted)?;
        read(&consumer.offsets_for_times(list, left)?)
    })
}

fn read(list: &TopicPartitionList) -> Result<Vec<Entry>, KafkaError> {
    let entries = entries(list);
    match entries.iter().find_map(|entry| entry.error) {
        Some(code) => Err(KafkaError::OffsetFetch(code)),
        None => Ok(entries),
    }
}

/// What the group committed, unless the partition has it no more, or not yet: a topic that was made anew.
fn start(partition: &TopicPartition, committed: Option<(i64, String)>, low: i64, high: i64) -> Position {
    let (offset, metadata) = match committed {
        Some((offset, metadata)) if (low..=high).contains(&offset) => (offset, metadata),
        Some((offset, _)) => {
            tracing::warn!(
                topic = %partition.topic,
                partition = partition.partition,
                offset, low, high,
                "the committed offset is not there; beginning at the lowest"
            );
            (low, String::new())
        }
        None => (low, String::new()),
    };
    Position { partition: partition.clone(), offset, metadata }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_at(committed: Option<i64>) -> (i64, String) {
        let partition = TopicPartition::new("units", 0);
        let position = start(&partition, committed.map(|offset| (offset, "map".to_owned())), 10, 20);
        (position.offset, position.metadata)
    }

    #[test]
    fn a_member_begins_where_the_group_is_or_at_the_lowest_offset() {
        assert_eq!(start_at(Some(10)), (10, "map".to_owned()));
        assert_eq!(start_at(Some(20)), (20, "map".to_owned()));
        assert_eq!(start_at(None), (10, String::new()));
    }

    #[test]
    fn an_offset_that_is_not_there_is_not_begun_at_and_its_map_is_dropped() {
        assert_eq!(start_at(Some(9)), (10, String::new()));
        assert_eq!(start_at(Some(21)), (10, String::new()));
    }
}

//! The smallest stage: it copies a topic, and commits every few records with the position behind them.

use std::sync::Arc;

use frameline_runtime::log::{Commit, CommitError, Event, Log, Membership, Session};
use frameline_runtime::{Position, Record, TopicPartition};

/// Small, so that there are many commits to disturb.
const RECORDS_PER_COMMIT: usize = 7;
/// The header that says which instance made the copy.
pub(super) const COPIED_BY: &str = "copied-by";

/// Copies what the group reads to the topic `to`, until the session ends. Whoever drops the future has it leave.
pub(super) async fn copy(log: Arc<dyn Log>, membership: Membership, to: String) {
    let instance = membership.instance.clone();
    let mut session = log.join(membership).await.unwrap();
    while let Some(event) = session.events.recv().await {
        match event {
            Event::Records { partition, records } => {
                for few in records.chunks(RECORDS_PER_COMMIT) {
                    if !commit(&session, &partition, few, &to, &instance).await {
                        break;
                    }
                }
            }
            Event::Fenced(reason) => {
                println!("{instance} was fenced: {reason}");
                return;
            }
            // Nothing is in flight between two events: a revocation may go at once.
            Event::Revoked(_) | Event::Assigned(_) | Event::EndOfPartition { .. } | Event::Unavailable(_) => {}
        }
    }
}

/// Returns whether to go on with the partition.
async fn commit(session: &Session, partition: &TopicPartition, few: &[Record], to: &str, instance: &str) -> bool {
    let copy = |record: &Record| {
        let mut copy = record.clone().onto(to);
        copy.headers.set(COPIED_BY, instance.as_bytes().to_vec());
        copy
    };
    let next = few.last().map_or(0, |record| record.offset + 1);
    let position = Position { partition: partition.clone(), offset: next, metadata: String::new() };
    let commit = Arc::new(Commit { outputs: few.iter().map(copy).collect(), positions: vec![position] });
    loop {
        match session.member.commit(Arc::clone(&commit)).await {
            Ok(()) => return true,
            Err(CommitError::Unavailable(_)) => tokio::task::yield_now().await,
            // Another member does these, from the last commit on.
            Err(CommitError::Revoked(_) | CommitError::Fenced(_)) => return false,
            Err(refused @ CommitError::Refused { .. }) => panic!("{refused}"),
        }
    }
}

//! The embedded log: one SQLite file, for one machine.
//!
//! Topics, records, groups and positions are tables, and a commit is one transaction over them. Several
//! processes may open the file. Members of one process wake each other; the commits of other processes are
//! found by polling. There is no coordinator: see [`rounds`].

mod assign;
mod clock;
mod group;
mod headers;
mod member;
mod operate;
pub(super) mod partitioner;
mod read;
mod retention;
mod rounds;
mod scan;
mod store;
mod topics;
mod wakes;
mod write;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::operate::{GroupMember, Held, Move, Operate, ResetError};
use super::scan::{Scan, Span};
use super::{Log, LogError, Membership, NewTopic, PartitionLag, Session, TopicState};
use crate::record::{Output, Record, TopicPartition};
use store::Store;
use wakes::News;

/// The group whose lag is asked for to learn of bounds; nobody joins it or commits to it.
const NOBODY: &str = "frameline-reader";

/// The embedded log.
#[derive(Clone)]
pub struct SqliteLog {
    store: Arc<Store>,
}

impl SqliteLog {
    /// Opens the log in this file, and makes it where there is none; its folder must exist.
    ///
    /// A file that is damaged, or is no log, is refused with what to do about it, and left as it is.
    pub async fn open(path: &Path) -> Result<Self, LogError> {
        Ok(Self { store: Store::open(path).await? })
    }

    /// Deletes what no topic's settings keep; returns how many records that were. To be called now and then.
    pub async fn enforce_retention(&self) -> Result<u64, LogError> {
        retention::enforce(&self.store).await.map_err(|error| self.store.log_error(&error))
    }

    async fn try_append(&self, outputs: &[Output]) -> Result<(), write::WriteError> {
        let mut transaction = self.store.begin().await?;
        let topics = write::write(&mut transaction, outputs).await?;
        transaction.commit().await?;
        self.store.wakes().tell(&News::Records(&topics));
        Ok(())
    }
}

#[async_trait]
impl Log for SqliteLog {
    async fn join(&self, membership: Membership) -> Result<Session, LogError> {
        let identity = group::join(&self.store, membership).await?;
        Ok(member::start(Arc::clone(&self.store), identity))
    }

    async fn append(&self, outputs: Vec<Output>) -> Result<(), LogError> {
        self.try_append(&outputs).await.map_err(|error| error.into_log_error(&self.store))
    }

    async fn topics(&self) -> Result<Vec<TopicState>, LogError> {
        topics::list(&self.store).await.map_err(|error| self.store.log_error(&error))
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<(), LogError> {
        topics::create(&self.store, topic).await
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<PartitionLag>, LogError> {
        topics::lag(&self.store, group, topics).await
    }

    async fn readable(&self, topics: &[String]) -> Result<Vec<Span>, LogError> {
        // Everything that has an offset was committed.
        let bounds = topics::lag(&self.store, NOBODY, topics).await?;
        Ok(bounds.into_iter().map(|at| Span { partition: at.partition, from: at.low, to: at.high }).collect())
    }

    async fn read(&self, partition: &TopicPartition, offset: i64, limit: usize) -> Result<Vec<Record>, LogError> {
        topics::read(&self.store, partition, offset, limit).await
    }

    async fn scan(&self, spans: Vec<Span>) -> Result<Scan, LogError> {
        scan::start(&self.store, spans).await
    }
}

#[async_trait]
impl Operate for SqliteLog {
    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, LogError> {
        operate::members(&self.store, group).await
    }

    async fn offsets_at(&self, partitions: &[TopicPartition], time_ms: i64) -> Result<Vec<i64>, LogError> {
        operate::offsets_at(&self.store, partitions, time_ms).await
    }

    async fn written_at(&self, places: &[(TopicPartition, i64)]) -> Result<Vec<Option<i64>>, LogError> {
        operate::written_at(&self.store, places).await
    }

    /// None: a transaction of SQLite that is not committed is not there at all.
    async fn held(&self, _: &[String]) -> Result<Vec<Held>, LogError> {
        Ok(Vec::new())
    }

    async fn reset(&self, group: &str, moves: &[Move]) -> Result<(), ResetError> {
        operate::reset(&self.store, group, moves).await
    }

    async fn about(&self) -> Result<String, LogError> {
        operate::about(&self.store).await
    }
}

#[cfg(test)]
mod tests;

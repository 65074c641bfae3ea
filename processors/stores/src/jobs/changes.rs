//! What happens to jobs, told to whoever follows them.

use std::sync::Arc;

use tokio::sync::{OnceCell, broadcast};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::StoreError;

/// So many changes wait for a reader; one that is further behind is told to look at all it follows.
const WAITING: usize = 4_096;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Something to this job.
    Job(Uuid),
    /// Something to any of them: look at those that you follow.
    Any,
}

/// The changes from some moment on. None is missed: where one may have been, [`Change::Any`] says so.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    /// Waits for the next one. What is told is committed. May be dropped while it waits; nothing is missed.
    pub async fn next(&mut self) -> Change {
        match self.0.recv().await {
            Ok(change) => change,
            Err(broadcast::error::RecvError::Lagged(_)) => Change::Any,
            // The store is gone, and with it whoever could tell.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Passes on to all readers of this process what one task hears.
#[derive(Debug, Clone, Default)]
pub(super) struct Hub(Arc<OnceCell<Hearing>>);

#[derive(Debug)]
struct Hearing {
    readers: broadcast::Sender<Change>,
    _task: AbortOnDropHandle<()>,
}

impl Hub {
    /// One more reader. For the first one `begin` makes sure that nothing is missed any more, and gives the work of
    /// the task, which goes on until the store is dropped.
    pub(super) async fn subscribe<W>(
        &self,
        begin: impl Future<Output = Result<W, StoreError>> + Send,
    ) -> Result<Changes, StoreError>
    where
        W: Hear + Send,
    {
        let start = async || {
            let (readers, _) = broadcast::channel(WAITING);
            let task = tokio::spawn(begin.await?.hear(readers.clone()));
            Ok(Hearing { readers, _task: AbortOnDropHandle::new(task) })
        };
        Ok(Changes(self.0.get_or_try_init(start).await?.readers.subscribe()))
    }
}

/// Hears of changes.
pub(super) trait Hear {
    /// Tells them to `readers`, and goes on whatever happens.
    fn hear(self, readers: broadcast::Sender<Change>) -> impl Future<Output = ()> + Send + 'static;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells so many changes of one job, at once.
    struct Told(usize);

    impl Hear for Told {
        async fn hear(self, readers: broadcast::Sender<Change>) {
            // Nobody reads yet while the first reader is being made.
            while readers.receiver_count() == 0 {
                tokio::task::yield_now().await;
            }
            for _ in 0..self.0 {
                let _ = readers.send(Change::Job(Uuid::nil()));
            }
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn every_change_is_told_and_a_reader_that_is_far_behind_is_told_to_look() {
        for (told, first) in [(3, Change::Job(Uuid::nil())), (WAITING + 1, Change::Any)] {
            let hub = Hub::default();
            let mut changes = hub.subscribe(async { Ok(Told(told)) }).await.unwrap();
            while changes.0.len() < told.min(WAITING) {
                tokio::task::yield_now().await;
            }
            assert_eq!(changes.next().await, first);
            assert_eq!(changes.next().await, Change::Job(Uuid::nil()));
        }
    }
}

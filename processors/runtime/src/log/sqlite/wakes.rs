//! Who in this process wants to know what was committed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// What a commit was about.
pub(super) enum News<'a> {
    /// Records came to these topics.
    Records(&'a BTreeSet<i64>),
    /// Members or holdings of this group changed.
    Group(&'a str),
    /// Another process committed something.
    Elsewhere,
}

/// A member that waits for news.
pub(super) struct Listener {
    group: Arc<str>,
    topics: Vec<i64>,
    news: Notify,
}

impl Listener {
    /// Resolves when there were news since it resolved last.
    pub(super) async fn heard(&self) {
        self.news.notified().await;
    }

    fn cares_for(&self, news: &News<'_>) -> bool {
        match news {
            News::Records(topics) => self.topics.iter().any(|topic| topics.contains(topic)),
            News::Group(group) => *self.group == **group,
            News::Elsewhere => true,
        }
    }
}

/// All members of this process that wait. A commit wakes those alone that it is for: to look into the file
/// costs more than most commits do.
#[derive(Default)]
pub(super) struct Wakes(Mutex<Vec<Weak<Listener>>>);

impl Wakes {
    /// Listens until the listener is dropped.
    pub(super) fn listen(&self, group: Arc<str>, topics: Vec<i64>) -> Arc<Listener> {
        let listener = Arc::new(Listener { group, topics, news: Notify::new() });
        self.living(|listeners| listeners.push(Arc::downgrade(&listener)));
        listener
    }

    /// Wakes whom the news are for.
    pub(super) fn tell(&self, news: &News<'_>) {
        self.living(|listeners| {
            for listener in listeners.iter().filter_map(Weak::upgrade).filter(|listener| listener.cares_for(news)) {
                listener.news.notify_one();
            }
        });
    }

    /// Whether nobody listens.
    pub(super) fn is_empty(&self) -> bool {
        self.living(|listeners| listeners.is_empty())
    }

    fn living<T>(&self, act: impl FnOnce(&mut Vec<Weak<Listener>>) -> T) -> T {
        // A list is whole after every single change, whoever panicked.
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        act(&mut listeners)
    }
}

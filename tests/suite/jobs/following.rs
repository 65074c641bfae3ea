//! Whoever follows jobs.

use std::time::Duration;

use frameline_stores::jobs::{Change, Changes, JobState};
use uuid::Uuid;

use super::Side;
use super::entries::{content, decide, ended, job, sent};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is told that may be of this job.
pub(super) async fn hears_of(changes: &mut Changes, job_id: Uuid) {
    let hear_of_it = async {
        loop {
            match changes.next().await {
                Change::Any => return,
                Change::Job(told) if told == job_id => return,
                Change::Job(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, hear_of_it).await.expect("it is told in time");
}

pub(super) async fn every_reader_hears_what_any_handle_does(side: &impl Side) {
    let (here, elsewhere) = (side.store(), side.once_more().await);
    let mut readers = vec![here.changes().await.unwrap(), here.changes().await.unwrap()];
    readers.push(elsewhere.changes().await.unwrap());
    let entry = sent(decide(&here, content(b"/a.svg", "h1")).await);
    for reader in &mut readers {
        hears_of(reader, entry.job_id()).await;
    }
    let mut late = elsewhere.changes().await.unwrap();
    here.fold(&[ended(&entry, 20)]).await.unwrap();
    for reader in readers.iter_mut().chain([&mut late]) {
        hears_of(reader, entry.job_id()).await;
    }
    // A revision that takes the place of another changes that one's job, too.
    let second = sent(decide(&elsewhere, content(b"/a.svg", "h2")).await);
    hears_of(&mut late, second.job_id()).await;
    sent(decide(&elsewhere, content(b"/a.svg", "h3")).await);
    hears_of(&mut late, second.job_id()).await;
}

pub(super) async fn a_change_is_told_when_it_can_be_seen(side: &impl Side) {
    let (here, elsewhere) = (side.store(), side.once_more().await);
    let entry = sent(decide(&here, content(b"/a.svg", "h1")).await);
    let mut changes = elsewhere.changes().await.unwrap();
    let fold = tokio::spawn({
        let (here, entry) = (here.clone(), entry.clone());
        async move { here.fold(&[ended(&entry, 20)]).await }
    });
    let wait = async {
        while job(&elsewhere, &entry).await.state != JobState::Done {
            changes.next().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("who looks at each change sees the end");
    fold.await.unwrap().unwrap();
}

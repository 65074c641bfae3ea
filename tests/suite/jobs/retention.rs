//! Jobs that ended long ago.

use frameline_schemas::{Outcome, Step};
use frameline_stores::jobs::{Decision, JobState, Offer};

use super::Side;
use super::entries::{content, decide, ended, job, sent, told};

pub(super) async fn jobs_that_ended_long_ago_are_removed_with_their_facts_and_files_stay(side: &impl Side) {
    let store = side.store();
    let offers: Vec<Offer> = (0..7).map(|number| content(format!("/{number}").as_bytes(), "h")).collect();
    let entries: Vec<_> = store.offer(&offers).await.unwrap().into_iter().map(sent).collect();
    store.sent(&entries.iter().map(|entry| (entry.file_id, 1)).collect::<Vec<_>>()).await.unwrap();
    // Five ended, the fifth of them lately; one runs, one waits.
    let skipped = told(&entries[0], "identify", Step::File, Outcome::Skipped);
    let lately = ended(&entries[4], 1_000);
    let running = told(&entries[5], "render", Step::Unit, Outcome::Done);
    let others = entries[1..4].iter().map(|entry| ended(entry, 20));
    store.fold(&others.chain([skipped, lately, running]).collect::<Vec<_>>()).await.unwrap();

    assert_eq!(store.remove_ended(20, 100).await.unwrap(), 0, "not before their time");
    assert_eq!(store.remove_ended(21, 3).await.unwrap(), 3, "no more than asked for");
    assert_eq!(store.remove_ended(21, 3).await.unwrap(), 1);
    assert_eq!(store.remove_ended(21, 3).await.unwrap(), 0);
    let left: Vec<JobState> = store.jobs(10).await.unwrap().iter().map(|job| job.state).collect();
    assert_eq!(left.len(), 3);
    assert_eq!(store.job(&entries[0].job_id().to_string()).await.unwrap(), None);
    assert_eq!(store.troubles(entries[0].job_id(), 10).await.unwrap(), []);
    assert_eq!(job(&store, &entries[4]).await.state, JobState::Done);
    assert_eq!(store.file_counts().await.unwrap().files, 7);
    let again = decide(&store, content(b"/1", "h")).await;
    assert!(matches!(again, Decision::Unchanged(_)), "the file is known: {again:?}");
}

pub(super) async fn a_failed_job_of_the_newest_revision_stays_for_the_next_offer(side: &impl Side) {
    let store = side.store();
    let first = sent(decide(&store, content(b"/a.svg", "h1")).await);
    store.sent(&[(first.file_id, 1)]).await.unwrap();
    store.fold(&[told(&first, "identify", Step::File, Outcome::Failed)]).await.unwrap();
    assert_eq!(store.remove_ended(i64::MAX, 100).await.unwrap(), 0);
    let second = sent(decide(&store, content(b"/a.svg", "h1")).await);
    assert_eq!(second.revision, 2, "what failed is taken again");
    assert_eq!(store.remove_ended(i64::MAX, 100).await.unwrap(), 1, "the newest revision is another one now");
    assert_eq!(job(&store, &second).await.state, JobState::Queued);
}

pub(super) async fn a_job_ended_when_the_last_was_told_of_it(side: &impl Side) {
    let store = side.store();
    let entry = sent(decide(&store, content(b"/a.svg", "h1")).await);
    store.fold(&[ended(&entry, 20)]).await.unwrap();
    store.fold(&[ended(&entry, 1_000)]).await.unwrap();
    assert_eq!(store.remove_ended(21, 100).await.unwrap(), 0);
    assert_eq!(job(&store, &entry).await.updated_at_ms, 1_000);
}

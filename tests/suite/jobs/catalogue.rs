//! Files, and which of their revisions was handed over.

use std::collections::BTreeMap;

use frameline_schemas::{Action, Outcome, Step, file_id, job_id};
use frameline_stores::jobs::{Decision, FileEntry, HandOver, JobState, Offer, Offered};

use super::Side;
use super::entries::{content, decide, job, offer, sent, told};

fn refusal(path: &[u8]) -> Offer {
    let [stage, reason_code, reason] = ["discover", "too-large", "it has 300 MB"].map(str::to_owned);
    offer(path, Offered::Refused { stage, reason_code, reason })
}

pub(super) async fn a_new_file_is_revision_1_with_a_queued_job_and_the_same_again_is_unchanged(side: &impl Side) {
    let store = side.store();
    let entry = sent(decide(&store, content(b"/a.svg", "h1")).await);
    assert_eq!((entry.revision, entry.hand_over), (1, HandOver::Pending));
    let record = entry.record();
    assert_eq!(record.head.job_id, job_id(file_id("default", b"/a.svg"), 1));
    assert_eq!((record.action, record.content_hash.as_deref()), (Action::Upsert, Some("h1")));
    assert_eq!(job(&store, &entry).await.state, JobState::Queued);

    store.sent(&[(entry.file_id, 1)]).await.unwrap();
    let Decision::Unchanged(again) = decide(&store, content(b"/a.svg", "h1")).await else { panic!() };
    assert_eq!(again, FileEntry { hand_over: HandOver::Sent, ..entry });
    assert_eq!(store.jobs(10).await.unwrap().len(), 1);
}

pub(super) async fn other_content_is_the_next_revision_and_supersedes_an_unfinished_job_alone(side: &impl Side) {
    let store = side.store();
    let first = sent(decide(&store, content(b"/a.svg", "h1")).await);
    store.fold(&[told(&first, "index", Step::End, Outcome::Done)]).await.unwrap();
    let second = sent(decide(&store, content(b"/a.svg", "h2")).await);
    let third = sent(decide(&store, content(b"/a.svg", "h3")).await);
    assert_eq!([second.revision, third.revision], [2, 3]);

    assert_eq!(job(&store, &first).await.state, JobState::Done);
    let superseded = job(&store, &second).await;
    assert_eq!((superseded.state, superseded.superseded_by), (JobState::Skipped, Some(3)));
    store.fold(&[told(&second, "render", Step::Unit, Outcome::Done)]).await.unwrap();
    assert_eq!(job(&store, &second).await.state, JobState::Skipped);
    let jobs = [first.job_id(), second.job_id(), third.job_id()];
    assert_eq!(store.unfinished(&jobs).await.unwrap(), [third.job_id()]);
}

pub(super) async fn the_same_content_after_a_failed_job_is_another_revision(side: &impl Side) {
    let store = side.store();
    let first = sent(decide(&store, content(b"/a.svg", "h1")).await);
    store.sent(&[(first.file_id, 1)]).await.unwrap();
    store.fold(&[told(&first, "identify", Step::File, Outcome::Failed)]).await.unwrap();
    let second = sent(decide(&store, content(b"/a.svg", "h1")).await);
    assert_eq!(second.revision, 2);
    assert_ne!(second.job_id(), first.job_id());
}

pub(super) async fn a_crash_between_any_two_steps_of_a_hand_over_loses_nothing(side: &impl Side) {
    let store = side.store();
    // Killed after the revision was written, or after its record was appended: the same for the catalogue.
    let entry = sent(decide(&store, content(b"/a.svg", "h1")).await);
    drop(store);

    let store = side.once_more().await;
    assert_eq!(store.pending(i64::MAX, 10).await.unwrap(), std::slice::from_ref(&entry));
    assert_eq!(sent(decide(&store, content(b"/a.svg", "h1")).await), entry, "the next add sends the same revision");
    store.sent(&[(entry.file_id, entry.revision)]).await.unwrap();
    assert_eq!(store.pending(i64::MAX, 10).await.unwrap(), []);
}

pub(super) async fn marking_an_older_revision_sent_does_not_hide_that_a_newer_one_is_not(side: &impl Side) {
    let store = side.store();
    let first = sent(decide(&store, content(b"/a.svg", "h1")).await);
    let second = sent(decide(&store, content(b"/a.svg", "h2")).await);
    store.sent(&[(first.file_id, first.revision)]).await.unwrap();
    assert_eq!(store.pending(i64::MAX, 10).await.unwrap(), [second]);
}

pub(super) async fn a_deletion_is_a_revision_and_there_is_one_of_it(side: &impl Side) {
    let store = side.store();
    assert_eq!(decide(&store, offer(b"/a.svg", Offered::Deleted)).await, Decision::Unknown);
    decide(&store, content(b"/a.svg", "h1")).await;
    let deletion = sent(decide(&store, offer(b"/a.svg", Offered::Deleted)).await);
    assert_eq!((deletion.revision, deletion.record().action), (2, Action::Delete));
    assert_eq!(sent(decide(&store, offer(b"/a.svg", Offered::Deleted)).await), deletion, "still pending");
    store.sent(&[(deletion.file_id, 2)]).await.unwrap();
    assert_eq!(decide(&store, offer(b"/a.svg", Offered::Deleted)).await, Decision::Unknown);
    assert_eq!(sent(decide(&store, content(b"/a.svg", "h1")).await).revision, 3);
}

pub(super) async fn what_is_refused_has_a_failed_job_with_the_reason_and_keeps_it_while_it_is_the_same(
    side: &impl Side,
) {
    let store = side.store();
    let Decision::Refused(entry) = decide(&store, refusal(b"/a.svg")).await else { panic!() };
    let refused = job(&store, &entry).await;
    assert_eq!((refused.state, refused.percent), (JobState::Failed, 100));
    let trouble = refused.trouble.unwrap();
    assert_eq!((trouble.reason_code.as_str(), trouble.reason.as_str()), ("too-large", "it has 300 MB"));
    assert_eq!(store.pending(i64::MAX, 10).await.unwrap(), []);

    assert_eq!(decide(&store, refusal(b"/a.svg")).await, Decision::Refused(entry.clone()));
    let touched = Offer { modified_at_ms: 8, ..refusal(b"/a.svg") };
    let Decision::Refused(next) = decide(&store, touched).await else { panic!() };
    assert_eq!(next.revision, 2);
    assert_eq!(sent(decide(&store, content(b"/a.svg", "h1")).await).revision, 3);
}

pub(super) async fn files_are_found_by_path_and_by_folder_whatever_their_names(side: &impl Side) {
    let store = side.store();
    let paths: [&[u8]; 6] = [b"/a/b.svg", b"/a/b/c\n.svg", b"/a/b/d/\xff.svg", b"/a/b/e.svg", b"/a/b0.svg", b"/a/c"];
    let offers: Vec<Offer> = paths.iter().map(|path| content(path, "h")).collect();
    store.offer(&offers).await.unwrap();
    let deleted = sent(decide(&store, offer(b"/a/b/e.svg", Offered::Deleted)).await);
    let below = store.files_below("default", b"/a/b", None, 10).await.unwrap();
    assert_eq!(below.last(), Some(&deleted), "as long as the log may not know");
    store.sent(&[(deleted.file_id, deleted.revision)]).await.unwrap();

    let found = store.file("default", b"/a/b/d/\xff.svg").await.unwrap().unwrap();
    assert_eq!(found.path, b"/a/b/d/\xff.svg");
    assert_eq!(store.file("other", b"/a/c").await.unwrap(), None);
    for folder in [b"/a/b".as_slice(), b"/a/b/"] {
        let below = store.files_below("default", folder, None, 10).await.unwrap();
        assert_eq!(below.iter().map(|entry| &entry.path).collect::<Vec<_>>(), [paths[1], paths[2]]);
        let rest = store.files_below("default", folder, Some(paths[1]), 10).await.unwrap();
        assert_eq!(rest, &below[1..]);
    }
    let counts = store.file_counts().await.unwrap();
    assert_eq!((counts.files, counts.deleted, counts.pending), (5, 1, 5));
}

pub(super) async fn the_newest_revisions_are_told_of_those_files_that_are_known(side: &impl Side) {
    let store = side.store();
    decide(&store, content(b"/a.svg", "h1")).await;
    let known = sent(decide(&store, content(b"/a.svg", "h2")).await).file_id;
    let unknown = file_id("default", b"/b.svg");
    assert_eq!(store.newest_revisions(&[known, unknown]).await.unwrap(), BTreeMap::from([(known, 2)]));
    assert_eq!(store.newest_revisions(&[]).await.unwrap(), BTreeMap::new());
}

pub(super) async fn paths_are_in_the_order_of_their_bytes_however_long_they_are(side: &impl Side) {
    let store = side.store();
    let mut random = fastrand::Rng::with_seed(7);
    let mut long = |length: usize| -> String { (0..length).map(|_| random.alphanumeric()).collect() };
    // What differs comes late, and case and punctuation count as bytes do.
    let (long, longest) = (long(2_000), long(4_000));
    let mut paths: Vec<Vec<u8>> =
        [&format!("{long}b"), &format!("{long}a"), &format!("{long}B"), &longest, "a-b", "aa", "B"]
            .iter()
            .map(|name| format!("/d/{name}").into_bytes())
            .collect();
    store.offer(&paths.iter().map(|path| content(path, "h")).collect::<Vec<_>>()).await.unwrap();
    paths.sort();
    let (mut found, mut after) = (Vec::new(), None);
    while let Some(next) = store.files_below("default", b"/d", after.as_deref(), 1).await.unwrap().pop() {
        after = Some(next.path.clone());
        found.push(next.path);
    }
    assert!(found == paths, "{} of {}", found.len(), paths.len());
}

pub(super) async fn all_files_are_read_page_by_page(side: &impl Side) {
    let store = side.store();
    let paths: Vec<String> = (0..25).map(|number| format!("/{number}")).collect();
    store.offer(&paths.iter().map(|path| content(path.as_bytes(), "h")).collect::<Vec<_>>()).await.unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.files_after(after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.file_id);
        found.extend(page.into_iter().map(|entry| entry.file_id));
    }
    let mut expected: Vec<_> = paths.iter().map(|path| file_id("default", path.as_bytes())).collect();
    expected.sort();
    assert_eq!(found, expected);
}

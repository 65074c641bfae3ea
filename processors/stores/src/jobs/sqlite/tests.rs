use std::collections::BTreeMap;
use std::fs;

use frameline_schemas::{Action, Head, Outcome, Progress, Step, file_id, job_id, unit_id};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::jobs::{Catalogue, Decision, FileContent, FileEntry, HandOver, Job, JobState, JobStore, Offer, Offered};
use crate::small_disk::SmallDisk;

async fn store() -> (tempfile::TempDir, SqliteJobs) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
    (folder, store)
}

fn offer(path: &[u8], what: Offered) -> Offer {
    Offer {
        tenant: "default".to_owned(),
        path: path.to_vec(),
        name: String::from_utf8_lossy(path).into_owned(),
        size_bytes: 5,
        modified_at_ms: 7,
        discovered_at_ms: 9,
        what,
    }
}

fn content(path: &[u8], hash: &str) -> Offer {
    let uri = format!("blob:files/{hash}");
    offer(path, Offered::Content(FileContent { uri, hash: hash.to_owned() }))
}

fn refusal(path: &[u8]) -> Offer {
    let [stage, reason_code, reason] = ["discover", "too-large", "it has 300 MB"].map(str::to_owned);
    offer(path, Offered::Refused { stage, reason_code, reason })
}

async fn decide(store: &SqliteJobs, offer: Offer) -> Decision {
    store.offer(&[offer]).await.unwrap().pop().unwrap()
}

fn sent(decision: Decision) -> FileEntry {
    let Decision::Send(entry) = decision else { panic!("{decision:?}") };
    entry
}

fn told(entry: &FileEntry, stage: &str, step: Step, outcome: Outcome) -> Progress {
    Progress {
        head: entry.record().head,
        stage: stage.to_owned(),
        step,
        unit_id: (step == Step::Unit).then(|| unit_id(entry.file_id, frameline_schemas::Kind::Frame, 0)),
        outcome,
        reason_code: (outcome != Outcome::Done).then(|| "truncated".to_owned()),
        reason: (outcome != Outcome::Done).then(|| "the picture ends early".to_owned()),
        frames: None,
        passages: None,
        at: 20,
        redrives: 0,
        redriven: false,
    }
}

async fn job(store: &SqliteJobs, entry: &FileEntry) -> Job {
    store.job(&entry.job_id().to_string()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_new_file_is_revision_1_with_a_queued_job_and_the_same_again_is_unchanged() {
    let (_folder, store) = store().await;
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

#[tokio::test]
async fn other_content_is_the_next_revision_and_supersedes_an_unfinished_job_alone() {
    let (_folder, store) = store().await;
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

#[tokio::test]
async fn the_same_content_after_a_failed_job_is_another_revision() {
    let (_folder, store) = store().await;
    let first = sent(decide(&store, content(b"/a.svg", "h1")).await);
    store.sent(&[(first.file_id, 1)]).await.unwrap();
    store.fold(&[told(&first, "identify", Step::File, Outcome::Failed)]).await.unwrap();
    let second = sent(decide(&store, content(b"/a.svg", "h1")).await);
    assert_eq!(second.revision, 2);
    assert_ne!(second.job_id(), first.job_id());
}

#[tokio::test]
async fn a_crash_between_any_two_steps_of_a_hand_over_loses_nothing() {
    let (folder, store) = store().await;
    // Killed after the revision was written, or after its record was appended: the same for the catalogue.
    let entry = sent(decide(&store, content(b"/a.svg", "h1")).await);
    drop(store);

    let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
    assert_eq!(store.pending(i64::MAX, 10).await.unwrap(), std::slice::from_ref(&entry));
    assert_eq!(sent(decide(&store, content(b"/a.svg", "h1")).await), entry, "the next add sends the same revision");
    store.sent(&[(entry.file_id, entry.revision)]).await.unwrap();
    assert_eq!(store.pending(i64::MAX, 10).await.unwrap(), []);
}

#[tokio::test]
async fn marking_an_older_revision_sent_does_not_hide_that_a_newer_one_is_not() {
    let (_folder, store) = store().await;
    let first = sent(decide(&store, content(b"/a.svg", "h1")).await);
    let second = sent(decide(&store, content(b"/a.svg", "h2")).await);
    store.sent(&[(first.file_id, first.revision)]).await.unwrap();
    assert_eq!(store.pending(i64::MAX, 10).await.unwrap(), [second]);
}

#[tokio::test]
async fn a_deletion_is_a_revision_and_there_is_one_of_it() {
    let (_folder, store) = store().await;
    assert_eq!(decide(&store, offer(b"/a.svg", Offered::Deleted)).await, Decision::Unknown);
    decide(&store, content(b"/a.svg", "h1")).await;
    let deletion = sent(decide(&store, offer(b"/a.svg", Offered::Deleted)).await);
    assert_eq!((deletion.revision, deletion.record().action), (2, Action::Delete));
    assert_eq!(sent(decide(&store, offer(b"/a.svg", Offered::Deleted)).await), deletion, "still pending");
    store.sent(&[(deletion.file_id, 2)]).await.unwrap();
    assert_eq!(decide(&store, offer(b"/a.svg", Offered::Deleted)).await, Decision::Unknown);
    assert_eq!(sent(decide(&store, content(b"/a.svg", "h1")).await).revision, 3);
}

#[tokio::test]
async fn what_is_refused_has_a_failed_job_with_the_reason_and_keeps_it_while_it_is_the_same() {
    let (_folder, store) = store().await;
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

#[tokio::test]
async fn files_are_found_by_path_and_by_folder_whatever_their_names() {
    let (_folder, store) = store().await;
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

#[tokio::test]
async fn a_job_tells_its_totals_its_stages_and_why_it_failed() {
    let (_folder, store) = store().await;
    let entry = sent(decide(&store, content(b"/a.svg", "h1")).await);
    let totals = Progress { frames: Some(1), passages: Some(0), ..told(&entry, "identify", Step::File, Outcome::Done) };
    let skip = Progress { unit_id: Some(Uuid::nil()), ..told(&entry, "render", Step::Unit, Outcome::Skipped) };
    let progress = [
        told(&entry, "identify", Step::File, Outcome::Done),
        totals,
        told(&entry, "render", Step::Unit, Outcome::Failed),
        skip,
    ];
    store.fold(&progress).await.unwrap();
    assert_eq!(job(&store, &entry).await.state, JobState::Running);
    store.fold(&[told(&entry, "index", Step::End, Outcome::Done)]).await.unwrap();

    let failed = job(&store, &entry).await;
    assert_eq!((failed.state, failed.frames, failed.passages), (JobState::Failed, Some(1), Some(0)));
    assert_eq!((failed.created_at_ms, failed.updated_at_ms), (9, 20));
    assert_eq!((failed.stages["render"].failed, failed.stages["render"].skipped), (1, 1));
    assert_eq!(failed.trouble.unwrap().reason, "the picture ends early");
    let troubles = store.troubles(entry.job_id(), 10).await.unwrap();
    assert_eq!(troubles.iter().map(|trouble| trouble.outcome).collect::<Vec<_>>(), [Outcome::Failed, Outcome::Skipped]);
    assert_eq!(store.job_counts().await.unwrap(), BTreeMap::from([(JobState::Failed, 1)]));
}

#[tokio::test]
async fn jobs_are_listed_newest_first_and_found_by_the_beginning_of_their_id() {
    let (_folder, store) = store().await;
    let mut entries = Vec::new();
    for number in 0..40u8 {
        let offer = content(&[b'/', number], "h");
        entries.push(sent(decide(&store, Offer { discovered_at_ms: i64::from(number), ..offer }).await));
    }
    let newest: Vec<Uuid> = store.jobs(3).await.unwrap().iter().map(|job| job.job_id).collect();
    assert_eq!(newest, [39, 38, 37].map(|number: usize| entries[number].job_id()));

    let id = entries[0].job_id();
    assert_eq!(store.job(&id.to_string().to_uppercase()[..13]).await.unwrap().unwrap().job_id, id);
    // Forty ids begin with sixteen letters.
    let answers = futures::future::join_all("0123456789abcdef".chars().map(|letter| {
        let store = store.clone();
        async move { store.job(&letter.to_string()).await }
    }));
    let ambiguous = |answer: &Result<_, StoreError>| matches!(answer, Err(StoreError::Ambiguous { .. }));
    assert!(answers.await.iter().any(ambiguous));
    for unknown in ["", "x", "%", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(store.job(unknown).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_failure_that_is_taken_back_is_no_trouble_any_more() {
    let (_folder, store) = store().await;
    let entry = sent(decide(&store, content(b"/a.svg", "h1")).await);
    let failed = told(&entry, "identify", Step::File, Outcome::Failed);
    let redriven = Progress { redrives: 1, redriven: true, ..failed.clone() };
    store.fold(std::slice::from_ref(&failed)).await.unwrap();
    assert_eq!(job(&store, &entry).await.state, JobState::Failed);
    for _ in 0..2 {
        store.fold(&[redriven.clone(), failed.clone()]).await.unwrap();
        assert_eq!(job(&store, &entry).await.state, JobState::Running);
        assert_eq!(store.troubles(entry.job_id(), 10).await.unwrap(), []);
    }
    store.fold(&[Progress { redrives: 1, ..failed }]).await.unwrap();
    assert_eq!(job(&store, &entry).await.state, JobState::Failed);
}

#[tokio::test]
async fn the_newest_revisions_are_told_of_those_files_that_are_known() {
    let (_folder, store) = store().await;
    decide(&store, content(b"/a.svg", "h1")).await;
    let known = sent(decide(&store, content(b"/a.svg", "h2")).await).file_id;
    let unknown = file_id("default", b"/b.svg");
    assert_eq!(store.newest_revisions(&[known, unknown]).await.unwrap(), BTreeMap::from([(known, 2)]));
    assert_eq!(store.newest_revisions(&[]).await.unwrap(), BTreeMap::new());
}

#[tokio::test]
async fn progress_of_a_job_that_was_never_offered_here_makes_the_job() {
    let (_folder, store) = store().await;
    let file_id = file_id("default", b"/elsewhere.svg");
    let entry = |revision| {
        let head = Head {
            tenant: "default".to_owned(),
            file_id,
            revision,
            job_id: job_id(file_id, revision),
            file_name: "/elsewhere.svg".to_owned(),
        };
        Progress {
            head,
            stage: "render".to_owned(),
            step: Step::End,
            unit_id: None,
            outcome: Outcome::Done,
            reason_code: None,
            reason: None,
            frames: None,
            passages: None,
            at: 3,
            redrives: 0,
            redriven: false,
        }
    };
    store.fold(&[entry(2)]).await.unwrap();
    store.fold(&[entry(1)]).await.unwrap();
    let states =
        store.jobs(2).await.unwrap().into_iter().map(|job| (job.revision, job.state)).collect::<BTreeMap<_, _>>();
    assert_eq!(states, BTreeMap::from([(1, JobState::Skipped), (2, JobState::Running)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn folding_in_any_order_in_any_pieces_with_repeats_gives_the_same_jobs(
        choices in prop::collection::vec((0..3usize, 0..5usize, 0..3usize, 0..3usize, 0..3i64, 0..6i32), 1..30),
        seed in any::<prop::sample::Index>(),
        piece in 1..9usize,
    ) {
        let entries: Vec<FileEntry> = (0..3u8).map(|number| FileEntry {
            file_id: file_id("default", &[number]),
            tenant: "default".to_owned(),
            path: vec![number],
            name: number.to_string(),
            revision: 1,
            content: None,
            size_bytes: 0,
            modified_at_ms: 0,
            discovered_at_ms: 0,
            hand_over: HandOver::Sent,
            is_deleted: false,
        }).collect();
        let progress: Vec<Progress> = choices.iter().map(|(entry, stage, step, outcome, at, turn)| {
            let stage = ["identify", "render", "validate", "embed", "index"][*stage];
            let step = [Step::File, Step::Unit, Step::End][*step];
            let outcome = [Outcome::Done, Outcome::Skipped, Outcome::Failed][*outcome];
            let (redrives, redriven) = (turn / 2, turn % 2 == 1);
            Progress { at: *at, redrives, redriven, ..told(&entries[*entry], stage, step, outcome) }
        }).collect();
        let mut other: Vec<Progress> = progress.iter().rev().chain(&progress).cloned().collect();
        let turn = seed.index(other.len());
        other.rotate_left(turn);

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (at_once, in_pieces) = runtime.block_on(async {
            let (_folder, at_once) = store().await;
            at_once.fold(&progress).await.unwrap();
            let (_folder, in_pieces) = store().await;
            for piece in other.chunks(piece) {
                in_pieces.fold(piece).await.unwrap();
            }
            (everything(&at_once).await, everything(&in_pieces).await)
        });
        prop_assert_eq!(at_once, in_pieces);
    }
}

/// All jobs but for when they came in, with their troubles.
async fn everything(store: &SqliteJobs) -> Vec<(Job, Vec<crate::jobs::Trouble>)> {
    let mut all = Vec::new();
    for job in store.jobs(100).await.unwrap() {
        let troubles = store.troubles(job.job_id, 100).await.unwrap();
        all.push((Job { created_at_ms: 0, ..job }, troubles));
    }
    all.sort_by_key(|(job, _)| job.job_id);
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_handles_create_one_file_at_the_same_time() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.db");
        let opening = (0..8).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteJobs::open(&path).await.map(drop) })
        });
        for opened in opening.collect::<Vec<_>>() {
            opened.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_handles_open_and_write_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let writers = (0..6u8).map(|writer| {
        let path = path.clone();
        tokio::spawn(async move {
            let store = SqliteJobs::open(&path).await.unwrap();
            let mut revisions = Vec::new();
            for number in 0..20 {
                let decision = decide(&store, content(b"/a.svg", &format!("{writer} {number}"))).await;
                revisions.push(sent(decision).revision);
            }
            revisions
        })
    });
    let mut revisions = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        revisions.extend(writer.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=120).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_damaged_file_is_told_from_one_that_cannot_be_used_just_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    fs::write(&path, vec![b'x'; 8_192]).unwrap();
    let error = SqliteJobs::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");

    let error = SqliteJobs::open(&folder.path().join("missing/jobs.db")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_file_whose_pages_were_overwritten_is_damaged() {
    let (folder, store) = store().await;
    for number in 0..200u8 {
        decide(&store, content(&[b'/', number], "h")).await;
    }
    store.close().await;
    let path = folder.path().join("jobs.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4_096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let store = SqliteJobs::open(&path).await.unwrap();
    let error = store.jobs(10).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_left_alone() {
    let (folder, store) = store().await;
    sqlx::raw_sql("pragma user_version = 99").execute(&store.pool).await.unwrap();
    let error = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_what_was_written_stays() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: a_full_disk_is_unavailable_and_what_was_written_stays: this user may not mount a tmpfs");
        return;
    };
    let store = SqliteJobs::open(&disk.path().join("jobs.db")).await.unwrap();
    let first = sent(decide(&store, content(b"/a.svg", "h1")).await);
    let mut number = 0;
    let error = loop {
        number += 1;
        let long_name = Offer { name: "x".repeat(50_000), ..content(format!("/{number}").as_bytes(), "h") };
        if let Err(error) = store.offer(&[long_name]).await {
            break error;
        }
        assert!(number < 100, "1 MiB has been written five times over");
    };
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("its disk is full; free some space"), "{error}");
    assert_eq!(store.file("default", b"/a.svg").await.unwrap(), Some(first));
}

//! What jobs come to.

use std::collections::BTreeMap;

use frameline_schemas::{Head, Outcome, Progress, Step, file_id, job_id};
use frameline_stores::jobs::{FileEntry, HandOver, Job, JobState, Offer, StoreError, Trouble};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use super::Side;
use super::entries::{Store, content, decide, ended, job, sent, told};

pub(super) async fn a_job_tells_its_totals_its_stages_and_why_it_failed(side: &impl Side) {
    let store = side.store();
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
    assert_eq!((store.overdue(9).await.unwrap(), store.overdue(10).await.unwrap()), (0, 1));
    store.fold(&[told(&entry, "index", Step::End, Outcome::Done)]).await.unwrap();
    assert_eq!(store.overdue(10).await.unwrap(), 0, "it has ended");

    let failed = job(&store, &entry).await;
    assert_eq!((failed.state, failed.frames, failed.passages), (JobState::Failed, Some(1), Some(0)));
    assert_eq!((failed.created_at_ms, failed.updated_at_ms), (9, 20));
    assert_eq!((failed.stages["render"].failed, failed.stages["render"].skipped), (1, 1));
    assert_eq!(failed.trouble.unwrap().reason, "the picture ends early");
    let troubles = store.troubles(entry.job_id(), 10).await.unwrap();
    assert_eq!(troubles.iter().map(|trouble| trouble.outcome).collect::<Vec<_>>(), [Outcome::Failed, Outcome::Skipped]);
    assert_eq!(store.job_counts().await.unwrap(), BTreeMap::from([(JobState::Failed, 1)]));
}

pub(super) async fn jobs_are_listed_newest_first_and_found_by_the_beginning_of_their_id(side: &impl Side) {
    let store = side.store();
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

pub(super) async fn a_failure_that_is_taken_back_is_no_trouble_any_more(side: &impl Side) {
    let store = side.store();
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

pub(super) async fn progress_of_a_job_that_was_never_offered_here_makes_the_job(side: &impl Side) {
    let store = side.store();
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

pub(super) async fn more_jobs_than_a_statement_takes_are_folded_and_listed(side: &impl Side) {
    let store = side.store();
    let offers: Vec<Offer> = (0..1_200).map(|number| content(format!("/{number}").as_bytes(), "h")).collect();
    let entries: Vec<FileEntry> = store.offer(&offers).await.unwrap().into_iter().map(sent).collect();
    store.sent(&entries.iter().map(|entry| (entry.file_id, entry.revision)).collect::<Vec<_>>()).await.unwrap();
    store.fold(&entries.iter().map(|entry| ended(entry, 20)).collect::<Vec<_>>()).await.unwrap();
    let jobs = store.jobs(2_000).await.unwrap();
    assert_eq!(jobs.iter().filter(|job| job.state == JobState::Done).count(), 1_200);
    assert_eq!(store.file_counts().await.unwrap().pending, 0);
    let ids: Vec<Uuid> = entries.iter().map(FileEntry::job_id).collect();
    assert!(store.unfinished(&ids).await.unwrap().is_empty());
}

pub(super) async fn any_text_is_kept_and_of_two_the_one_with_the_greater_bytes_wins(side: &impl Side) {
    let store = side.store();
    let entry = sent(decide(&store, content("/ünïcode 🦦.svg".as_bytes(), "h1")).await);
    let failed = |reason: &str| {
        let failed = told(&entry, "identify", Step::File, Outcome::Failed);
        Progress { reason: Some(reason.to_owned()), ..failed }
    };
    // By their bytes; as English has it, the first is the greatest.
    for reason in ["a-b", "aa", "B", "`'\"; drop table jobs"] {
        store.fold(&[failed(reason)]).await.unwrap();
    }
    assert_eq!(job(&store, &entry).await.trouble.unwrap().reason, "aa");
    // No text in PostgreSQL has a zero byte.
    store.fold(&[failed("z\0🦦")]).await.unwrap();
    let reason = job(&store, &entry).await.trouble.unwrap().reason;
    assert!(reason.starts_with('z') && reason.ends_with('🦦'), "{reason:?}");
    assert_eq!(job(&store, &entry).await.name, "/ünïcode 🦦.svg");
}

/// Of one of three jobs.
fn any_progress() -> impl Strategy<Value = Progress> {
    (0..3usize, 0..5usize, 0..3usize, 0..3usize, 0..3i64, 0..6i32).prop_map(
        |(entry, stage, step, outcome, at, turn)| {
            let stage = ["identify", "render", "validate", "embed", "index"][stage];
            let step = [Step::File, Step::Unit, Step::End][step];
            let outcome = [Outcome::Done, Outcome::Skipped, Outcome::Failed][outcome];
            let (redrives, redriven) = (turn / 2, turn % 2 == 1);
            Progress { at, redrives, redriven, ..told(&file(entry), stage, step, outcome) }
        },
    )
}

fn file(number: usize) -> FileEntry {
    let path = vec![u8::try_from(number).unwrap()];
    FileEntry {
        file_id: file_id("default", &path),
        tenant: "default".to_owned(),
        path,
        name: number.to_string(),
        revision: 1,
        content: None,
        size_bytes: 0,
        modified_at_ms: 0,
        discovered_at_ms: 0,
        hand_over: HandOver::Sent,
        is_deleted: false,
    }
}

pub(super) fn any_order_gives_the_same_jobs<S: Side>(cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, ..Config::default() });
    let input = (prop::collection::vec(any_progress(), 1..30), any::<prop::sample::Index>(), 1..9usize);
    let run = |(progress, turn, piece): (Vec<Progress>, prop::sample::Index, usize)| {
        let mut other: Vec<Progress> = progress.iter().rev().chain(&progress).cloned().collect();
        let turn = turn.index(other.len());
        other.rotate_left(turn);
        let (at_once, in_pieces) = runtime.block_on(async {
            let (at_once, in_pieces) = (S::open().await, S::open().await);
            at_once.store().fold(&progress).await.unwrap();
            for piece in other.chunks(piece) {
                in_pieces.store().fold(piece).await.unwrap();
            }
            (everything(&at_once.store()).await, everything(&in_pieces.store()).await)
        });
        prop_assert_eq!(at_once, in_pieces);
        Ok(())
    };
    runner.run(&input, run).unwrap();
}

/// All jobs but for when they came in, with their troubles.
pub(super) async fn everything(store: &Store) -> Vec<(Job, Vec<Trouble>)> {
    let mut all = Vec::new();
    for job in store.jobs(1_000).await.unwrap() {
        let troubles = store.troubles(job.job_id, 100).await.unwrap();
        all.push((Job { created_at_ms: 0, ..job }, troubles));
    }
    all.sort_by_key(|(job, _)| job.job_id);
    all
}

//! Several that have the same store open, as processes beside each other have.

use frameline_schemas::{Outcome, Progress, Step};
use frameline_stores::jobs::{FileEntry, Offer};

use super::Side;
use super::entries::{Store, content, decide, ended, sent, told};
use super::store::everything;

const HANDLES: usize = 4;

async fn handles(side: &impl Side) -> Vec<Store> {
    let mut handles = Vec::new();
    for _ in 0..HANDLES {
        handles.push(side.once_more().await);
    }
    handles
}

pub(super) async fn several_handles_number_the_revisions_of_one_file_without_a_gap(side: &impl Side) {
    let writers = handles(side).await.into_iter().enumerate().map(|(writer, store)| {
        tokio::spawn(async move {
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
    assert_eq!(revisions, (1..=80).collect::<Vec<i64>>());
}

/// A mixture of them that differs from handle to handle and from round to round.
fn mixed<T: Clone>(items: &[T], seed: usize) -> Vec<T> {
    let mut items = items.to_vec();
    fastrand::Rng::with_seed(seed as u64).shuffle(&mut items);
    items
}

pub(super) async fn files_that_are_offered_in_any_order_by_several_block_nobody(side: &impl Side) {
    let paths: Vec<String> = (0..24).map(|number| format!("/{number}")).collect();
    let writers = handles(side).await.into_iter().enumerate().map(|(writer, store)| {
        let paths = paths.clone();
        tokio::spawn(async move {
            for round in 0..12 {
                let paths = mixed(&paths, 100 * writer + round);
                let hash = format!("{writer} {round}");
                let offers: Vec<Offer> = paths.iter().map(|path| content(path.as_bytes(), &hash)).collect();
                let entries: Vec<FileEntry> = store.offer(&offers).await.unwrap().into_iter().map(sent).collect();
                let revisions: Vec<_> = entries.iter().map(|entry| (entry.file_id, entry.revision)).collect();
                store.sent(&mixed(&revisions, round)).await.unwrap();
                store.fold(&entries.iter().map(|entry| ended(entry, 20)).collect::<Vec<_>>()).await.unwrap();
                store.remove_ended(21, 5).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let files = side.store().files_after(None, 100).await.unwrap();
    assert_eq!(files.iter().map(|entry| entry.revision).collect::<Vec<_>>(), vec![48; 24]);
}

pub(super) async fn folds_of_the_same_jobs_in_any_order_by_several_lose_nothing(side: &impl Side) {
    let store = side.store();
    let offers: Vec<Offer> = (0..20).map(|number| content(format!("/{number}").as_bytes(), "h")).collect();
    let entries: Vec<FileEntry> = store.offer(&offers).await.unwrap().into_iter().map(sent).collect();
    let of = |entry: &FileEntry| {
        let unit = |stage| told(entry, stage, Step::Unit, Outcome::Done);
        let totals =
            Progress { frames: Some(1), passages: Some(0), ..told(entry, "identify", Step::File, Outcome::Done) };
        vec![totals, unit("render"), unit("validate"), unit("embed"), unit("index"), ended(entry, 30)]
    };
    let progress: Vec<Progress> = entries.iter().flat_map(of).collect();
    let writers = handles(side).await.into_iter().enumerate().map(|(writer, store)| {
        let progress = progress.clone();
        tokio::spawn(async move {
            for piece in mixed(&progress, writer).chunks(7) {
                store.fold(piece).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let calm = side.once_more().await;
    let shared = everything(&calm).await;
    calm.fold(&progress).await.unwrap();
    assert_eq!(shared, everything(&calm).await, "one more fold of everything changes nothing");
    assert!(shared.iter().all(|(job, _)| job.percent == 100 && job.frames == Some(1)));
}

//! The revision rules: replays and races end in the same state.

use std::collections::BTreeMap;

use frameline_schemas::{Embedding, Vector};
use frameline_stores::vectors::{Counts, Floor, Stored, Vectors, VectorsError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use crate::vectors::Side;
use crate::vectors::points::{at_revision, by_words, frame, with_text};

fn stored<'a>(points: impl IntoIterator<Item = &'a Embedding>) -> Vec<Stored> {
    let mut all: Vec<Stored> = points.into_iter().map(frameline_stores::vectors::stored).collect();
    all.sort();
    all
}

pub(crate) async fn the_same_again_changes_nothing(vectors: &dyn Vectors) {
    let points = [frame("a.svg", 0, "Cart", "Pay now"), with_text(frame("a.svg", 1, "Map", "Zoom"), 3.0)];
    for _ in 0..3 {
        vectors.upsert(&points).await.unwrap();
        assert_eq!(vectors.finish(&[(points[0].head.file_id, Floor::after(1, false))]).await.unwrap(), 0);
        assert_eq!(vectors.dump().await.unwrap(), stored(&points));
        assert_eq!(vectors.search(&by_words("cart")).await.unwrap().len(), 1);
    }
}

pub(crate) async fn a_newer_revision_replaces_an_older_one_and_never_the_other_way_round(vectors: &dyn Vectors) {
    let old = frame("a.svg", 0, "Old name", "");
    let new = at_revision(with_text(frame("a.svg", 0, "New name", ""), 0.0), 2);
    for point in [&old, &new, &old] {
        vectors.upsert(std::slice::from_ref(point)).await.unwrap();
    }
    assert_eq!(vectors.dump().await.unwrap(), stored([&new]));
    // The same revision again is a repair, and counts.
    let repaired = at_revision(frame("a.svg", 0, "Newer name", ""), 2);
    vectors.upsert(&[repaired.clone(), old]).await.unwrap();
    assert_eq!(vectors.dump().await.unwrap(), stored([&repaired]));
}

pub(crate) async fn units_that_a_new_revision_lacks_are_removed_at_its_end(vectors: &dyn Vectors) {
    let first = [0, 1, 2].map(|ordinal| frame("a.svg", ordinal, "Frame", ""));
    let other = frame("b.svg", 0, "Frame", "");
    let second = at_revision(first[1].clone(), 2);
    vectors.upsert(&first).await.unwrap();
    vectors.upsert(&[other.clone(), second.clone()]).await.unwrap();
    assert_eq!(vectors.finish(&[(second.head.file_id, Floor::after(2, false))]).await.unwrap(), 2);
    assert_eq!(vectors.dump().await.unwrap(), stored([&second, &other]));
    vectors.upsert(&first).await.unwrap();
    assert_eq!(vectors.dump().await.unwrap(), stored([&second, &other]));
}

pub(crate) async fn units_of_a_deleted_file_never_come_back_until_it_is_added_again(vectors: &dyn Vectors) {
    let point = frame("a.svg", 0, "Frame", "");
    let file_id = point.head.file_id;
    vectors.upsert(std::slice::from_ref(&point)).await.unwrap();
    assert_eq!(vectors.finish(&[(file_id, Floor::after(2, true))]).await.unwrap(), 1);
    let late = [at_revision(point.clone(), 2), point.clone()];
    vectors.upsert(&late).await.unwrap();
    assert_eq!(vectors.finish(&[(file_id, Floor::after(1, false))]).await.unwrap(), 0);
    vectors.upsert(&late).await.unwrap();
    assert_eq!(vectors.dump().await.unwrap(), []);
    let again = at_revision(point, 3);
    vectors.upsert(std::slice::from_ref(&again)).await.unwrap();
    assert_eq!(vectors.dump().await.unwrap(), stored([&again]));
}

pub(crate) async fn revisions_in_flight_at_the_same_time_end_in_the_newest(vectors: &dyn Vectors) {
    let write = async |revision: i64| {
        let points =
            [0, 1].map(|ordinal| at_revision(frame("a.svg", ordinal, &format!("Frame {revision}"), ""), revision));
        vectors.upsert(&points).await.unwrap();
        vectors.finish(&[(points[0].head.file_id, Floor::after(revision, false))]).await.unwrap();
    };
    let revisions: Vec<i64> = (1..=8).rev().collect();
    futures::future::join_all(revisions.into_iter().map(write)).await;
    let newest = [0, 1].map(|ordinal| at_revision(frame("a.svg", ordinal, "Frame 8", ""), 8));
    assert_eq!(vectors.dump().await.unwrap(), stored(&newest));
}

pub(crate) async fn a_batch_is_written_whole_or_not_at_all(vectors: &dyn Vectors) {
    let mut odd = frame("b.svg", 0, "Odd", "");
    odd.text_vector = Some(Vector { model: "other".to_owned(), values: vec![1.0; 3] });
    let error = vectors.upsert(&[frame("a.svg", 0, "Even", ""), odd]).await.unwrap_err();
    assert!(matches!(&error, VectorsError::Refused(text) if text.contains("by other has 3 dimensions")), "{error}");
    assert_eq!(vectors.dump().await.unwrap(), []);
}

pub(crate) async fn counts_are_of_what_is_there(vectors: &dyn Vectors) {
    assert_eq!(vectors.counts().await.unwrap(), Counts::default());
    let mut passage = frame("b.md", 0, "Heading", "Words");
    passage.content.kind = frameline_schemas::Kind::Passage;
    let points = [frame("a.svg", 0, "Cart", ""), frame("a.svg", 1, "Map", ""), passage.clone()];
    vectors.upsert(&points).await.unwrap();
    assert_eq!(vectors.counts().await.unwrap(), Counts { frames: 2, passages: 1 });
    vectors.finish(&[(passage.head.file_id, Floor::after(2, true))]).await.unwrap();
    assert_eq!(vectors.counts().await.unwrap(), Counts { frames: 2, passages: 0 });
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(Vec<Embedding>),
    Finish(Uuid, Floor),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let point = |(file, ordinal, revision): (&str, i32, i64)| {
        at_revision(frame(file, ordinal, &format!("{file} {ordinal} of {revision}"), "words"), revision)
    };
    let file = || prop::sample::select(vec!["a.svg", "b.svg"]);
    let point = move || (file(), 0..3i32, 1..5i64).prop_map(point);
    let upsert = prop::collection::vec(point(), 1..4).prop_map(Step::Upsert);
    let finish = (file(), 1..5i64, prop::bool::weighted(0.3)).prop_map(|(file, revision, deleted)| {
        Step::Finish(frame(file, 0, "", "").head.file_id, Floor::after(revision, deleted))
    });
    prop::collection::vec(prop_oneof![3 => upsert, 1 => finish], 1..16).prop_shuffle()
}

/// The state that the steps lead to, in whatever order: of each unit the newest, unless it is below the floor.
fn newest(steps: &[Step]) -> Vec<Stored> {
    let mut floors: BTreeMap<Uuid, Floor> = BTreeMap::new();
    let mut units: BTreeMap<Uuid, Embedding> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Finish(file_id, floor) => {
                let highest = floors.entry(*file_id).or_insert(*floor);
                *highest = (*highest).max(*floor);
            }
            Step::Upsert(points) => {
                for point in points {
                    let is_newer = |old: &Embedding| point.head.revision >= old.head.revision;
                    if units.get(&point.unit_id).is_none_or(is_newer) {
                        units.insert(point.unit_id, point.clone());
                    }
                }
            }
        }
    }
    let is_kept = |point: &&Embedding| {
        floors.get(&point.head.file_id).is_none_or(|floor| point.head.revision >= floor.revision())
    };
    stored(units.values().filter(is_kept))
}

pub(crate) fn any_order_leads_to_the_newest_state<S: Side>(cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, ..Config::default() });
    let run = |steps: Vec<Step>| {
        let dump = runtime.block_on(async {
            let side = S::open().await;
            for step in &steps {
                match step {
                    Step::Upsert(points) => side.vectors().upsert(points).await.unwrap(),
                    Step::Finish(file_id, floor) => _ = side.vectors().finish(&[(*file_id, *floor)]).await.unwrap(),
                }
            }
            let dump = side.vectors().dump().await.unwrap();
            side.close().await;
            dump
        });
        prop_assert_eq!(dump, newest(&steps));
        Ok(())
    };
    runner.run(&steps(), run).unwrap();
}

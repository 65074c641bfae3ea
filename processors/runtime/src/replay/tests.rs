use frameline_schemas::{Manifest, file_id, job_id};
use proptest::prelude::*;

use super::*;

fn head(file: u8, revision: i64) -> Head {
    let file_id = file_id("default", &[file]);
    let job_id = job_id(file_id, revision);
    Head { tenant: "default".to_owned(), file_id, revision, job_id, file_name: format!("{file}.svg") }
}

fn record(head: Head, offset: i64, timestamp_ms: i64) -> Record {
    let file_id = head.file_id;
    let manifest =
        Manifest { head, format: "svg".to_owned(), deleted: false, frames: 1, passages: 0, discovered_at: 1 };
    let Output { key, value, mut headers, .. } = Output::of("frames", file_id, &manifest).unwrap();
    headers.push(headers::ORIGIN, headers::LIVE);
    headers.push(headers::TRACEPARENT, "00-a-b-01");
    Record { offset, timestamp_ms, key, value, headers }
}

/// The records of a partition, the newest revision of each of three files.
fn any_records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec((0..3u8, 1..4i64, 0..20i64), 1..30).prop_map(|records| {
        let place = |((file, revision, wait), offset)| record(head(file, revision), offset, 10 * offset + wait);
        records.into_iter().zip(0..).map(place).collect()
    })
}

/// Plans, and gives what would be put back.
fn replay(selection: &Selection, records: &[Record], newest: i64) -> (Plan, Vec<Record>) {
    let partition = TopicPartition::new("frames", 4);
    let (mut plan, mut back) = (Plan::default(), Vec::new());
    for record in records {
        let verdict = selection.judge(record, &SchemaIds::of_files(), Some(newest));
        plan.add(&partition, record.offset, &verdict);
        if matches!(verdict, Verdict::Replay(_)) {
            let Output { key, value, headers, .. } = copy_of(record, &partition);
            back.push(Record {
                offset: records.len() as i64 + back.len() as i64,
                timestamp_ms: 900,
                key,
                value,
                headers,
            });
        }
    }
    (plan, back)
}

proptest! {
    #[test]
    fn asked_again_it_puts_the_same_back_in_the_same_order(
        records in any_records(),
        file in prop::option::of(0..3u8),
        newest in 1..4i64,
    ) {
        let selection = Selection { file: file.map(|file| head(file, 1).file_id), ..Selection::default() };
        let (plan, back) = replay(&selection, &records, newest);
        let (again, back_again) = replay(&selection, &[records.clone(), back.clone()].concat(), newest);
        let bytes = |back: &[Record]| back.iter().map(|record| record.value.clone()).collect::<Vec<_>>();
        prop_assert_eq!(bytes(&back), bytes(&back_again));
        prop_assert_eq!((again.records, again.copies), (plan.records, plan.records));
        let meant = |record: &&Record| {
            let Message::Manifest(manifest) = Message::decode(record.value.as_deref().unwrap()).unwrap() else { panic!() };
            manifest.head.revision >= newest && selection.file.is_none_or(|file| manifest.head.file_id == file)
        };
        let expected: Vec<_> = records.iter().filter(meant).map(|record| record.value.clone()).collect();
        prop_assert_eq!(bytes(&back), expected);
    }

    #[test]
    fn a_plan_adds_up(records in any_records(), newest in 1..4i64, since in 0..200i64, length in 0..200i64) {
        let selection = Selection { since_ms: Some(since), until_ms: Some(since + length), ..Selection::default() };
        let (plan, back) = replay(&selection, &records, newest);
        prop_assert_eq!(plan.records, back.len() as u64);
        prop_assert_eq!(plan.files.named().values().map(|share| share.records).sum::<u64>(), plan.records);
        prop_assert_eq!(plan.partitions.values().map(|extent| extent.records).sum::<u64>(), plan.records);
        let in_time = records.iter().filter(|record| (since..since + length).contains(&record.timestamp_ms)).count();
        prop_assert_eq!(plan.records + plan.superseded, in_time as u64);
    }
}

proptest! {
    #[test]
    fn of_more_files_than_are_named_each_named_one_has_all_its_records(
        order in Just((0..3 * Files::NAMED as u64).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut files = Files::default();
        for number in &order {
            let file_id = Uuid::from_u128(u128::from(number / 2));
            files.add(&Head { file_id, ..head(1, 1) });
        }
        prop_assert_eq!(files.count(), order.len() / 2);
        let named = files.named();
        let ids: Vec<u128> = named.keys().map(Uuid::as_u128).collect();
        prop_assert_eq!(ids, (0..Files::NAMED as u128).collect::<Vec<_>>());
        prop_assert!(named.values().all(|share| share.records == 2));
    }
}

#[test]
fn a_copy_keeps_everything_but_says_where_it_comes_from() {
    let original = record(head(1, 1), 7, 70);
    let copy = copy_of(&original, &TopicPartition::new("frames", 4));
    assert_eq!((&*copy.topic, &copy.key, &copy.value), ("frames", &original.key, &original.value));
    assert_eq!(copy.headers.text(headers::ORIGIN), Some("replay"));
    assert_eq!(copy.headers.text(headers::TRACEPARENT), Some("00-a-b-01"));
    assert_eq!(copy.headers.text(COPY_OF), Some("4:7"));
}

#[test]
fn a_job_is_one_revision_of_its_file() {
    let selection = Selection { job: Some(head(1, 2).job_id), ..Selection::default() };
    let verdict = |revision| selection.judge(&record(head(1, revision), 0, 0), &SchemaIds::of_files(), None);
    assert_eq!([1, 2, 3].map(|revision| verdict(revision) == Verdict::Other), [true, false, true]);
}

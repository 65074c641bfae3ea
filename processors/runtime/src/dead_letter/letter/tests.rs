use frameline_schemas::{File, Head, decode, file_id, job_id};
use proptest::prelude::*;

use super::*;
use crate::dead_letter::DeadLetter;
use crate::record::TopicPartition;
use crate::stage::Failure;

pub(in crate::dead_letter) fn head(path: &[u8], revision: i64) -> Head {
    let file_id = file_id("default", path);
    let job_id = job_id(file_id, revision);
    Head { tenant: "default".to_owned(), file_id, revision, job_id, file_name: "a.svg".to_owned() }
}

/// A record of the chain as `identify` reads it.
pub(in crate::dead_letter) fn record(head: Head) -> Record {
    let file = File {
        head,
        action: frameline_schemas::Action::Upsert,
        content_uri: None,
        content_hash: None,
        size_bytes: 1,
        discovered_at: 2,
    };
    let Output { key, value, mut headers, .. } = Output::of("files", file.head.file_id, &file).unwrap();
    headers.push(headers::JOB, file.head.job_id.to_string());
    Record { offset: 812, timestamp_ms: 5, key, value, headers }
}

/// The record given up, as it is found in the dead-letter topic.
pub(in crate::dead_letter) fn letter(record: &Record, failure: &Failure, place: Place, at_ms: i64) -> Letter {
    let partition = TopicPartition::new("files", 3);
    let dead =
        DeadLetter { stage: "identify", partition: &partition, record, failure, attempts: 1, first_failed_at_ms: 7 };
    let Output { key, value, headers, .. } = dead.output();
    let found = Record { offset: place.offset, timestamp_ms: at_ms, key, value, headers };
    match Entry::read(place.partition, found, &SchemaIds::of_files()) {
        Entry::Letter(letter) => *letter,
        other => panic!("{other:?}"),
    }
}

const PLACE: Place = Place { partition: 1, offset: 9 };

fn as_read(output: &Output) -> Record {
    let Output { key, value, headers, .. } = output.clone();
    Record { offset: 900, timestamp_ms: 6, key, value, headers }
}

proptest! {
    #[test]
    fn whatever_is_put_back_is_what_was_read_but_for_the_count(
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        names in prop::collection::vec("[a-z]{1,9}", 0..5),
        rounds in 1..5u32,
        error in ".{0,40}",
    ) {
        let mut headers = Headers::new();
        names.iter().for_each(|name| headers.push(name.clone(), vec![0, 255]));
        let original = Record { offset: 812, timestamp_ms: 5, key: key.map(Bytes::from), value: value.map(Bytes::from), headers };
        let mut record = original.clone();
        for round in 1..=rounds {
            let letter = letter(&record, &Failure::permanent("damaged", &error), PLACE, 8);
            prop_assert_eq!((letter.redrives, &letter.code, &letter.error), (round - 1, &"damaged".to_owned(), &error));
            let written = letter.put_back("identify", 10).unwrap();
            prop_assert_eq!(&*written.back.topic, "files");
            record = as_read(&written.back);
            prop_assert_eq!(crate::dead_letter::redrives(&record.headers), round);
            let kept: Vec<_> = record.headers.iter().filter(|(name, _)| *name != REDRIVES).collect();
            prop_assert_eq!(kept, original.headers.iter().collect::<Vec<_>>());
            prop_assert_eq!((&record.key, &record.value), (&original.key, &original.value));
            prop_assert_eq!(Entry::read(0, as_read(&written.mark), &SchemaIds::of_files()), Entry::Mark(PLACE));
        }
    }

    #[test]
    fn a_place_is_read_as_it_is_written(partition in 0..i32::MAX, offset in 0..i64::MAX) {
        let place = Place { partition, offset };
        prop_assert_eq!(place.to_string().parse(), Ok(place));
    }
}

#[test]
fn what_is_no_place_is_refused_with_an_example() {
    for text in ["", "3", "3:", ":8", "-1:8", "3:-8", "a:b", "3:8:1"] {
        let refusal = text.parse::<Place>().unwrap_err();
        assert!(refusal.contains(text) && refusal.contains("3:812"), "{refusal}");
    }
}

#[test]
fn the_job_is_told_that_its_failure_is_taken_back() {
    let head = head(b"/a.svg", 2);
    let letter = letter(&record(head.clone()), &Failure::permanent("damaged", "it ends early"), PLACE, 8);
    let told = letter.put_back("identify", 10).unwrap().progress.unwrap();
    assert_eq!(&*told.topic, frameline_topics::PROGRESS);
    assert_eq!(told.headers.text(headers::JOB), Some(head.job_id.to_string().as_str()));
    let told: Progress = decode(told.value.as_deref().unwrap()).unwrap();
    assert_eq!((&told.head, told.stage.as_str(), told.unit_id), (&head, "identify", None));
    assert_eq!((told.outcome, told.redrives, told.redriven, told.at), (Outcome::Failed, 1, true, 10));
}

#[test]
fn one_that_cannot_be_read_is_told_apart_by_its_bytes_and_superseded_by_its_job() {
    let head = head(b"/a.svg", 2);
    let unreadable = |value: &'static [u8]| {
        let record = Record { value: Some(Bytes::from_static(value)), ..record(head.clone()) };
        letter(&record, &Failure::permanent(UNDECODABLE, "the first byte is 1"), PLACE, 8)
    };
    let (one, other) = (unreadable(b"\x01one"), unreadable(b"\x01other"));
    let unit = |letter: &Letter| letter.subject.as_ref().unwrap().unit_id;
    assert_ne!(unit(&one), unit(&other));
    assert_eq!(unit(&one), unit(&unreadable(b"\x01one")));
    assert_eq!([1, 2, 3].map(|newest| one.is_superseded_by(newest)), [true, false, true]);
}

#[test]
fn what_others_have_put_there_is_no_letter() {
    let foreign = Record { offset: 0, timestamp_ms: 0, key: None, value: None, headers: Headers::new() };
    assert_eq!(Entry::read(0, foreign, &SchemaIds::of_files()), Entry::Foreign);
}

use std::collections::BTreeSet;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use proptest::prelude::*;

use crate::*;

fn head() -> Head {
    let file = file_id("acme", b"/screens/sign-in.svg");
    Head { tenant: "acme".into(), file_id: file, revision: 3, job_id: job_id(file, 3), file_name: "sign-in.svg".into() }
}

fn manifest() -> Manifest {
    Manifest { head: head(), format: "svg".into(), deleted: false, frames: 7, passages: 0, discovered_at: 5 }
}

fn progress() -> Progress {
    Progress {
        head: head(),
        stage: "render".into(),
        step: Step::Unit,
        unit_id: Some(unit_id(head().file_id, Kind::Frame, 1)),
        outcome: Outcome::Failed,
        reason_code: Some("truncated".into()),
        reason: None,
        frames: Some(4),
        passages: None,
        at: 1_700_000_000_000,
        redrives: 0,
        redriven: false,
    }
}

/// The record as `schema` writes it, under `id`.
fn written<T: Record>(record: &T, schema: &Schema, id: u32) -> Vec<u8> {
    let newest = current(T::NAME).unwrap().schema().unwrap();
    let bytes = encode(record).unwrap();
    let reader = GenericDatumReader::builder(newest).reader_schema(schema).build().unwrap();
    let value: Value = reader.read_value(&mut &bytes[5..]).unwrap();
    let mut under_id = [&[0], &id.to_be_bytes()[..]].concat();
    let writer = GenericDatumWriter::builder(schema).build().unwrap();
    writer.write_value(&mut under_id, value).unwrap();
    under_id
}

/// The newest manifest with one more field, and that field's JSON.
fn with_field(field: &str) -> String {
    let text = current("manifest").unwrap().text;
    let end = text.rfind(']').unwrap();
    format!("{},{field}{}", &text[..end], &text[end..])
}

#[test]
fn a_record_of_an_earlier_release_is_read_with_the_newest() {
    for release in RELEASES.iter().filter(|release| release.record == "progress") {
        let bytes = written(&progress(), release.schema().unwrap(), release.id);
        assert_eq!(decode::<Progress>(&bytes).unwrap(), progress(), "v{}", release.version);
    }
}

#[test]
fn a_schema_that_only_the_registry_knows_is_read_by_resolution() {
    let ids = SchemaIds::of_registry();
    let text = with_field(r#"{"name": "note", "type": "string", "default": ""}"#);
    let bytes = written(&manifest(), &Schema::parse_str(&text).unwrap(), 900);
    assert!(!ids.knows(900));
    assert!(matches!(ids.decode::<Manifest>(&bytes), Err(DecodeError::UnknownSchema(900))));
    ids.learn(900, &text);
    assert!(ids.knows(900));
    assert_eq!(ids.decode::<Manifest>(&bytes).unwrap(), manifest());
    assert_eq!(Message::decode_by(&ids, &bytes).unwrap(), Message::Manifest(manifest()));
}

#[test]
fn a_schema_that_ours_cannot_read_says_what_stands_in_the_way() {
    let ids = SchemaIds::of_registry();
    let without_frames = current("manifest").unwrap().text.replace(r#""name": "frames""#, r#""name": "pictures""#);
    ids.learn(7, &without_frames);
    ids.learn(8, r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": []}"#);
    ids.learn(9, "syntax = \"proto3\";");
    for (id, word) in [(7, "frames"), (8, "shop.Order"), (9, "no Avro schema")] {
        let error = ids.decode::<Manifest>(&[0, 0, 0, 0, id, 1, 2]).unwrap_err();
        let told = error.to_string();
        assert!(matches!(error, DecodeError::Unreadable { .. }) && told.contains(word), "{told}");
    }
}

#[test]
fn without_its_id_a_record_is_not_written_and_other_bytes_stay_as_they_are() {
    let ids = SchemaIds::of_registry();
    assert_eq!(ids.missing().count(), Standing::records().count());
    let refused = ids.address(encode(&manifest()).unwrap().into()).unwrap_err().to_string();
    assert!(refused.contains("manifest v1"), "{refused}");
    for other in [&b"{\"a\": 1}"[..], b"", b"\0\0", b"\0\x7f\0\0\0body"] {
        assert_eq!(ids.address(Bytes::copy_from_slice(other)).unwrap(), other);
    }
    let of_files = Bytes::from(encode(&manifest()).unwrap());
    assert_eq!(SchemaIds::of_files().address(of_files.clone()).unwrap(), of_files);
    assert_eq!(SchemaIds::of_files().missing().count(), 0);
}

#[test]
fn what_many_learn_at_the_same_time_is_there_once() {
    let ids = SchemaIds::of_registry();
    let text = current("frame").unwrap().text;
    std::thread::scope(|scope| {
        for offset in 0..4 {
            let ids = &ids;
            scope.spawn(move || (0..100).for_each(|id| ids.learn((id + 25 * offset) % 100, text)));
        }
    });
    assert!((0..100).all(|id| ids.knows(id)));
    assert_eq!(ids.all().map(|learned| learned.id).collect::<BTreeSet<_>>().len(), ids.all().count());
}

proptest! {
    /// Whatever ids a registry gives, also those that are another record's in the files.
    #[test]
    fn what_is_addressed_comes_back_as_the_same_record(first in any::<u32>(), step in 1_u32..1_000) {
        let ids = SchemaIds::of_registry();
        for (index, release) in RELEASES.iter().rev().enumerate() {
            ids.learn_release(first.wrapping_add(index as u32 * step), release);
        }
        prop_assert_eq!(ids.missing().count(), 0);
        let shared = Bytes::from(encode(&manifest()).unwrap());
        for value in [shared.clone(), Bytes::from(encode(&manifest()).unwrap())] {
            let addressed = ids.address(value).unwrap();
            prop_assert_eq!(Message::decode_by(&ids, &addressed).unwrap(), Message::Manifest(manifest()));
        }
        prop_assert_eq!(decode::<Manifest>(&shared).unwrap(), manifest(), "a shared copy is not written to");
        let addressed = ids.address(encode(&progress()).unwrap().into()).unwrap();
        prop_assert_eq!(ids.decode::<Progress>(&addressed).unwrap(), progress());
    }
}

#[test]
fn what_was_written_under_other_ids_is_told_from_what_is_ours_and_from_what_is_no_record() {
    let records = ["frame".to_owned(), "manifest".to_owned()];
    let of_files = SchemaIds::of_files();
    let ours = encode(&manifest()).unwrap();
    assert!(of_files.reads(&ours, &records) && of_files.foreign(&ours, &records).is_none());
    assert!(!of_files.reads(&ours, &["frame".to_owned()]));
    // Another id, one that is a thumbnail's in the files, and one that nobody has.
    for id in [3_u32, 4_000] {
        let theirs = [&[0], &id.to_be_bytes()[..], &ours[5..]].concat();
        assert_eq!(of_files.foreign(&theirs, &records), Some(id));
        let of_registry = SchemaIds::of_registry();
        of_registry.learn_release(id, current("manifest").unwrap());
        assert!(of_registry.reads(&theirs, &records) && of_registry.foreign(&ours, &records).is_some());
    }
    for none in [&b"no record"[..], &[0, 0, 0, 0, 3, 9], b""] {
        assert_eq!(of_files.foreign(none, &records), None);
    }
}

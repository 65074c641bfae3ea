use apache_avro::Schema;
use proptest::prelude::*;

use super::*;

/// The schema files as they are now; each must be its newest release.
const FILES: [(&str, &str); 7] = [
    ("file", include_str!("../file.avsc")),
    ("frame", include_str!("../frame.avsc")),
    ("thumbnail", include_str!("../thumbnail.avsc")),
    ("unit", include_str!("../unit.avsc")),
    ("embedding", include_str!("../embedding.avsc")),
    ("manifest", include_str!("../manifest.avsc")),
    ("progress", include_str!("../progress.avsc")),
];

#[test]
fn every_schema_file_is_its_newest_release() {
    for (record, text) in FILES {
        let newest = current(record).unwrap();
        assert_eq!(
            text,
            newest.text,
            "{record}.avsc differs from its newest release: add released/{record}.v{}.avsc",
            newest.version + 1
        );
    }
}

#[test]
fn ids_are_given_once_and_versions_count_up() {
    for (index, release) in RELEASES.iter().enumerate() {
        assert_eq!(release.id as usize, index + 1, "ids count up without a gap");
        let earlier = RELEASES[..index].iter().filter(|other| other.record == release.record).count();
        assert_eq!(release.version as usize, earlier + 1, "{} v{}", release.record, release.version);
    }
}

#[test]
fn every_field_is_documented() {
    fn check(record: &str, schema: &serde_json::Value) {
        if let Some(fields) = schema["fields"].as_array() {
            assert!(schema["doc"].is_string(), "{record} has no doc");
            for field in fields {
                let name = format!("{record}.{}", field["name"].as_str().unwrap());
                assert!(field["doc"].as_str().is_some_and(|doc| doc.len() > 4), "{name} has no doc");
                check(&name, &field["type"]);
            }
        }
        schema.as_array().into_iter().flatten().for_each(|variant| check(record, variant));
    }
    for (record, text) in FILES {
        check(record, &serde_json::from_str(text).unwrap());
    }
}

#[test]
fn every_release_can_be_read_with_every_other_of_its_record() {
    for writer in &RELEASES {
        for reader in RELEASES.iter().filter(|reader| reader.record == writer.record) {
            let reason = incompatibility(writer.schema().unwrap(), reader.schema().unwrap());
            assert_eq!(reason, None, "{} v{} cannot be read with v{}", writer.record, writer.version, reader.version);
        }
    }
}

#[test]
fn a_broken_schema_is_told_by_field_and_reason() {
    let newest = current("manifest").unwrap();
    let broken = [
        (
            r#""name": "frames",
      "type": "int""#,
            r#""name": "frames",
      "type": "string""#,
            "frames",
        ),
        (r#""name": "format""#, r#""name": "kind""#, "kind"),
    ];
    for (before, after, field) in broken {
        let text = newest.text.replacen(before, after, 1);
        assert_ne!(text, newest.text);
        let reason = incompatibility(newest.schema().unwrap(), &Schema::parse_str(&text).unwrap()).unwrap();
        assert!(reason.contains(field), "{reason}");
    }
}

#[test]
fn what_is_no_record_is_told_apart() {
    assert!(matches!(Message::decode(&[0, 0]), Err(DecodeError::TooShort(2))));
    assert!(matches!(Message::decode(b"{\"a\": 1}"), Err(DecodeError::Magic(b'{'))));
    assert!(matches!(Message::decode(&[0, 0, 0, 9, 9, 1]), Err(DecodeError::UnknownSchema(2_313))));
    let manifest = encode(&Manifest {
        head: head(),
        format: "svg".into(),
        deleted: false,
        frames: 1,
        passages: 0,
        discovered_at: 5,
    })
    .unwrap();
    assert!(matches!(
        decode::<Frame>(&manifest),
        Err(DecodeError::Unexpected { found: "manifest", expected: "frame" })
    ));
    let mut longer = manifest.clone();
    longer.push(0);
    assert!(decode::<Manifest>(&longer).unwrap_err().to_string().contains("1 bytes are left"));
}

fn head() -> Head {
    let file = file_id("acme", b"/screens/sign-in.svg");
    Head { tenant: "acme".into(), file_id: file, revision: 3, job_id: job_id(file, 3), file_name: "sign-in.svg".into() }
}

#[test]
fn ids_differ_by_what_they_name_and_by_nothing_else() {
    let file = file_id("acme", b"/a");
    assert_eq!(file, file_id("acme", b"/a"));
    assert_ne!(file, file_id("other", b"/a"));
    assert_ne!(job_id(file, 1), job_id(file, 2));
    assert_ne!(unit_id(file, Kind::Frame, 0), unit_id(file, Kind::Passage, 0));
}

prop_compose! {
    fn heads()(tenant in ".{0,8}", id in any::<u128>(), revision in any::<i64>(), job in any::<u128>(), file_name in ".{0,20}") -> Head {
        Head { tenant, file_id: uuid::Uuid::from_u128(id), revision, job_id: uuid::Uuid::from_u128(job), file_name }
    }
}

prop_compose! {
    fn contents()(frame in any::<bool>(), ordinal in any::<i32>(), page in any::<Option<i32>>(), name in ".{0,10}",
                  text in ".{0,40}", text_uri in proptest::option::of(".{0,10}"), width_px in any::<i32>(), height_px in any::<i32>()) -> Content {
        let kind = if frame { Kind::Frame } else { Kind::Passage };
        Content { kind, ordinal, page, name, text, text_uri, width_px, height_px }
    }
}

prop_compose! {
    fn pictures()(uri in ".{0,10}", hash in ".{0,10}", width_px in any::<i32>(), height_px in any::<i32>()) -> Picture {
        Picture { uri, hash, width_px, height_px }
    }
}

prop_compose! {
    fn vectors()(model in ".{0,5}", values in prop::collection::vec(-1.0_f32..1.0, 0..9)) -> Vector {
        Vector { model, values }
    }
}

fn round_trip<T>(record: &T) -> Result<(), TestCaseError>
where
    T: Record + Clone + PartialEq + std::fmt::Debug + TryFrom<Message, Error = DecodeError>,
{
    let bytes = encode(record).unwrap();
    prop_assert_eq!(&decode::<T>(&bytes).unwrap(), record);
    prop_assert_eq!(&T::try_from(Message::decode(&bytes).unwrap()).unwrap(), record);
    Ok(())
}

proptest! {
    #[test]
    fn every_type_goes_through_its_schema_and_comes_back(
        head in heads(), id in any::<u128>(), content in contents(), picture in pictures(),
        vector in vectors(), other in proptest::option::of(vectors()), number in any::<i32>(), time in any::<i64>(),
        text in proptest::option::of(".{0,12}"), flag in any::<bool>(), share in 0.0..1.0_f64,
    ) {
        let unit_id = uuid::Uuid::from_u128(id);
        let quality = flag.then_some(Quality { edge_density: share, colours: number, dhash: time, suspect: flag });
        let thumbnail = flag.then(|| picture.clone());
        let action = if flag { Action::Upsert } else { Action::Delete };
        let step = [Step::File, Step::Unit, Step::End][number.rem_euclid(3) as usize];
        let outcome = [Outcome::Done, Outcome::Skipped, Outcome::Failed][time.rem_euclid(3) as usize];
        round_trip(&File { head: head.clone(), action, content_uri: text.clone(), content_hash: text.clone(), size_bytes: time, discovered_at: time })?;
        round_trip(&Frame { head: head.clone(), unit_id, content: content.clone(), scene_uri: picture.uri.clone(), scene_hash: picture.hash.clone() })?;
        round_trip(&Thumbnail { head: head.clone(), unit_id, content: content.clone(), thumbnail: picture.clone() })?;
        round_trip(&Unit { head: head.clone(), unit_id, content: content.clone(), thumbnail: thumbnail.clone(), quality })?;
        round_trip(&Embedding { head: head.clone(), unit_id, content, thumbnail, text_vector: Some(vector), image_vector: other })?;
        round_trip(&Manifest { head: head.clone(), format: picture.uri, deleted: flag, frames: number, passages: number, discovered_at: time })?;
        round_trip(&Progress { head, stage: picture.hash, step, unit_id: Some(unit_id), outcome, reason_code: text.clone(), reason: text, frames: Some(number), passages: None, at: time, redrives: number, redriven: number % 2 == 0 })?;
    }

    #[test]
    fn bytes_of_any_kind_are_an_error_and_never_a_panic(id in 0_u32..9, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![0];
        bytes.extend(id.to_be_bytes());
        bytes.extend(body);
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn a_flipped_byte_is_an_error_or_another_record_and_never_a_panic(head in heads(), position in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let mut bytes = encode(&Manifest { head, format: "svg".into(), deleted: false, frames: 1, passages: 0, discovered_at: 5 }).unwrap();
        let at = position.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let _ = Message::decode(&bytes);
    }
}

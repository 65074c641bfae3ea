//! The stage over thumbnails in a folder of blobs, and over crashes between any two frames.

#![allow(clippy::unwrap_used)]

use frameline_runtime::{Class, Outcome, Stage};
use frameline_schemas::{Content, Head, Kind, Manifest, Message, Picture, Thumbnail, Unit, UnitOrEnd};
use frameline_stores::blobs::Blobs;
use frameline_validate::{Validate, ValidateSettings};
use image::{Rgb, RgbImage};
use uuid::Uuid;

struct Chain {
    blobs: Blobs,
    _folder: tempfile::TempDir,
}

impl Chain {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { blobs: Blobs::folder(folder.path()).unwrap(), _folder: folder }
    }

    /// As after a start: nothing is remembered.
    fn stage(&self) -> Validate {
        Validate::new(self.blobs.clone(), ValidateSettings::default())
    }

    async fn thumbnail(&self, ordinal: i32, picture: &RgbImage, text: &str) -> UnitOrEnd<Thumbnail> {
        let mut png = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let hash = format!("{:032x}", Uuid::new_v5(&Uuid::NAMESPACE_OID, png.get_ref()).as_u128());
        let uri = self.blobs.put_once("thumbnails", &hash, "png", png.into_inner().into()).await.unwrap();
        let (width_px, height_px) = (picture.width() as i32, picture.height() as i32);
        let content = Content {
            kind: Kind::Frame,
            ordinal,
            page: None,
            name: format!("frame {ordinal}"),
            text: text.to_owned(),
            text_uri: None,
            width_px,
            height_px,
        };
        let thumbnail = Picture { uri, hash, width_px, height_px };
        UnitOrEnd::Unit(Thumbnail { head: head(1), unit_id: Uuid::from_u128(ordinal as u128), content, thumbnail })
    }
}

fn head(revision: i64) -> Head {
    Head {
        tenant: "default".to_owned(),
        file_id: Uuid::from_u128(7),
        revision,
        job_id: Uuid::nil(),
        file_name: "a.svg".to_owned(),
    }
}

fn bars(step: u32) -> RgbImage {
    RgbImage::from_fn(
        160,
        120,
        |x, y| if (x / step + y / 30).is_multiple_of(2) { Rgb([240; 3]) } else { Rgb([20, 60, 90]) },
    )
}

fn blank() -> RgbImage {
    RgbImage::from_pixel(160, 120, Rgb([255; 3]))
}

fn message(outcome: &Outcome) -> Message {
    let Outcome::Emit(outputs) = outcome else { panic!("{outcome:?}") };
    assert_eq!(&*outputs[0].topic, frameline_topics::UNITS);
    Message::decode(outputs[0].value.as_deref().unwrap()).unwrap()
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Emit(_) => "kept".to_owned(),
        Outcome::Skip(reason) => reason.code.to_owned(),
        Outcome::Fail(failure) => format!("failed {}", failure.code),
    }
}

async fn one(stage: &Validate, record: &UnitOrEnd<Thumbnail>) -> String {
    told(&stage.process(vec![record.clone()]).await[0])
}

/// Two pairs of near-duplicates, a blank one, and one whose words differ.
async fn file(chain: &Chain) -> Vec<UnitOrEnd<Thumbnail>> {
    vec![
        chain.thumbnail(0, &bars(20), "sign in with email").await,
        chain.thumbnail(1, &bars(50), "cart").await,
        chain.thumbnail(2, &bars(20), "sign in with email").await,
        chain.thumbnail(3, &blank(), "").await,
        chain.thumbnail(4, &bars(50), "cart").await,
        chain.thumbnail(5, &bars(20), "an error occurred").await,
    ]
}

const EXPECTED: [&str; 6] = ["kept", "kept", "near_duplicate", "blank", "near_duplicate", "kept"];

#[tokio::test]
async fn near_duplicates_are_refused_within_a_file_and_not_beyond() {
    let chain = Chain::new();
    let records = file(&chain).await;
    let stage = chain.stage();
    let outcomes: Vec<String> = stage.process(records.clone()).await.iter().map(told).collect();
    assert_eq!(outcomes, EXPECTED);

    let UnitOrEnd::Unit(mut other) = records[2].clone() else { panic!("a frame") };
    other.head = head(2);
    assert_eq!(one(&stage, &UnitOrEnd::Unit(other)).await, "kept", "another revision");
}

#[tokio::test]
async fn a_crash_between_any_two_frames_changes_no_verdict() {
    for crash in 0..EXPECTED.len() {
        let chain = Chain::new();
        let records = file(&chain).await;
        let mut outcomes = Vec::new();
        let first = chain.stage();
        for record in &records[..crash] {
            outcomes.push(one(&first, record).await);
        }
        // The killed run had judged one more, which was never committed.
        one(&first, &records[crash]).await;
        let second = chain.stage();
        for record in &records[crash..] {
            outcomes.push(one(&second, record).await);
        }
        assert_eq!(outcomes, EXPECTED, "killed at frame {crash}");
        let replayed: Vec<String> = second.process(records).await.iter().map(told).collect();
        assert_eq!(replayed, EXPECTED, "replayed from the start");
    }
}

#[tokio::test]
async fn files_beyond_the_memory_are_judged_the_same() {
    let chain = Chain::new();
    let settings = ValidateSettings { files_in_memory: 0, ..ValidateSettings::default() };
    let forgetful = Validate::new(chain.blobs.clone(), settings);
    let mut outcomes = Vec::new();
    for record in file(&chain).await {
        outcomes.push(one(&forgetful, &record).await);
    }
    assert_eq!(outcomes, EXPECTED);
}

#[tokio::test]
async fn a_kept_frame_carries_its_quality_and_a_blank_one_with_words_is_suspect() {
    let chain = Chain::new();
    let stage = chain.stage();
    let records = vec![chain.thumbnail(0, &bars(20), "").await, chain.thumbnail(1, &blank(), "frame 1\nwords").await];
    let outcomes = stage.process(records).await;
    let quality = |outcome: &Outcome| Unit::try_from(message(outcome)).unwrap().quality.unwrap();
    assert!(!quality(&outcomes[0]).suspect && quality(&outcomes[0]).edge_density > 0.01);
    assert!(quality(&outcomes[1]).suspect);
}

#[tokio::test]
async fn the_manifest_passes_and_a_missing_or_damaged_thumbnail_is_permanent() {
    let chain = Chain::new();
    let stage = chain.stage();
    let manifest =
        Manifest { head: head(1), format: "svg".to_owned(), deleted: false, frames: 2, passages: 0, discovered_at: 0 };
    let frames = [chain.thumbnail(0, &bars(20), "").await, chain.thumbnail(1, &bars(30), "").await];
    let path = |frame: &UnitOrEnd<Thumbnail>| {
        let UnitOrEnd::Unit(frame) = frame else { panic!("a frame") };
        chain.blobs.local_path(&frame.thumbnail.uri).unwrap()
    };
    std::fs::remove_file(path(&frames[0])).unwrap();
    std::fs::write(path(&frames[1]), b"no picture").unwrap();
    let [missing, damaged] = frames;
    let outcomes = stage.process(vec![missing, damaged, UnitOrEnd::End(manifest.clone())]).await;
    for (outcome, code) in outcomes.iter().zip(["blob", "damaged"]) {
        let Outcome::Fail(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!((failure.class, failure.code), (Class::Permanent, code));
    }
    assert_eq!(message(&outcomes[2]), Message::Manifest(manifest));
}

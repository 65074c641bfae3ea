//! The stage over real models and a real store of blobs.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use frameline_embed::{Embed, EmbedSettings, ImageModel, TextModel};
use frameline_runtime::{Class, Failure, Outcome, Output, Stage};
use frameline_schemas::{Content, Embedding, Head, Kind, Manifest, Picture, Unit, UnitOrEnd, decode, unit_id};
use frameline_stores::blobs::Blobs;
use image::{ImageFormat, RgbImage};
use tempfile::TempDir;
use uuid::Uuid;

static TEXT: LazyLock<Arc<TextModel>> = LazyLock::new(|| Arc::new(TextModel::new().unwrap()));
static IMAGE: LazyLock<Arc<ImageModel>> = LazyLock::new(|| Arc::new(ImageModel::new()));

struct Fixture {
    _folder: TempDir,
    blobs: Blobs,
    stage: Embed,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::folder(folder.path()).unwrap();
    let stage = Embed::new(blobs.clone(), TEXT.clone(), IMAGE.clone(), &EmbedSettings { threads: 2 });
    Fixture { _folder: folder, blobs, stage }
}

fn head() -> Head {
    let file_id = frameline_schemas::file_id("default", b"screens.svg");
    let job_id = frameline_schemas::job_id(file_id, 1);
    Head { tenant: "default".to_owned(), file_id, revision: 1, job_id, file_name: "screens.svg".to_owned() }
}

fn unit(ordinal: i32, name: &str, text: &str, thumbnail: Option<&str>) -> UnitOrEnd<Unit> {
    let kind = if thumbnail.is_some() { Kind::Frame } else { Kind::Passage };
    let content = Content {
        kind,
        ordinal,
        page: None,
        name: name.to_owned(),
        text: text.to_owned(),
        text_uri: None,
        width_px: 64,
        height_px: 64,
    };
    let picture = |uri: &str| Picture { uri: uri.to_owned(), hash: String::new(), width_px: 64, height_px: 64 };
    let head = head();
    let unit_id = unit_id(head.file_id, kind, ordinal);
    UnitOrEnd::Unit(Unit { head, unit_id, content, thumbnail: thumbnail.map(picture), quality: None })
}

fn manifest() -> Manifest {
    Manifest { head: head(), format: "svg".to_owned(), deleted: false, frames: 1, passages: 0, discovered_at: 0 }
}

async fn stored(blobs: &Blobs, bytes: Vec<u8>) -> String {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes).simple().to_string();
    blobs.put_once("thumbnails", &hash, "png", Bytes::from(bytes)).await.unwrap()
}

fn png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 4, y as u8 * 4, 90]))
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn emitted(outcome: &Outcome) -> &Output {
    let Outcome::Emit(outputs) = outcome else { panic!("{outcome:?}") };
    let [output] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!(&*output.topic, frameline_topics::EMBEDDINGS);
    assert_eq!(output.key.as_deref(), Some(head().file_id.to_string().as_bytes()));
    output
}

fn embedding(outcome: &Outcome) -> Embedding {
    decode(emitted(outcome).value.as_deref().unwrap()).unwrap()
}

fn failure(outcome: &Outcome) -> &Failure {
    let Outcome::Fail(failure) = outcome else { panic!("{outcome:?}") };
    failure
}

#[tokio::test]
async fn frames_get_both_vectors_passages_one_and_manifests_pass_on_in_their_place() {
    let Fixture { blobs, stage, _folder } = fixture();
    let uri = stored(&blobs, png()).await;
    let batch = vec![
        unit(0, "Sign in", "Email Password", Some(&uri)),
        UnitOrEnd::End(manifest()),
        unit(1, "Terms", "What you agree to.", None),
        unit(2, " ", "", Some(&uri)),
    ];
    let outcomes = stage.process(batch).await;
    let [frame, end, passage, wordless] = outcomes.as_slice() else { panic!("{outcomes:?}") };

    let frame = embedding(frame);
    assert_eq!(
        frame.text_vector.as_ref().map(|vector| (vector.model.as_str(), vector.values.len())),
        Some((TextModel::NAME, 384))
    );
    assert_eq!(
        frame.image_vector.as_ref().map(|vector| (vector.model.as_str(), vector.values.len())),
        Some((ImageModel::NAME, 1_280))
    );
    assert_eq!(frame.content.name, "Sign in");
    assert_eq!(decode::<Manifest>(emitted(end).value.as_deref().unwrap()).unwrap(), manifest());
    let passage = embedding(passage);
    assert!(passage.text_vector.is_some() && passage.image_vector.is_none());
    assert_ne!(passage.text_vector, frame.text_vector);
    let wordless = embedding(wordless);
    assert!(wordless.text_vector.is_none());
    assert_eq!(wordless.image_vector, frame.image_vector);
}

#[tokio::test]
async fn a_bad_thumbnail_fails_alone_and_for_good() {
    let Fixture { blobs, stage, _folder } = fixture();
    let broken = stored(&blobs, b"no picture".to_vec()).await;
    let whole = stored(&blobs, png()).await;
    let missing = whole.replace(".png", "0.png");
    let batch = [&broken, &whole, &missing].map(|uri| unit(0, "Chart", "Revenue", Some(uri))).into();
    let outcomes = stage.process(batch).await;
    assert_eq!((failure(&outcomes[0]).class, failure(&outcomes[0]).code), (Class::Permanent, "picture"));
    assert!(embedding(&outcomes[1]).image_vector.is_some());
    assert_eq!((failure(&outcomes[2]).class, failure(&outcomes[2]).code), (Class::Permanent, "blob"));
}

#[tokio::test]
async fn it_is_ready_once_both_models_run() {
    fixture().stage.warm().await.unwrap();
}

//! The stage with real workers, over real samples and hostile scenes. The executable is its own worker.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use frameline_render::{Render, RenderSettings};
use frameline_runtime::{Class, Outcome, Stage};
use frameline_sandbox::PoolSettings;
use frameline_schemas::{Content, Frame, Head, Kind, Manifest, Message, Thumbnail, UnitOrEnd};
use frameline_stores::blobs::Blobs;
use uuid::Uuid;

const WORKER: &str = "worker";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(WORKER) {
        return frameline_render::worker();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    macro_rules! tests {
        ($($name:ident),* $(,)?) => {
            $(runtime.block_on($name()); println!("test {} ... ok", stringify!($name));)*
        };
    }
    tests! {
        every_sample_is_drawn_within_512_pixels,
        outcomes_are_in_order_and_the_manifest_passes,
        a_thumbnail_is_written_once_and_found_again_without_its_scene,
        scenes_that_cannot_be_drawn_are_permanent_failures,
        a_scene_that_burns_time_is_ended,
        nothing_outside_the_scene_is_drawn,
    }
    ExitCode::SUCCESS
}

struct Chain {
    blobs: Blobs,
    stage: Render,
    _folder: tempfile::TempDir,
}

impl Chain {
    fn new() -> Self {
        Self::with(RenderSettings::default())
    }

    fn with(settings: RenderSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::folder(folder.path()).unwrap();
        let pool = PoolSettings { args: vec![WORKER.to_owned()], ..settings.pool() };
        let stage = Render::new(blobs.clone(), settings.longest_side_px, pool).unwrap();
        Self { blobs, stage, _folder: folder }
    }

    async fn frame(&self, scene: &[u8]) -> UnitOrEnd<Frame> {
        let hash = blake3::hash(scene).to_hex().to_string();
        let scene_uri = self.blobs.put_once("scenes", &hash, "svg", scene.to_vec().into()).await.unwrap();
        UnitOrEnd::Unit(Frame { head: head(), unit_id: Uuid::nil(), content: content(), scene_uri, scene_hash: hash })
    }

    async fn draw(&self, scene: &[u8]) -> Outcome {
        self.stage.process(vec![self.frame(scene).await]).await.remove(0)
    }

    async fn picture(&self, outcome: &Outcome) -> image::RgbImage {
        let png = self.blobs.get(&thumbnail(outcome).thumbnail.uri).await.unwrap();
        image::load_from_memory(&png).unwrap().into_rgb8()
    }
}

fn head() -> Head {
    Head {
        tenant: "default".to_owned(),
        file_id: Uuid::nil(),
        revision: 1,
        job_id: Uuid::nil(),
        file_name: "a.svg".to_owned(),
    }
}

fn content() -> Content {
    Content {
        kind: Kind::Frame,
        ordinal: 0,
        page: None,
        name: "a".to_owned(),
        text: String::new(),
        text_uri: None,
        width_px: 10,
        height_px: 10,
    }
}

fn message(outcome: &Outcome) -> Message {
    let Outcome::Emit(outputs) = outcome else { panic!("{outcome:?}") };
    Message::decode(outputs[0].value.as_deref().unwrap()).unwrap()
}

fn thumbnail(outcome: &Outcome) -> Thumbnail {
    Thumbnail::try_from(message(outcome)).unwrap()
}

fn svg(inner: &str) -> Vec<u8> {
    format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300">{inner}</svg>"#).into_bytes()
}

/// The files of a folder of samples, in order; says so when there is none.
fn samples(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let Ok(entries) = std::fs::read_dir(&root) else {
        println!("skipped: samples of {folder}: there is no such folder beside the workspace");
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn every_sample_is_drawn_within_512_pixels() {
    let chain = Chain::new();
    let known = ["svg", "png", "jpg", "webp", "gif"];
    let folders =
        ["tests/samples/screens", "tests/samples/exports", "../shared/samples/svg", "../shared/samples/raster"];
    let files = folders.iter().flat_map(|folder| samples(folder));
    for file in files.filter(|file| file.extension().is_some_and(|end| known.iter().any(|known| end == *known))) {
        let outcome = chain.draw(&std::fs::read(&file).unwrap()).await;
        assert!(matches!(outcome, Outcome::Emit(_)), "{}: {outcome:?}", file.display());
        let picture = chain.picture(&outcome).await;
        let told = thumbnail(&outcome).thumbnail;
        assert_eq!((told.width_px as u32, told.height_px as u32), picture.dimensions(), "{}", file.display());
        assert!(picture.width().max(picture.height()) <= 512, "{}", file.display());
    }
}

async fn outcomes_are_in_order_and_the_manifest_passes() {
    let chain = Chain::new();
    let manifest =
        Manifest { head: head(), format: "svg".to_owned(), deleted: false, frames: 3, passages: 0, discovered_at: 0 };
    let slow = svg(&r#"<circle cx="200" cy="150" r="140"/>"#.repeat(2_000));
    let batch = vec![
        chain.frame(&slow).await,
        chain.frame(b"no scene").await,
        chain.frame(&svg("")).await,
        UnitOrEnd::End(manifest.clone()),
    ];
    let outcomes = chain.stage.process(batch).await;
    assert_ne!(thumbnail(&outcomes[0]).thumbnail, thumbnail(&outcomes[2]).thumbnail);
    assert!(matches!(&outcomes[1], Outcome::Fail(failure) if failure.class == Class::Permanent));
    assert_eq!(message(&outcomes[3]), Message::Manifest(manifest));
    let Outcome::Emit(outputs) = &outcomes[0] else { panic!("not drawn") };
    assert_eq!(&*outputs[0].topic, frameline_topics::THUMBNAILS);
}

async fn a_thumbnail_is_written_once_and_found_again_without_its_scene() {
    let chain = Chain::new();
    let frame = chain.frame(&svg("<rect width='9' height='9'/>")).await;
    let first = chain.stage.process(vec![frame.clone()]).await.remove(0);
    let UnitOrEnd::Unit(inner) = &frame else { panic!("a frame") };
    std::fs::remove_file(chain.blobs.local_path(&inner.scene_uri).unwrap()).unwrap();
    let again = chain.stage.process(vec![frame.clone()]).await.remove(0);
    assert_eq!(thumbnail(&first), thumbnail(&again));

    std::fs::remove_file(chain.blobs.local_path(&thumbnail(&first).thumbnail.uri).unwrap()).unwrap();
    let without = chain.stage.process(vec![frame]).await.remove(0);
    assert!(matches!(without, Outcome::Fail(failure) if failure.class == Class::Permanent && failure.code == "blob"));
}

async fn scenes_that_cannot_be_drawn_are_permanent_failures() {
    let chain = Chain::new();
    chain.stage.warm().await.unwrap();
    let nested = format!("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'>{}", "<g>".repeat(200_000));
    let no_size = b"<svg xmlns='http://www.w3.org/2000/svg' width='0' height='0'/>".to_vec();
    for scene in [nested.into_bytes(), no_size, b"\x89PNG\r\n\x1a\n".to_vec(), b"%PDF-1.4".to_vec()] {
        let outcome = chain.draw(&scene).await;
        assert!(matches!(&outcome, Outcome::Fail(failure) if failure.class == Class::Permanent), "{outcome:?}");
    }
    for file in samples("../shared/samples/hostile") {
        let started = Instant::now();
        let outcome = chain.draw(&std::fs::read(&file).unwrap()).await;
        assert!(!matches!(&outcome, Outcome::Skip(_)), "{}", file.display());
        assert!(started.elapsed() < Duration::from_secs(45), "{}", file.display());
    }
}

async fn a_scene_that_burns_time_is_ended() {
    let settings = RenderSettings { frame_cpu: Duration::from_secs(1), ..RenderSettings::default() };
    let chain = Chain::with(settings);
    let filter = r#"<filter id="f" x="0" y="0" width="1" height="1"><feTurbulence baseFrequency="0.9" numOctaves="9999"/><feGaussianBlur stdDeviation="99"/></filter>"#;
    let layers = r#"<g filter="url(#f)">"#.repeat(300);
    let scene = svg(&format!("{filter}{layers}<rect width='400' height='300'/>{}", "</g>".repeat(300)));
    let started = Instant::now();
    let outcome = chain.draw(&scene).await;
    assert!(matches!(&outcome, Outcome::Fail(failure) if failure.code == "timeout"), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(matches!(chain.draw(&svg("")).await, Outcome::Emit(_)), "its neighbours are drawn");
}

async fn nothing_outside_the_scene_is_drawn() {
    let chain = Chain::new();
    let red = image::RgbImage::from_pixel(8, 8, image::Rgb([255, 0, 0]));
    let outside = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
    red.save(outside.path()).unwrap();
    let path = outside.path().display();
    let image = |href: &str| format!(r#"<image href="{href}" width="400" height="300"/>"#);
    for href in [path.to_string(), format!("file://{path}")] {
        let outcome = chain.draw(&svg(&image(&href))).await;
        assert!(chain.picture(&outcome).await.pixels().all(|pixel| pixel.0 == [255, 255, 255]), "{href}");
    }
}

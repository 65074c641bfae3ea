//! The stage with real workers, over real samples and hostile files. The executable is its own worker.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use frameline_identify::{Identify, IdentifySettings};
use frameline_runtime::{Class, Outcome, Stage};
use frameline_sandbox::PoolSettings;
use frameline_schemas::{Action, File, Frame, Head, Kind, Manifest, Message, Step, TEXT_LIMIT_BYTES, Unit, unit_id};
use frameline_stores::blobs::Blobs;
use frameline_topics as topics;
use uuid::Uuid;

const WORKER: &str = "worker";
const FILE_ID: Uuid = Uuid::from_u128(7);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(WORKER) {
        return frameline_identify::worker();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    macro_rules! tests {
        ($($name:ident),* $(,)?) => {
            $(runtime.block_on($name()); println!("test {} ... ok", stringify!($name));)*
        };
    }
    tests! {
        the_shipped_samples_are_found_with_their_artboards_and_words,
        every_other_sample_is_read_or_refused_by_its_format,
        every_hostile_file_ends_in_time_with_a_typed_reason,
        outputs_are_frames_then_totals_then_the_manifest,
        a_document_becomes_passages_with_their_headings,
        a_deletion_is_a_manifest_alone,
        a_text_too_long_for_a_record_is_a_blob,
        what_cannot_be_had_is_told_apart,
        an_svg_in_any_encoding_has_a_scene_that_can_be_drawn,
        doing_it_again_gives_the_same,
    }
    ExitCode::SUCCESS
}

struct Chain {
    blobs: Blobs,
    stage: Identify,
    _folder: tempfile::TempDir,
}

/// What came of a file.
#[derive(Debug, Default)]
struct Found {
    frames: Vec<Frame>,
    passages: Vec<Unit>,
    left_out: Vec<String>,
    manifest: Option<Manifest>,
    topics: Vec<String>,
}

impl Chain {
    fn new() -> Self {
        let settings = IdentifySettings::default();
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::folder(folder.path()).unwrap();
        let pool = PoolSettings { args: vec![WORKER.to_owned()], ..settings.pool() };
        let stage = Identify::new(blobs.clone(), settings, pool).unwrap();
        Self { blobs, stage, _folder: folder }
    }

    async fn file(&self, name: &str, bytes: &[u8]) -> File {
        let hash = blake3::hash(bytes).to_hex().to_string();
        let uri = self.blobs.put_once("files", &hash, "", bytes.to_vec().into()).await.unwrap();
        File {
            head: Head {
                tenant: "default".to_owned(),
                file_id: FILE_ID,
                revision: 3,
                job_id: Uuid::from_u128(9),
                file_name: name.to_owned(),
            },
            action: Action::Upsert,
            content_uri: Some(uri),
            content_hash: Some(hash),
            size_bytes: bytes.len() as i64,
            discovered_at: 1_000,
        }
    }

    async fn open(&self, name: &str, bytes: &[u8]) -> Outcome {
        self.stage.process(vec![self.file(name, bytes).await]).await.remove(0)
    }

    async fn open_path(&self, path: &Path) -> Outcome {
        self.open(&path.file_name().unwrap().to_string_lossy(), &std::fs::read(path).unwrap()).await
    }

    async fn blob(&self, uri: &str) -> String {
        String::from_utf8(self.blobs.get(uri).await.unwrap().to_vec()).unwrap()
    }
}

fn found(outcome: &Outcome) -> Found {
    let Outcome::Emit(outputs) = outcome else { panic!("{outcome:?}") };
    let mut found = Found::default();
    for output in outputs {
        found.topics.push(output.topic.to_string());
        match Message::decode(output.value.as_deref().unwrap()).unwrap() {
            Message::Frame(frame) => found.frames.push(frame),
            Message::Unit(unit) => found.passages.push(unit),
            Message::Manifest(manifest) => found.manifest = Some(manifest),
            Message::Progress(progress) if progress.step == Step::Unit => found.left_out.extend(progress.reason),
            Message::Progress(progress) => {
                assert_eq!(progress.frames, Some(found.frames.len() as i32));
                assert_eq!(progress.passages, Some(found.passages.len() as i32));
            }
            other => panic!("{other:?}"),
        }
    }
    found
}

fn code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Emit(_) => "read",
        Outcome::Skip(reason) => reason.code,
        Outcome::Fail(failure) => {
            assert_eq!(failure.class, Class::Permanent, "{failure:?}");
            failure.code
        }
    }
}

/// The files of a folder of samples, in order; says so when there is none.
fn samples(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let Ok(entries) = std::fs::read_dir(&root) else {
        println!("skipped: samples of {folder}: there is no such folder beside the workspace");
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

async fn the_shipped_samples_are_found_with_their_artboards_and_words() {
    let chain = Chain::new();
    let mut artboards = Vec::new();
    for folder in ["screens", "exports", "documents"] {
        for path in samples(&format!("tests/samples/{folder}")) {
            let found = found(&chain.open_path(&path).await);
            let units = found.frames.len() + found.passages.len();
            assert!(units > 0, "{}", path.display());
            assert_eq!(folder == "documents", found.frames.is_empty(), "{}", path.display());
            assert!(found.left_out.is_empty(), "{}: {:?}", path.display(), found.left_out);
            assert!(found.frames.iter().all(|frame| !frame.content.text.is_empty()), "{}", path.display());
            let names: Vec<_> = found.frames.iter().map(|frame| frame.content.name.clone()).collect();
            let sections: BTreeSet<_> = found.passages.iter().map(|passage| passage.content.name.clone()).collect();
            println!(
                "    {:<40} {names:?} {} passages in {} sections",
                path.file_name().unwrap().display(),
                found.passages.len(),
                sections.len()
            );
            if found.frames.len() > 1 {
                artboards.push(path);
            }
        }
    }
    assert!(artboards.len() >= 2, "files with several artboards: {artboards:?}");
}

async fn every_other_sample_is_read_or_refused_by_its_format() {
    let chain = Chain::new();
    let read = ["svg", "text", "raster"];
    let refused = ["ai", "excalidraw", "fig", "pdf", "penpot", "psd", "sketch"];
    for folder in read.iter().chain(&refused) {
        for path in samples(&format!("../shared/samples/{folder}")) {
            let outcome = chain.open_path(&path).await;
            let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            let is_read = read.contains(folder) && !["tiff", "bmp"].contains(&ending.as_str());
            let expected = if is_read { "read" } else { "unsupported" };
            assert_eq!(code(&outcome), expected, "{}: {outcome:?}", path.display());
            if *folder == "svg" {
                assert_eq!(found(&outcome).frames.len(), 1, "{}", path.display());
            }
        }
    }
}

async fn every_hostile_file_ends_in_time_with_a_typed_reason() {
    let chain = Chain::new();
    let expected = [
        ("billion-laughs.svg", "unsafe"),
        ("binary.md", "not_text"),
        ("bomb-1g.fig", "unsupported"),
        ("deep-nest.svg", "too_large"),
        ("huge-ihdr.png", "too_large"),
        ("huge-viewport.svg", "read"),
        ("kiwi-array-4g.fig", "unsupported"),
        ("use-cycle.svg", "too_large"),
        ("wrong-ext.png", "unsupported"),
        ("xxe.svg", "unsafe"),
        ("zero.fig", "empty"),
    ];
    for path in samples("../shared/samples/hostile") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let started = Instant::now();
        let outcome = chain.open_path(&path).await;
        assert!(started.elapsed() < Duration::from_secs(45), "{name}");
        println!("    {name:<24} {:<12} {:?}", code(&outcome), started.elapsed());
        if let Some((_, expected)) = expected.iter().find(|(known, _)| *known == name) {
            assert_eq!(code(&outcome), *expected, "{name}: {outcome:?}");
        }
        assert_eq!(code(&chain.open("neighbour.txt", b"words").await), "read", "after {name}");
    }
}

async fn outputs_are_frames_then_totals_then_the_manifest() {
    let chain = Chain::new();
    chain.stage.warm().await.unwrap();
    let group = |x: u32, width: u32, name: &str| {
        format!(
            r#"<g transform="translate({x})" data-name="{name}"><rect width="{width}" height="300" fill="red"/><path/><text>{name} words</text></g>"#
        )
    };
    let inner = [group(0, 400, "One"), group(500, 400, "Two"), group(1_000, 50, "Narrow")].concat();
    let svg = format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="1100" height="300">{inner}</svg>"#);
    let found = found(&chain.open("a.svg", svg.as_bytes()).await);
    assert_eq!(found.topics, [topics::FRAMES, topics::FRAMES, topics::PROGRESS, topics::PROGRESS, topics::FRAMES]);
    assert!(found.left_out[0].contains("`Narrow`"), "{:?}", found.left_out);
    for (ordinal, frame) in found.frames.iter().enumerate() {
        assert_eq!(frame.unit_id, unit_id(FILE_ID, Kind::Frame, ordinal as i32));
        assert_eq!((frame.content.width_px, frame.content.height_px), (400, 300));
        let scene = chain.blob(&frame.scene_uri).await;
        assert_eq!(frame.scene_hash, blake3::hash(scene.as_bytes()).to_hex().to_string());
        assert_eq!(scene.matches(" words").count(), 1, "{scene}");
    }
    let manifest = found.manifest.unwrap();
    assert_eq!((manifest.format.as_str(), manifest.frames, manifest.passages, manifest.deleted), ("svg", 2, 0, false));
    assert_eq!(manifest.discovered_at, 1_000);
}

async fn a_document_becomes_passages_with_their_headings() {
    let chain = Chain::new();
    let utf16: Vec<u8> =
        "\u{feff}# Öffnung\n\nMontag bis Freitag.\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let found = found(&chain.open("zeiten.md", &utf16).await);
    let content = &found.passages[0].content;
    assert_eq!((content.name.as_str(), content.text.as_str()), ("Öffnung", "Öffnung\n\nMontag bis Freitag."));
    assert_eq!((content.kind, content.page), (Kind::Passage, Some(1)));
    assert_eq!(found.passages[0].unit_id, unit_id(FILE_ID, Kind::Passage, 0));
    assert_eq!(found.topics, [topics::UNITS, topics::PROGRESS, topics::FRAMES]);
    assert_eq!(found.manifest.unwrap().format, "markdown");
}

async fn a_deletion_is_a_manifest_alone() {
    let chain = Chain::new();
    let file =
        File { action: Action::Delete, content_uri: None, content_hash: None, ..chain.file("a.svg", b"gone").await };
    let found = found(&chain.stage.process(vec![file]).await[0]);
    assert_eq!(found.topics, [topics::FRAMES]);
    assert!(found.manifest.unwrap().deleted);
}

async fn a_text_too_long_for_a_record_is_a_blob() {
    let chain = Chain::new();
    let words = "<text>übung </text>".repeat(20_000);
    let svg = format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300">{words}</svg>"#);
    let found = found(&chain.open("a.svg", svg.as_bytes()).await);
    let content = &found.frames[0].content;
    assert!(content.text.len() <= TEXT_LIMIT_BYTES && content.text.len() > TEXT_LIMIT_BYTES - 4);
    let whole = chain.blob(content.text_uri.as_ref().unwrap()).await;
    assert!(whole.starts_with(&content.text) && whole.len() == 7 * 20_000 - 1, "{}", whole.len());
    let frame = &found.frames[0];
    assert_eq!(chain.blob(&frame.scene_uri).await, svg, "the file itself is the scene");
}

async fn what_cannot_be_had_is_told_apart() {
    let chain = Chain::new();
    let large = File { size_bytes: 300 << 20, ..chain.file("a.svg", b"x").await };
    let missing = chain.file("b.svg", b"missing").await;
    std::fs::remove_file(chain.blobs.local_path(missing.content_uri.as_deref().unwrap()).unwrap()).unwrap();
    let nameless = File { content_uri: None, ..chain.file("c.svg", b"y").await };
    let outcomes = chain.stage.process(vec![large, missing, nameless]).await;
    assert!(matches!(&outcomes[0], Outcome::Skip(reason) if reason.code == "too_large"), "{outcomes:?}");
    assert_eq!(code(&outcomes[1]), "blob");
    assert_eq!(code(&outcomes[2]), "no_content");

    let png = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &[0; 40]].concat();
    assert_eq!(code(&chain.open("cut.png", &png).await), "damaged");
    assert_eq!(code(&chain.open("cut.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><g>").await), "damaged");
    assert_eq!(code(&chain.open("only-markup.html", b"<html><body><script>x</script></body>").await), "empty");
}

async fn an_svg_in_any_encoding_has_a_scene_that_can_be_drawn() {
    let chain = Chain::new();
    let svg =
        "<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='60' height='50'><text>Größe</text></svg>";
    let wide: Vec<u8> = format!("\u{feff}{svg}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    let latin: Vec<u8> = svg.chars().map(|letter| letter as u8).collect();
    for bytes in [format!("\u{feff}{svg}").into_bytes(), wide, latin] {
        let found = found(&chain.open("a.svg", &bytes).await);
        assert_eq!(found.frames[0].content.text, "Größe");
        let scene = chain.blob(&found.frames[0].scene_uri).await;
        assert!(resvg::usvg::Tree::from_str(&scene, &resvg::usvg::Options::default()).is_ok(), "{scene:?}");
    }
}

async fn doing_it_again_gives_the_same() {
    let chain = Chain::new();
    for path in samples("tests/samples/screens").into_iter().take(6) {
        let (first, again) = (found(&chain.open_path(&path).await), found(&chain.open_path(&path).await));
        assert_eq!(first.frames, again.frames);
        assert_eq!(first.manifest, again.manifest);
    }
}

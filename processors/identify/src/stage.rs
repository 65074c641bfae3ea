//! The stage: files in; frames, passages, and the manifest behind them out.

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use frameline_runtime::metric;
use frameline_runtime::moment::now_ms;
use frameline_runtime::{Failure, Outcome, Output, Reason, Stage};
use frameline_sandbox::{Pool, PoolSettings, Refusal};
use frameline_schemas::{
    Action, Content, File, Frame, Kind, Manifest, Progress, Step, TEXT_LIMIT_BYTES, Unit, unit_id,
};
use frameline_stores::blobs::Blobs;
use frameline_topics as topics;
use futures::future::join_all;

use crate::contents::{Contents, Cut, FoundFrame, Passage};
use crate::names::short;
use crate::settings::IdentifySettings;
use crate::worker::{Answer, Question};

const NAME: &str = "identify";
/// Where the scenes of artboards lie among the blobs.
const SCENES: &str = "scenes";
/// Where texts lie that are too long for a record.
const TEXTS: &str = "texts";

/// The topics that `identify` reads.
pub const READS: &[&str] = &[topics::FILES];

/// The stage `identify`.
pub struct Identify {
    blobs: Blobs,
    pool: Pool,
    settings: IdentifySettings,
}

/// How a file ends that brings no outputs.
enum Stop {
    Skip(Reason),
    Fail(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Fail(error.into())
    }
}

impl Identify {
    /// The stage with its pool of workers, as [`IdentifySettings::pool`] gives it.
    pub fn new(blobs: Blobs, settings: IdentifySettings, pool: PoolSettings) -> anyhow::Result<Self> {
        settings.check()?;
        let pool = Pool::new(pool).context("the pool of identify workers cannot start")?;
        metric::begin_files();
        Ok(Self { blobs, pool, settings })
    }

    async fn handle(&self, file: File) -> Outcome {
        match self.outputs(&file).await {
            Ok(outputs) => Outcome::Emit(outputs),
            Err(Stop::Skip(reason)) => Outcome::Skip(reason),
            Err(Stop::Fail(failure)) => Outcome::Fail(failure),
        }
    }

    async fn outputs(&self, file: &File) -> Result<Vec<Output>, Stop> {
        if file.action == Action::Delete {
            return Ok(vec![output(topics::FRAMES, file, &manifest(file, None))?]);
        }
        let limit_bytes = self.settings.file_limit_bytes;
        if u64::try_from(file.size_bytes).unwrap_or(0) > limit_bytes {
            let text = format!("it has {} MiB, and {} MiB are the most", file.size_bytes >> 20, limit_bytes >> 20);
            return Err(Stop::Skip(Reason::new("too_large", text)));
        }
        let contents = self.open(file).await?;
        metric::file_opened(&contents.format, file.size_bytes);
        let mut outputs = Vec::new();
        for (ordinal, frame) in contents.frames.iter().enumerate() {
            let frame = self.frame(file, &contents, frame, ordinal).await?;
            outputs.push(output(topics::FRAMES, file, &frame)?);
        }
        for (ordinal, passage) in contents.passages.iter().enumerate() {
            let unit = self.passage(file, passage, ordinal).await?;
            outputs.push(output(topics::UNITS, file, &unit)?);
        }
        for cut in &contents.cuts {
            outputs.push(output(topics::PROGRESS, file, &left_out(file, cut))?);
        }
        outputs.push(output(topics::PROGRESS, file, &totals(file, &contents))?);
        outputs.push(output(topics::FRAMES, file, &manifest(file, Some(&contents)))?);
        Ok(outputs)
    }

    /// What a worker finds in the file.
    async fn open(&self, file: &File) -> Result<Contents, Stop> {
        let uri = content(file.content_uri.as_deref())?;
        // The slot comes first, so that no more files are in memory than there are workers.
        let mut slot = self.pool.slot().await;
        let bytes = self.blobs.get(uri).await?;
        let question = Question { file_name: file.head.file_name.clone(), settings: self.settings.clone() };
        let (answer, scenes) = slot.call::<_, Answer>(&question, &bytes).await?;
        let contents = answer.map_err(refused)?;
        Ok(Contents { scenes, ..contents })
    }

    async fn frame(
        &self,
        file: &File,
        contents: &Contents,
        found: &FoundFrame,
        ordinal: usize,
    ) -> Result<Frame, Failure> {
        let (scene_uri, scene_hash) = match &found.scene {
            None => {
                (content(file.content_uri.as_deref())?.to_owned(), content(file.content_hash.as_deref())?.to_owned())
            }
            Some(range) => {
                let scene = contents
                    .scenes
                    .get(range.clone())
                    .ok_or_else(|| Failure::permanent("bad_answer", "the worker named a scene that it did not send"))?;
                let hash = blake3::hash(scene).to_hex().to_string();
                let bytes = Bytes::copy_from_slice(scene);
                (self.blobs.put_once(SCENES, &hash, "svg", bytes).await?, hash)
            }
        };
        let (text, text_uri) = self.text(&found.text).await?;
        let content = Content {
            kind: Kind::Frame,
            ordinal: place(ordinal),
            page: None,
            name: short(&found.name),
            text,
            text_uri,
            width_px: found.width_px,
            height_px: found.height_px,
        };
        let unit_id = unit_id(file.head.file_id, Kind::Frame, content.ordinal);
        Ok(Frame { head: file.head.clone(), unit_id, content, scene_uri, scene_hash })
    }

    async fn passage(&self, file: &File, passage: &Passage, ordinal: usize) -> Result<Unit, Failure> {
        let (text, text_uri) = self.text(&passage.text).await?;
        let content = Content {
            kind: Kind::Passage,
            ordinal: place(ordinal),
            page: passage.section,
            name: short(&passage.name),
            text,
            text_uri,
            width_px: 0,
            height_px: 0,
        };
        let unit_id = unit_id(file.head.file_id, Kind::Passage, content.ordinal);
        Ok(Unit { head: file.head.clone(), unit_id, content, thumbnail: None, quality: None })
    }

    /// A text as a record carries it: its start, and the whole as a blob where it is too long.
    async fn text(&self, text: &str) -> Result<(String, Option<String>), Failure> {
        if text.len() <= TEXT_LIMIT_BYTES {
            return Ok((text.to_owned(), None));
        }
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let uri = self.blobs.put_once(TEXTS, &hash, "txt", bytes).await?;
        let (start, _) = text.split_at(text.floor_char_boundary(TEXT_LIMIT_BYTES));
        Ok((start.to_owned(), Some(uri)))
    }
}

#[async_trait]
impl Stage for Identify {
    type In = File;

    fn name(&self) -> &'static str {
        NAME
    }

    fn reads(&self) -> &'static [&'static str] {
        READS
    }

    fn skips(&self) -> &'static [&'static str] {
        &["empty", "not_text", "too_large", "unsupported"]
    }

    async fn warm(&self) -> anyhow::Result<()> {
        let question = Question { file_name: "trial.txt".to_owned(), settings: self.settings.clone() };
        let found = self.pool.slot().await.call::<_, Answer>(&question, b"trial").await;
        found.context("the first identify worker does not answer")?.0?;
        Ok(())
    }

    async fn process(&self, batch: Vec<File>) -> Vec<Outcome> {
        join_all(batch.into_iter().map(|file| self.handle(file))).await
    }
}

fn output<T: frameline_schemas::Record>(topic: &str, file: &File, record: &T) -> Result<Output, Failure> {
    Ok(Output::of(topic, file.head.file_id, record)?)
}

fn content(part: Option<&str>) -> Result<&str, Failure> {
    part.ok_or_else(|| Failure::permanent("no_content", "the record names no content, and is no deletion"))
}

fn place(ordinal: usize) -> i32 {
    i32::try_from(ordinal).unwrap_or(i32::MAX)
}

/// The end of the file; without contents, the end of a file that is gone.
fn manifest(file: &File, contents: Option<&Contents>) -> Manifest {
    Manifest {
        head: file.head.clone(),
        format: contents.map(|contents| contents.format.clone()).unwrap_or_default(),
        deleted: contents.is_none(),
        frames: contents.map_or(0, |contents| place(contents.frames.len())),
        passages: contents.map_or(0, |contents| place(contents.passages.len())),
        discovered_at: file.discovered_at,
    }
}

fn totals(file: &File, contents: &Contents) -> Progress {
    Progress {
        step: Step::File,
        outcome: frameline_schemas::Outcome::Done,
        frames: Some(place(contents.frames.len())),
        passages: Some(place(contents.passages.len())),
        ..progress(file)
    }
}

fn left_out(file: &File, cut: &Cut) -> Progress {
    Progress {
        step: Step::Unit,
        outcome: frameline_schemas::Outcome::Skipped,
        reason_code: Some(cut.code().to_owned()),
        reason: Some(short(&cut.to_string())),
        ..progress(file)
    }
}

fn progress(file: &File) -> Progress {
    Progress {
        head: file.head.clone(),
        stage: NAME.to_owned(),
        step: Step::File,
        unit_id: None,
        outcome: frameline_schemas::Outcome::Done,
        reason_code: None,
        reason: None,
        frames: None,
        passages: None,
        at: now_ms(),
        redrives: 0,
        redriven: false,
    }
}

/// What was never meant to be read is skipped; what claims to be readable and is not goes to the dead letters.
fn refused(refusal: Refusal) -> Stop {
    match refusal {
        Refusal::Empty | Refusal::Unsupported(_) | Refusal::NotText => {
            Stop::Skip(Reason::new(refusal.code(), refusal.to_string()))
        }
        Refusal::Damaged(_) | Refusal::TooLarge(_) | Refusal::Unsafe(_) => {
            Stop::Fail(Failure::permanent(refusal.code(), refusal))
        }
    }
}

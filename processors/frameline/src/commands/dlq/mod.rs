//! `frameline dlq list | show | redrive`: what the stages gave up, and how it goes back.

mod list;
mod redrive;
mod show;

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use frameline_runtime::Record;
use frameline_runtime::dead_letter::letter::{Entry, Letter, Place};
use frameline_runtime::dead_letter::redrive::Filter;
use frameline_runtime::log::scan::Span;
use uuid::Uuid;

use super::source::{self, Source};
use super::{Context, about};
use crate::cli::{DlqCommand, Letters};
use crate::stages::Name;

pub(super) async fn run(context: Context, command: DlqCommand) -> Result<()> {
    context.needs_data()?;
    match command {
        DlqCommand::List(command) => list::run(context, command).await,
        DlqCommand::Show(command) => show::run(context, command).await,
        DlqCommand::Redrive(command) => redrive::run(context, command).await,
    }
}

/// How many letters a stage has given up then or later that may be put back: none that were, and none whose file has a
/// newer revision.
pub(super) async fn waiting(context: &Context, stage: Name, since_ms: i64) -> Result<usize> {
    let letters = DeadLetters::since(context, stage, since_ms).await?;
    let mut waiting = 0;
    let counted = letters.each(async |letter, newest| {
        let is_superseded = newest.is_some_and(|newest| letter.is_superseded_by(newest));
        waiting += usize::from(!is_superseded && !letters.redriven.contains(&letter.place));
        Ok(())
    });
    counted.await?;
    Ok(waiting)
}

/// The dead letters of a stage, up to the end that their topic has now.
struct DeadLetters {
    source: Source,
    spans: Vec<Span>,
    /// Those that were put back.
    redriven: HashSet<Place>,
}

impl DeadLetters {
    /// Reads the topic once, for what was put back.
    async fn open(context: &Context, stage: Name) -> Result<Self> {
        let source = Source::open(context).await?;
        let spans = whole(&source, stage).await?;
        Self::of(source, spans).await
    }

    /// Those that were given up then or later. A mark is younger than its letter, so theirs are all among them.
    async fn since(context: &Context, stage: Name, since_ms: i64) -> Result<Self> {
        let source = Source::open(context).await?;
        let operate = context.ports.operate().await?;
        let spans = source::since(operate.as_ref(), whole(&source, stage).await?, since_ms).await?;
        Self::of(source, spans).await
    }

    async fn of(source: Source, spans: Vec<Span>) -> Result<Self> {
        let mut letters = Self { source, spans, redriven: HashSet::new() };
        let mut redriven = HashSet::new();
        letters
            .entries(async |entries| {
                redriven.extend(entries.into_iter().filter_map(|entry| match entry {
                    Entry::Mark(place) => Some(place),
                    Entry::Letter(_) | Entry::Foreign => None,
                }));
                Ok(())
            })
            .await?;
        letters.redriven = redriven;
        Ok(letters)
    }

    /// Gives `each` the letters, those of a partition in their order, with the newest revision of their file that
    /// is known.
    async fn each(&self, mut each: impl AsyncFnMut(Letter, Option<i64>) -> Result<()>) -> Result<()> {
        self.entries(async |entries| {
            let letters: Vec<Letter> = entries
                .into_iter()
                .filter_map(|entry| match entry {
                    Entry::Letter(letter) => Some(*letter),
                    Entry::Mark(_) | Entry::Foreign => None,
                })
                .collect();
            let newest = self.source.newest(letters.iter().filter_map(file_of)).await?;
            for letter in letters {
                let newest = file_of(&letter).and_then(|file| newest.get(&file).copied());
                each(letter, newest).await?;
            }
            Ok(())
        })
        .await
    }

    async fn read(&self, partition: i32, record: Record) -> Result<Entry> {
        let ids = self.source.learn(std::iter::once(&record)).await?;
        Ok(Entry::read(partition, record, ids))
    }

    async fn entries(&self, mut each: impl AsyncFnMut(Vec<Entry>) -> Result<()>) -> Result<()> {
        let mut scan = self.source.log.scan(self.spans.clone()).await?;
        while let Some(run) = scan.next().await.context("reading the dead letters")? {
            let mut entries = Vec::with_capacity(run.records.len());
            for record in run.records {
                entries.push(self.read(run.partition.partition, record).await?);
            }
            each(entries).await?;
        }
        Ok(())
    }
}

async fn whole(source: &Source, stage: Name) -> Result<Vec<Span>> {
    Ok(source.log.readable(&[frameline_topics::dead_letters(stage.as_str())]).await?)
}

fn file_of(letter: &Letter) -> Option<Uuid> {
    letter.subject.as_ref().map(|subject| subject.head.file_id)
}

async fn filter(context: &Context, letters: &Letters) -> Result<Filter> {
    let named = about::named(context, &letters.about).await?;
    Ok(Filter {
        file: named.file,
        job: named.job,
        class: letters.class,
        error: letters.error.clone(),
        since_ms: letters.about.since,
        until_ms: letters.about.until,
    })
}

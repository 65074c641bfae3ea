//! `frameline dlq list | show | redrive`: what the stages gave up, and how it goes back.

mod list;
mod redrive;
mod show;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use frameline_runtime::Record;
use frameline_runtime::dead_letter::letter::{Entry, Letter, Place};
use frameline_runtime::dead_letter::redrive::Filter;
use frameline_runtime::log::Log;
use frameline_runtime::log::scan::{self, Span};
use frameline_runtime::wire::Wire;
use frameline_schemas::schema_id;
use frameline_stores::jobs::Catalogue;
use uuid::Uuid;

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

/// The dead letters of a stage, up to the end that their topic has now.
struct DeadLetters {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    catalogue: Arc<dyn Catalogue>,
    spans: Vec<Span>,
    /// Those that were put back.
    redriven: HashSet<Place>,
}

impl DeadLetters {
    /// Reads the topic once, for what was put back.
    async fn open(context: &Context, stage: Name) -> Result<Self> {
        let log = context.ports.log().await?;
        let wire = context.ports.wire()?;
        let catalogue = context.ports.jobs().await?;
        let spans = scan::whole(log.as_ref(), &[frameline_topics::dead_letters(stage.as_str())]).await?;
        let mut letters = Self { log, wire, catalogue, spans, redriven: HashSet::new() };
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
            let files: BTreeSet<Uuid> = letters.iter().filter_map(file_of).collect();
            let files: Vec<Uuid> = files.into_iter().collect();
            let newest: BTreeMap<Uuid, i64> = self.catalogue.newest_revisions(&files).await?;
            for letter in letters {
                let newest = file_of(&letter).and_then(|file| newest.get(&file).copied());
                each(letter, newest).await?;
            }
            Ok(())
        })
        .await
    }

    async fn read(&self, partition: i32, record: Record) -> Result<Entry> {
        self.wire.learn(record.value.as_deref().and_then(schema_id).into_iter()).await?;
        Ok(Entry::read(partition, record, self.wire.ids()))
    }

    async fn entries(&self, mut each: impl AsyncFnMut(Vec<Entry>) -> Result<()>) -> Result<()> {
        let mut scan = self.log.scan(self.spans.clone()).await?;
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

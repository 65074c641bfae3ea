//! The steps of a rebuild: send what is missing, wait until the stages have passed it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use frameline_discover::{Discover, HAND_OVER_FILES};
use frameline_runtime::TopicPartition;
use frameline_runtime::log::Log;
use frameline_stores::jobs::{Catalogue, FileEntry};
use frameline_stores::vectors::qdrant::QdrantVectors;
use frameline_stores::vectors::{Floor, Vectors};
use tokio_util::sync::CancellationToken;

use super::filler::Filler;
use super::{Context, runs_stages};
use crate::output::{count, one_line};
use crate::progress::Progress;
use crate::service::{Order, Service};
use crate::stages::Name;

/// Files that are looked at together.
const PAGE: usize = 500;
/// So many records before `identify` and no more is sent: live files do not wait behind a rebuild for long.
const AHEAD_RECORDS: i64 = 256;
/// So many files that did not come through are named.
const NAMED_LOSSES: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What is needed for it.
pub(super) struct Rebuild {
    catalogue: Arc<dyn Catalogue>,
    discover: Discover,
    log: Arc<dyn Log>,
    /// What is filled; none before it is there.
    target: Option<Arc<dyn Vectors>>,
    /// Whoever fills it, where the stage `index` does not.
    filler: Option<Filler>,
    progress: Progress,
}

impl Rebuild {
    /// A rebuild of an index that is not there yet.
    pub(super) async fn of_all(context: &Context) -> Result<Self> {
        let files = context.ports.jobs().await?.file_counts().await?.files;
        Ok(Self {
            catalogue: context.ports.jobs().await?,
            discover: context.ports.discover().await?,
            log: context.ports.log().await?,
            target: None,
            filler: None,
            progress: Progress::start(context.output, usize::try_from(files).ok()),
        })
    }

    /// A rebuild of this index, which the stage `index` fills.
    pub(super) async fn of(context: &Context, target: Arc<dyn Vectors>) -> Result<Self> {
        Ok(Self { target: Some(target), ..Self::of_all(context).await? })
    }

    /// A rebuild of a collection beside the live one.
    pub(super) async fn beside(context: &Context, fresh: Arc<QdrantVectors>) -> Result<Self> {
        let filler = Filler::new(context.ports.log().await?, context.ports.wire().await?, Arc::clone(&fresh)).await?;
        Ok(Self { filler: Some(filler), ..Self::of(context, fresh).await? })
    }

    /// How many files there are, and how many of them would be sent.
    pub(super) async fn files(&self, all: bool) -> Result<(u64, u64)> {
        let (mut files, mut missing) = (0, 0);
        let mut after = None;
        loop {
            let page = self.catalogue.files_after(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok((files, missing)) };
            after = Some(last.file_id);
            files += page.len() as u64;
            missing += self.missing(page, all).await?.len() as u64;
        }
    }

    /// Reads on what the stages made, where we do so ourselves.
    pub(super) async fn catch_up(&mut self) -> Result<()> {
        match &mut self.filler {
            Some(filler) => filler.catch_up().await,
            None => Ok(()),
        }
    }

    /// Sends the files again of which no end has arrived, or all; gives how many.
    pub(super) async fn send_missing(&mut self, all: bool) -> Result<u64> {
        let (mut seen, mut sent) = (0, 0);
        let mut after = None;
        loop {
            let page = self.catalogue.files_after(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(sent) };
            after = Some(last.file_id);
            seen += page.len();
            for entries in self.missing(page, all).await?.chunks(HAND_OVER_FILES) {
                self.wait_for_room().await?;
                self.discover.send_again(entries).await?;
                sent += entries.len() as u64;
                self.progress.set(seen, &format!("{sent} sent again"));
            }
        }
    }

    async fn wait_for_room(&mut self) -> Result<()> {
        loop {
            self.catch_up().await?;
            let lag = self.log.lag(Name::Identify.as_str(), &Name::Identify.topics()).await?;
            if lag.iter().map(|lag| lag.records()).sum::<i64>() < AHEAD_RECORDS {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until every stage has passed all that was before it: from the first to the last, what one wrote is
    /// before the next.
    pub(super) async fn drain(&mut self) -> Result<()> {
        let stages = [Name::Identify, Name::Render, Name::Validate, Name::Embed, Name::Index];
        let ours = if self.filler.is_some() { stages.len() - 1 } else { stages.len() };
        for stage in stages.into_iter().take(ours) {
            let ends: Vec<(TopicPartition, i64)> = self
                .log
                .lag(stage.as_str(), &stage.topics())
                .await?
                .into_iter()
                .map(|lag| (lag.partition, lag.high))
                .collect();
            loop {
                self.catch_up().await?;
                let now = self.log.lag(stage.as_str(), &stage.topics()).await?;
                let before = |(partition, end): &(TopicPartition, i64)| {
                    let lag = now.iter().find(|lag| lag.partition == *partition);
                    lag.map_or(0, |lag| (end - lag.committed.unwrap_or(lag.low).max(lag.low)).max(0))
                };
                let waiting: i64 = ends.iter().map(before).sum();
                if waiting == 0 {
                    break;
                }
                self.progress.set(0, &format!("{waiting} before {stage}"));
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        self.catch_up().await
    }

    /// Notes whose place what is filled takes, where we fill it ourselves.
    pub(super) async fn note_place(&mut self, of: Option<String>) -> Result<()> {
        match &mut self.filler {
            Some(filler) => filler.note_place(of).await,
            None => Ok(()),
        }
    }

    /// The files that the live index has and this one lacks. Files that end while it is looked are no loss: what seems
    /// to be one is looked at again, once what came meanwhile was read.
    pub(super) async fn lost(&mut self, live: &dyn Vectors) -> Result<Lost> {
        let (mut lost, mut after) = (Lost::default(), None);
        loop {
            let page = self.catalogue.files_after(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(lost) };
            after = Some(last.file_id);
            let mut suspects = self.lacks(page, live).await?;
            if !suspects.is_empty() {
                self.catch_up().await?;
                suspects = self.lacks(suspects, live).await?;
            }
            suspects.into_iter().for_each(|entry| lost.add(entry));
        }
    }

    /// Those of the files of which the live index has a revision that this one lacks.
    async fn lacks(&self, files: Vec<FileEntry>, live: &dyn Vectors) -> Result<Vec<FileEntry>> {
        let Some(target) = &self.target else { return Ok(Vec::new()) };
        let ids = ids(&files);
        let ended = target.floors(&ids).await?.into_iter().zip(live.floors(&ids).await?);
        let files = files.into_iter().zip(ended).filter(|(_, (here, there))| here < there);
        Ok(files.map(|(entry, _)| entry).collect())
    }

    /// Those of the files that are to be sent: the ones that never are, are left out.
    async fn missing(&self, page: Vec<FileEntry>, all: bool) -> Result<Vec<FileEntry>> {
        let sendable: Vec<FileEntry> =
            page.into_iter().filter(|entry| entry.is_deleted || entry.content.is_some()).collect();
        let Some(target) = self.target.as_ref().filter(|_| !all) else { return Ok(sendable) };
        let floors = target.floors(&ids(&sendable)).await?;
        Ok(sendable
            .into_iter()
            .zip(floors)
            .filter(|(entry, floor)| !has_ended(entry, *floor))
            .map(|(entry, _)| entry)
            .collect())
    }
}

/// What did not come through.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// How many files.
    pub(super) count: usize,
    /// The names of the first of them.
    names: Vec<String>,
}

impl Lost {
    fn add(&mut self, entry: FileEntry) {
        self.count += 1;
        if self.names.len() < NAMED_LOSSES {
            self.names.push(one_line(&entry.name));
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.count > self.names.len() { ", …" } else { "" };
        write!(formatter, "{} ({}{more})", count(self.count, "file"), self.names.join(", "))
    }
}

fn ids(entries: &[FileEntry]) -> Vec<uuid::Uuid> {
    entries.iter().map(|entry| entry.file_id).collect()
}

fn has_ended(entry: &FileEntry, floor: Option<Floor>) -> bool {
    floor.is_some_and(|floor| floor >= Floor::after(entry.revision, entry.is_deleted))
}

/// Does `work` while the stages run: those of a service, or of this process where there is none.
pub(super) async fn with_stages<T>(context: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
    if !runs_stages(context)? {
        return work.await;
    }
    // The service takes a file that is missing for damage.
    context.ports.vectors().await?;
    let stop = CancellationToken::new();
    let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let order = Order { stages: Name::ALL.to_vec(), alone: true, listen, instance: None };
    let mut service = Service::start(&context.ports, &context.loaded.config, &order, stop.clone()).await?;
    service.ready().await?;
    let done = service.meanwhile(work).await?;
    stop.cancel();
    service.run().await?;
    done.ok_or_else(|| anyhow::anyhow!("the stages have stopped"))
}

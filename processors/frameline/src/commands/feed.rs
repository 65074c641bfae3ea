//! Records that go back on a stage's input: in batches that are written as a whole, and no faster than they may.

use std::time::Instant;

use anyhow::Result;
use frameline_runtime::Output;
use frameline_runtime::log::Log;
use frameline_runtime::rate::Rate;

use crate::error::Interrupted;
use crate::output::Output as Printer;
use crate::progress::Progress;

/// Batches are written at this size.
const BATCH_BYTES: usize = 1 << 20;
/// And at this many records.
const BATCH_RECORDS: u64 = 200;

/// Writes records at a limited rate.
pub(super) struct Feed<'a> {
    log: &'a dyn Log,
    rate: Option<Rate>,
    batch: Vec<Output>,
    batch_bytes: usize,
    batch_records: u64,
    written: u64,
    progress: Progress,
}

impl<'a> Feed<'a> {
    /// Feeds `log` with `total` records, `per_second` of them at most; 0 is no limit.
    pub(super) fn new(log: &'a dyn Log, per_second: u32, total: u64, printer: Printer) -> Self {
        let progress = Progress::start(printer, usize::try_from(total).ok());
        let rate = Rate::new(per_second, Instant::now());
        Self { log, rate, batch: Vec::new(), batch_bytes: 0, batch_records: 0, written: 0, progress }
    }

    /// Takes one record, with what has to be written together with it.
    pub(super) async fn push(&mut self, outputs: impl IntoIterator<Item = Output>) -> Result<()> {
        while let Some(Err(from)) = self.rate.as_mut().map(|rate| rate.allowed(Instant::now())) {
            self.flush().await?;
            tokio::time::sleep_until(from.into()).await;
        }
        if let Some(rate) = &mut self.rate {
            rate.spend(1);
        }
        for output in outputs {
            self.batch_bytes += output.size_bytes();
            self.batch.push(output);
        }
        self.batch_records += 1;
        if self.batch_bytes >= BATCH_BYTES || self.batch_records >= BATCH_RECORDS {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes what is left; gives how many records were written.
    pub(super) async fn finish(mut self) -> Result<u64> {
        self.flush().await?;
        Ok(self.written)
    }

    async fn flush(&mut self) -> Result<()> {
        if !self.batch.is_empty() {
            self.log.append(std::mem::take(&mut self.batch)).await?;
            self.written += self.batch_records;
            (self.batch_bytes, self.batch_records) = (0, 0);
            self.progress.set(usize::try_from(self.written).unwrap_or(usize::MAX), "put back");
        }
        Ok(())
    }
}

/// Does `work` until Ctrl-C. What it wrote by then is written: `again` says what a second call does.
pub(super) async fn until_interrupted<T>(again: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Interrupted(format!("stopped with a part of it done; {again}")).into()),
    }
}

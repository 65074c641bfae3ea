//! The embedded service against one function with the same steps, on the same files and threads.
//!
//! Ours is the binary as its users have it: `up` is ready, then `add --wait` brings a folder in. The other calls
//! the stages one after the other, for some files at a time: the same workers, models and stores, and no log, no
//! driver, no jobs. What both end with is compared.

mod bundle;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::ensure;
use frameline_stores::vectors::{Counts, SqliteVectors, Vectors};
use tempfile::TempDir;

use self::bundle::Bundle;
use crate::contest::{Better, Contest, Scores};
use crate::corpus::Mix;
use crate::service::{Service, command};

const MIX: Mix = Mix { screens: 60, pictures: 20, documents: 20 };
const SEED: u64 = 42;

pub(crate) fn run(rounds: usize) -> anyhow::Result<(Contest, Scores)> {
    let folder = TempDir::new()?;
    MIX.write(folder.path(), SEED)?;
    let mut files = fs::read_dir(folder.path())?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    let bundle = Bundle::new()?;
    let expected = bundle.pass(&files)?.counts;
    let contest = Contest {
        name: "chain",
        against: "one function with the same steps",
        unit: "files/s",
        better: Better::More,
        goal: 0.85,
    };
    let scores = Scores::play(
        rounds,
        |_| score(&files, expected, ours(folder.path())?),
        |_| score(&files, expected, bundle.pass(&files)?),
    )?;
    Ok((contest, scores))
}

/// What a contender has done, and how long it took.
struct Pass {
    seconds: f64,
    counts: Counts,
}

/// Brings `folder` in; the time is that of `add --wait`.
fn ours(folder: &Path) -> anyhow::Result<Pass> {
    let data = TempDir::new()?;
    let service = Service::start(command(data.path(), "up")?)?;
    let mut add = command(data.path(), "add")?;
    add.arg(folder).arg("--wait");
    let started = Instant::now();
    let added = add.output()?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(added.status.success(), "`frameline add --wait`: {}", String::from_utf8_lossy(&added.stderr));
    service.stop()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counts =
        runtime.block_on(async { SqliteVectors::open(&data.path().join("vectors.db")).await?.counts().await })?;
    Ok(Pass { seconds, counts })
}

fn score(files: &[PathBuf], expected: Counts, pass: Pass) -> anyhow::Result<f64> {
    ensure!(pass.counts == expected, "{:?} are in the index instead of {expected:?}", pass.counts);
    Ok(files.len() as f64 / pass.seconds)
}

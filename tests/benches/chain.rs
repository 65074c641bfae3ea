//! The embedded service against one function with the same steps, on the same files and threads.
//!
//! Ours is the binary as its users have it: `up` is ready, then `add --wait` brings a folder in. The other calls
//! the stages one after the other, for some files at a time: the same workers, models and stores, and no log, no
//! driver, no jobs. What both end with is compared.

mod bundle;
mod service;

use std::fs;
use std::path::PathBuf;

use anyhow::ensure;
use frameline_stores::vectors::Counts;
use tempfile::TempDir;

use self::bundle::Bundle;
use crate::contest::{Better, Contest, Scores};
use crate::corpus::Mix;

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
        |_| score(&files, expected, service::pass(folder.path())?),
        |_| score(&files, expected, bundle.pass(&files)?),
    )?;
    Ok((contest, scores))
}

/// What a contender has done, and how long it took.
struct Pass {
    seconds: f64,
    counts: Counts,
}

fn score(files: &[PathBuf], expected: Counts, pass: Pass) -> anyhow::Result<f64> {
    ensure!(pass.counts == expected, "{:?} are in the index instead of {expected:?}", pass.counts);
    Ok(files.len() as f64 / pass.seconds)
}

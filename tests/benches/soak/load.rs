//! Files that change, a few at a time.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, ensure};

use crate::corpus::Mix;

const MIX: Mix = Mix { screens: 60, pictures: 20, documents: 20 };
/// How many files change at a time.
const FEW: usize = 10;
const SEED: u64 = 42;

/// A command of the product.
pub(super) type Product<'a> = &'a (dyn Fn(&str) -> anyhow::Result<Command> + Sync);

/// The files, and how often they changed.
pub(super) struct Load {
    folder: PathBuf,
    names: Vec<PathBuf>,
    changed: usize,
}

impl Load {
    pub(super) fn new(folder: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir(&folder)?;
        MIX.write(&folder, SEED)?;
        let entries = fs::read_dir(&folder)?.map(|entry| Ok(entry?.file_name().into()));
        let mut names = entries.collect::<anyhow::Result<Vec<PathBuf>>>()?;
        names.sort();
        Ok(Self { folder, names, changed: 0 })
    }

    pub(super) fn files(&self) -> usize {
        self.names.len()
    }

    /// How many changes were handed over.
    pub(super) fn changed(&self) -> usize {
        self.changed
    }

    /// Brings all in; files a second.
    pub(super) fn all_at_once(&self, product: Product<'_>) -> anyhow::Result<f64> {
        let begun = Instant::now();
        succeed(product("add")?.arg(&self.folder).arg("--wait"))?;
        Ok(self.files() as f64 / begun.elapsed().as_secs_f64())
    }

    /// Changes so many files a second.
    pub(super) fn feed_until(&mut self, end: Instant, a_second: f64, product: Product<'_>) -> anyhow::Result<()> {
        let begun = Instant::now();
        let interval = Duration::from_secs_f64(FEW as f64 / a_second);
        let fresh = self.folder.with_file_name("fresh");
        for number in 0_u32.. {
            let due = begun + interval * number;
            if due >= end {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.change_few(&fresh, number, product)?;
        }
        Ok(())
    }

    /// New contents of the whole mix are drawn when the last ones are used up.
    fn change_few(&mut self, fresh: &PathBuf, number: u32, product: Product<'_>) -> anyhow::Result<()> {
        let rounds = u32::try_from(self.files() / FEW)?;
        if number.is_multiple_of(rounds) {
            fs::create_dir_all(fresh)?;
            MIX.write(fresh, SEED + 1 + u64::from(number / rounds))?;
        }
        let mut add = product("add")?;
        // Spread over the kinds: each few have some of every kind.
        for name in self.names.iter().skip((number % rounds) as usize).step_by(rounds as usize) {
            let path = self.folder.join(name);
            fs::rename(fresh.join(name), &path).with_context(|| format!("cannot change {}", path.display()))?;
            add.arg(path);
            self.changed += 1;
        }
        succeed(&mut add)
    }
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

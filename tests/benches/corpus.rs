//! Made-up inputs, the same ones for the same seed: screens, pictures and documents with real words in them.

use std::fs;
use std::path::Path;

use anyhow::Context;
use fastrand::Rng;
pub(crate) use frameline_tests::content::words;
use frameline_tests::content::{document, picture, png, screen};

/// How many files of each kind.
pub(crate) struct Mix {
    pub(crate) screens: usize,
    pub(crate) pictures: usize,
    pub(crate) documents: usize,
}

impl Mix {
    /// Writes them into `folder`.
    pub(crate) fn write(&self, folder: &Path, seed: u64) -> anyhow::Result<()> {
        let mut random = Rng::with_seed(seed);
        for number in 0..self.screens {
            let path = folder.join(format!("screen-{number:03}.svg"));
            fs::write(&path, screen(&mut random, 3)).with_context(|| format!("cannot write {}", path.display()))?;
        }
        for number in 0..self.pictures {
            let path = folder.join(format!("picture-{number:03}.png"));
            let bytes = png(&picture(&mut random, 800, 600))?;
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        for number in 0..self.documents {
            let path = folder.join(format!("document-{number:03}.md"));
            fs::write(&path, document(&mut random, 4, 2, 60))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

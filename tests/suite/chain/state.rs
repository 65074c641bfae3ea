//! Everything that an ingest leaves, for comparing two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use frameline_stores::vectors::sqlite::SqliteVectors;
use frameline_stores::vectors::{Stored, Vectors};

use crate::process::Product;

/// The index, the thumbnails, the jobs and the lag.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndState {
    units: Vec<Stored>,
    thumbnails: BTreeSet<String>,
    jobs: BTreeMap<String, String>,
    lag: i64,
}

impl EndState {
    /// Reads it from the product's data; `config` names the configuration of its log.
    pub(crate) fn of(product: &Product, config: &[&str]) -> Self {
        let ask = |command: &[&str]| product.json(command.iter().chain(config));
        let jobs = ask(&["jobs", "--limit", "10000"]);
        let state = |job: &serde_json::Value| (job["file"].to_string(), job["state"].to_string());
        Self {
            units: units(&product.data()),
            thumbnails: names_below(&product.data().join("blobs").join("thumbnails")),
            jobs: jobs["jobs"].as_array().unwrap().iter().map(state).collect(),
            lag: ask(&["lag"])["lag"].as_i64().unwrap(),
        }
    }

    /// The same of a product whose thumbnails are not in its data directory.
    pub(crate) fn without_thumbnails(self) -> Self {
        Self { thumbnails: BTreeSet::new(), ..self }
    }

    /// How many jobs there are.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// How many units there are.
    pub(crate) fn units(&self) -> usize {
        self.units.len()
    }
}

fn units(data: &Path) -> Vec<Stored> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut units = SqliteVectors::open(&data.join("vectors.db")).await.unwrap().dump().await.unwrap();
        units.sort();
        units
    })
}

fn names_below(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return names };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(names_below(&path));
        } else {
            names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    names
}

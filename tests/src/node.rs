//! Programs that npm fetches: each in a folder of its own, made once, in the user's cache folder.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::commands::output;
use crate::server::{cache_folder, lock};

/// The folder `name`, which has these packages below `node_modules`; made where it is not there yet. A name stands for
/// its packages and their versions for ever. No script of a package is run.
///
/// # Errors
/// Where npm is missing, with what to install, or cannot fetch them.
pub fn packages(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let (_lock, folder) = (lock(name)?, cache_folder()?.join(name));
    let complete = folder.join("complete");
    if complete.is_file() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).args(packages);
    output(npm.current_dir(&folder)).context("npm is needed; on Debian: apt-get install nodejs npm")?;
    File::create(complete)?;
    Ok(folder)
}

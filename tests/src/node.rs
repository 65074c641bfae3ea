//! Programs that npm fetches: each in a folder of its own, made once, in the user's cache folder.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};

use crate::server::cache_folder;

/// The folder `name`, which has these packages below `node_modules`; made where it is not there yet. A name stands for
/// its packages and their versions for ever. No script of a package is run.
///
/// # Errors
/// Where npm is missing, with what to install, or cannot fetch them.
pub fn packages(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let cache = cache_folder()?;
    fs::create_dir_all(&cache)?;
    // One at a time, of all processes.
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let folder = cache.join(name);
    let complete = folder.join("complete");
    if complete.is_file() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).args(packages);
    let output = npm.current_dir(&folder).stdin(Stdio::null()).output();
    let output = output.context("`npm` is not there; on Debian: apt-get install nodejs npm")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "npm could not fetch {}: {said}", packages.join(" "));
    File::create(complete)?;
    Ok(folder)
}

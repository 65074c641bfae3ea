//! Programs that pip fetches: each in an environment of its own, made once, in the user's cache folder.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::commands::output;
use crate::server::{cache_folder, lock};

/// The folder `bin` of the environment `name`, which has these packages; made where it is not there yet. A name
/// stands for its packages and their versions for ever.
///
/// # Errors
/// Where Python is missing, with what to install, or pip cannot fetch them.
pub fn environment(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let cache = cache_folder()?;
    // An environment holds its own path, so it is made where it stays.
    let _lock = lock(name)?;
    let folder = cache.join(name);
    let (programs, complete) = (folder.join("bin"), folder.join("complete"));
    if complete.is_file() {
        return Ok(programs);
    }
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .context("Python cannot make an environment; on Debian: apt-get install python3-venv")?;
    output(
        Command::new(programs.join("python")).args(["-m", "pip", "install", "--quiet", "--no-input"]).args(packages),
    )
    .with_context(|| format!("pip could not fetch {}", packages.join(" ")))?;
    File::create(complete)?;
    Ok(programs)
}

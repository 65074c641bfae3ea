//! Images without a daemon: Buildah builds them by their Dockerfile and runs what is in them, as root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use tempfile::TempDir;

use crate::commands::output;
use crate::server::cache_folder;

/// What builds and keeps images, in a folder of its own, which goes with it.
pub struct Engine {
    folder: TempDir,
}

/// What an engine does with an image where nobody says otherwise: `config` of Docker's image format.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// `UID:GID`.
    pub user: String,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// The program and what is always behind it.
    pub entrypoint: Vec<String>,
    /// What tells whether it is well.
    pub healthcheck: Healthcheck,
}

/// The command of a health check.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `CMD`, the program, its arguments.
    pub test: Vec<String>,
}

/// Why there can be none on this machine; `None` where there can.
pub fn obstacle() -> Option<String> {
    let there = Command::new("buildah").arg("--version").output().is_ok();
    (!there).then(|| "buildah is not there; on Debian: apt-get install buildah".to_owned())
}

impl Engine {
    /// With no image.
    ///
    /// # Errors
    /// Where the cache cannot be written to. A folder for temporary files may keep programs from being run.
    pub fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::Builder::new().prefix("buildah-").tempdir_in(cache_folder()?)? })
    }

    fn command(&self, name: &str) -> Result<Command> {
        let place = |name: &str| self.folder.path().join(name);
        let temporary = place("temporary");
        fs::create_dir_all(&temporary)?;
        let mut command = Command::new("buildah");
        // Files are copied where layers cannot be laid over each other, as inside another engine; that works everywhere.
        command.args(["--storage-driver", "vfs", "--root"]).arg(place("images")).arg("--runroot").arg(place("run"));
        command.arg(name).env("TMPDIR", temporary);
        Ok(command)
    }

    /// Takes the files below a folder for an image of this name, as if it had been fetched.
    ///
    /// # Errors
    /// Where Buildah fails, with what it said.
    pub fn take(&self, folder: &Path, name: &str) -> Result<()> {
        let container = self.container("scratch")?;
        output(self.command("copy")?.arg(&container.name).arg(folder).arg("/"))?;
        output(self.command("commit")?.args([&container.name, name]))?;
        Ok(())
    }

    /// Builds an image of this name from images that were taken before; nothing is fetched.
    ///
    /// # Errors
    /// Where Buildah fails, with what it said.
    pub fn build(&self, dockerfile: &Path, context: &Path, name: &str) -> Result<()> {
        let mut command = self.command("build")?;
        command.args(["--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker"]);
        output(command.arg("--tag").arg(name).arg("--file").arg(dockerfile).arg(context))?;
        Ok(())
    }

    /// What it is told to do.
    ///
    /// # Errors
    /// Where there is no such image, or it is not complete.
    pub fn config(&self, name: &str) -> Result<Config> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inspected {
            docker: Image,
        }
        #[derive(Deserialize)]
        struct Image {
            config: Config,
        }
        let said = output(self.command("inspect")?.args(["--type", "image", name]))?;
        let inspected: Inspected = serde_json::from_str(&said).context("what buildah inspect says")?;
        Ok(inspected.docker.config)
    }

    /// A container of this image, in which nothing runs yet.
    ///
    /// # Errors
    /// Where there is no such image.
    pub fn container(&self, image: &str) -> Result<Container<'_>> {
        let name = output(self.command("from")?.args(["--pull-never", image]))?.trim().to_owned();
        let root = PathBuf::from(output(self.command("mount")?.arg(&name))?.trim());
        Ok(Container { engine: self, name, root })
    }
}

/// What an image becomes where it is run.
pub struct Container<'a> {
    engine: &'a Engine,
    name: String,
    root: PathBuf,
}

impl Container<'_> {
    /// What is at an absolute path in it.
    pub fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Runs a program of it as its configuration says, and gives what it printed.
    ///
    /// # Errors
    /// Where it fails, with all that it said.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        output(self.engine.command("run")?.args(["--isolation", "chroot", &self.name, "--"]).args(words))
    }

    /// Bytes of all its files.
    ///
    /// # Errors
    /// Where they cannot be counted.
    pub fn size_bytes(&self) -> Result<u64> {
        let said = output(Command::new("du").args(["--summarize", "--bytes"]).arg(&self.root))?;
        Ok(said.split_whitespace().next().context("du says nothing")?.parse()?)
    }
}

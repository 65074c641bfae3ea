//! Contenders in Java. Their libraries are fetched by Maven into the user's cache, beside those of the broker.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail, ensure};
use frameline_tests::kafka;
use tempfile::TempDir;

/// Group, name and version of what Maven fetches.
type Artifact = (&'static str, &'static str, &'static str);

/// Compiles without a JDK: a Java that runs Apache Kafka has no compiler.
const COMPILER: Artifact = ("org.eclipse.jdt", "ecj", "3.40.0");
const COMPILER_CLASS: &str = "org.eclipse.jdt.internal.compiler.batch.Main";

/// A program of one file.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) class: &'static str,
    pub(crate) source: &'static str,
    pub(crate) artifacts: &'static [Artifact],
}

/// A program that runs, and is told what to do line by line; killed when it is dropped.
pub(crate) struct Contender {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _classes: TempDir,
}

impl Contender {
    pub(crate) fn start(program: &Program, arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = fetched(&format!("bench-{}", program.name), program.artifacts)?;
        let classes = compiled(program, &folder)?;
        let mut child = Command::new("java")
            .args(["-Xms256m", "-Xmx1g", "-cp"])
            .arg(format!("{}:{}/*", classes.path().display(), folder.display()))
            .arg(program.class)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start java")?;
        let input = child.stdin.take().context("the program has no input")?;
        let output = BufReader::new(child.stdout.take().context("the program has no output")?);
        Ok(Self { child, input, output, _classes: classes })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.input, "{line}")?;
        Ok(self.input.flush()?)
    }

    /// The rest of the next line, which begins with `word`.
    pub(crate) fn hear(&mut self, word: &str) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the program ended before it said `{word}`");
        match line.trim_end().strip_prefix(word) {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => bail!("the program said {line:?} instead of `{word}`"),
        }
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn compiled(program: &Program, libraries: &Path) -> anyhow::Result<TempDir> {
    let compiler = fetched("bench-compiler", &[COMPILER])?;
    let classes = TempDir::new()?;
    let source = classes.path().join(format!("{}.java", program.class));
    fs::write(&source, program.source)?;
    let output = Command::new("java")
        .arg("-cp")
        .arg(compiler.join("*"))
        .args([COMPILER_CLASS, "-17", "-nowarn", "-cp"])
        .arg(jars(libraries)?)
        .arg("-d")
        .arg(classes.path())
        .arg(&source)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} cannot be compiled:\n{said}", program.class);
    Ok(classes)
}

/// The compiler takes no wildcard.
fn jars(libraries: &Path) -> anyhow::Result<String> {
    let mut jars = Vec::new();
    for entry in fs::read_dir(libraries)? {
        jars.push(entry?.path().display().to_string());
    }
    Ok(jars.join(":"))
}

/// The folder of these and what they need, fetched where it is not there yet.
fn fetched(name: &str, artifacts: &[Artifact]) -> anyhow::Result<PathBuf> {
    let of_kafka = kafka::install()?;
    let cache = of_kafka.parent().and_then(Path::parent).context("the broker's libraries lie in no cache folder")?;
    let versions: Vec<&str> = artifacts.iter().map(|(_, _, version)| *version).collect();
    let folder = cache.join(format!("{name}-{}", versions.join("-")));
    let libraries = folder.join("lib");
    if libraries.is_dir() {
        return Ok(libraries);
    }
    let fresh = tempfile::Builder::new().prefix(name).tempdir_in(cache)?;
    fs::write(fresh.path().join("pom.xml"), pom(artifacts))?;
    let status = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"])
        .current_dir(fresh.path())
        .stdin(Stdio::null())
        .status()
        .context("cannot start maven")?;
    ensure!(status.success(), "maven could not fetch the libraries of {name}: {status}");
    fs::rename(fresh.keep(), &folder)?;
    Ok(libraries)
}

fn pom(artifacts: &[Artifact]) -> String {
    let dependency = |(group, artifact, version): &Artifact| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    let dependencies: String = artifacts.iter().map(dependency).collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>frameline</groupId><artifactId>bench</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{dependencies}</dependencies></project>"
    )
}

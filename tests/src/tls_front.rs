//! TLS in front of a server on this machine that has none, and a login where it is wanted (`servers/tls_front.py`).

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::{Process, ready};
use crate::tls::Certificates;

/// How long it may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The front; killed when it is dropped.
pub struct TlsFront {
    process: Option<Process>,
    port: u16,
}

impl TlsFront {
    /// One that leads to this port, with the server's certificate of these.
    ///
    /// # Errors
    /// Where Python is missing, or it does not get ready.
    pub fn start(certificates: &Certificates, to: u16) -> Result<Self> {
        Self::start_with(certificates, to, &[])
    }

    /// The same before an HTTP server, for whoever has the login.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with_login(certificates: &Certificates, to: u16, user: &str, password: &str) -> Result<Self> {
        Self::start_with(certificates, to, &["--user", user, "--password", password])
    }

    fn start_with(certificates: &Certificates, to: u16, more: &[&str]) -> Result<Self> {
        let mut command = Command::new("python3");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/servers/tls_front.py"))
            .arg("--certificate")
            .arg(certificates.file("server.both.pem"))
            .args(["--to", &to.to_string()])
            .args(more)
            .stdout(Stdio::piped());
        let (process, output) = Process::start(command)?;
        let mut front = Self { process: Some(process), port: 0 };
        let port = ready(output.context("its output is piped")?, READY_TIMEOUT);
        front.port = port.context("the front does not get ready")?;
        Ok(front)
    }

    /// Where it listens, with TLS and nothing else.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }
}

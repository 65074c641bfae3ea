//! Certificates for tests, made by `openssl`: an authority, a server's and a client's, and an authority that nobody
//! knows.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::commands::output;
use crate::server::Folder;

const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE";
const NO_AUTHORITY: &str = "basicConstraints=critical,CA:FALSE";

/// Certificates, in a folder that goes with them.
pub struct Certificates {
    folder: Folder,
}

impl Certificates {
    /// Makes them; the server's is for 127.0.0.1 and no other name.
    ///
    /// # Errors
    /// Where `openssl` is missing, or refuses.
    pub fn new() -> Result<Self> {
        let made = Self { folder: Folder::new("tls")? };
        made.make("ca", None, &[AUTHORITY])?;
        made.make("other-ca", None, &[AUTHORITY])?;
        made.make("server", Some("ca"), &[NO_AUTHORITY, "subjectAltName=IP:127.0.0.1"])?;
        made.make("client", Some("ca"), &[NO_AUTHORITY, "extendedKeyUsage=clientAuth"])?;
        let key = fs::read_to_string(made.file("server.key"))?;
        let certificate = fs::read_to_string(made.file("server.pem"))?;
        fs::write(made.file("server.both.pem"), key + &certificate)?;
        Ok(made)
    }

    /// One of the files: `ca.pem`, `other-ca.pem`, `server.pem`, `server.key`, `server.both.pem` (its key in it),
    /// `client.pem`, `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn make(&self, name: &str, authority: Option<&str>, extensions: &[&str]) -> Result<()> {
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN=frameline-test-{name}"), "-batch"])
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
        for extension in extensions {
            command.args(["-addext", extension]);
        }
        if let Some(authority) = authority {
            command.args(["-CA", &format!("{authority}.pem"), "-CAkey", &format!("{authority}.key")]);
        }
        output(command.current_dir(&*self.folder))?;
        Ok(())
    }
}

//! Where the database is, and how one gets in.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use frameline_runtime::secret::Secret;
use serde::{Deserialize, Serialize};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// What the client is told.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgres://user@host:5432/database`, without a password and without options.
    pub url: String,
    /// With what the user logs in; empty where the server wants nothing.
    pub password: Secret,
    /// Whether the connection is encrypted, and the server looked at.
    pub tls: TlsMode,
    /// Who vouches for the server beside those whom the system trusts; empty for nobody.
    pub ca_file: PathBuf,
    /// Connections of this process, at most; whoever follows changes has one more.
    pub connections: u32,
    /// How long one waits for a connection.
    pub connect_timeout: Duration,
    /// How long an answer may take, from the first statement of a transaction to its end.
    pub timeout: Duration,
}

/// PostgreSQL's own `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can.
    #[default]
    Prefer,
    /// Encrypted, whoever the server is.
    Require,
    /// And the server's certificate is vouched for.
    VerifyCa,
    /// And it is for the name that the server is reached by.
    VerifyFull,
}

impl TlsMode {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsMode::Disable => "disable",
            TlsMode::Prefer => "prefer",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        }
    }

    /// Whether it asks who vouches for the server.
    pub fn verifies(self) -> bool {
        matches!(self, TlsMode::VerifyCa | TlsMode::VerifyFull)
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl PostgresSettings {
    /// What is wrong with a URL, in words that may be shown.
    pub fn fault_of_url(url: &str) -> Option<String> {
        let Some(("postgres" | "postgresql", rest)) = url.split_once("://") else {
            return Some("must begin with postgres://".to_owned());
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if login.contains(':') {
            return Some("has a password in it, which would be shown".to_owned());
        }
        if rest.contains(['?', '#']) {
            return Some("has options in it, which have keys of their own".to_owned());
        }
        let has_database = rest.split_once('/').is_some_and(|(_, database)| !database.is_empty());
        if login.is_empty() || host.is_empty() || !has_database {
            return Some("must name a user, a host and a database: postgres://user@host:5432/database".to_owned());
        }
        url.parse::<PgConnectOptions>().err().map(|error| error.to_string())
    }

    /// The server and the database, for people.
    pub(super) fn place(&self) -> String {
        self.url.clone()
    }

    /// What sqlx takes. The environment's own variables, such as `PGPASSWORD`, fill in what is not said.
    pub(super) fn options(&self) -> sqlx::Result<PgConnectOptions> {
        let mode = match self.tls {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        };
        let mut options: PgConnectOptions = self.url.parse()?;
        options = options.ssl_mode(mode).application_name("frameline").disable_statement_logging();
        if !self.password.is_empty() {
            options = options.password(self.password.reveal());
        }
        if !self.ca_file.as_os_str().is_empty() {
            let unreadable = |error| format!("{} cannot be read: {error}", self.ca_file.display());
            let authorities =
                fs::read(&self.ca_file).map_err(|error| sqlx::Error::Configuration(unreadable(error).into()))?;
            options = options.ssl_root_cert_from_pem(authorities);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_would_not_work_or_would_show_a_secret_is_told() {
        for (url, words) in [
            ("mysql://me@db/frameline", "must begin with postgres://"),
            ("db:5432", "must begin with postgres://"),
            ("postgres://me:hunter2@db/frameline", "has a password in it"),
            ("postgres://me@db/frameline?password=hunter2", "has options in it"),
            ("postgres://db/frameline", "must name a user"),
            ("postgres://me@db", "must name a user"),
            ("postgres://me@db:port/frameline", "port"),
        ] {
            let told = PostgresSettings::fault_of_url(url).unwrap();
            assert!(told.contains(words) && !told.contains("hunter2"), "{url}: {told}");
        }
        for url in ["postgres://me@db:5432/frameline", "postgresql://me@[::1]/frameline"] {
            assert_eq!(PostgresSettings::fault_of_url(url), None, "{url}");
        }
    }
}

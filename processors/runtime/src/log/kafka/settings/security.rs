//! TLS and SASL: what is said, what contradicts itself, and which properties of librdkafka it makes.

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use crate::log::kafka::token;
use crate::secret::Secret;

/// How brokers and clients make sure of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// What the brokers' listener speaks.
    pub protocol: SecurityProtocol,
    /// Of a protocol with TLS.
    pub tls: Tls,
    /// Of a protocol with SASL.
    pub sasl: Sasl,
}

/// What a listener speaks, as Kafka calls it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// Neither TLS nor a login.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// A login, in the clear.
    SaslPlaintext,
    /// A login within TLS.
    SaslSsl,
}

/// TLS. All files are PEM; an empty path is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Who vouches for brokers; by default whom the system trusts.
    pub ca_file: PathBuf,
    /// What we show to brokers that want to know us.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// What the key is encrypted with.
    pub key_password: Secret,
    /// The file that has it.
    pub key_password_file: PathBuf,
    /// Whether a broker's certificate has to be for the name that it is reached by.
    pub verify_host: bool,
}

/// SASL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sasl {
    /// How one logs in.
    pub mechanism: SaslMechanism,
    /// Who.
    pub username: String,
    /// With what.
    pub password: Secret,
    /// The file that has it.
    pub password_file: PathBuf,
    /// The file that has the token of OAUTHBEARER; it is read again before the token expires.
    pub token_file: PathBuf,
}

/// A mechanism of SASL, as Kafka calls it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// None.
    #[default]
    #[serde(rename = "none")]
    None,
    /// Name and password as they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A password that does not travel (RFC 5802).
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with a longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token of somebody else (RFC 7628).
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            key_password: Secret::default(),
            key_password_file: PathBuf::new(),
            verify_host: true,
        }
    }
}

impl SecurityProtocol {
    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// As it is written in the configuration, and for librdkafka.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

impl SaslMechanism {
    /// As it is written in the configuration, and for librdkafka.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    fn has_password(self) -> bool {
        matches!(self, Self::Plain | Self::ScramSha256 | Self::ScramSha512)
    }
}

/// Whether something is said.
fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

impl Security {
    /// Refuses what contradicts itself. Nothing is read for it.
    pub fn check(&self) -> Result<(), String> {
        let protocol = self.protocol.as_str();
        let (tls, sasl) = (&self.tls, &self.sasl);
        if let Some(key) = tls.first_set().filter(|_| !self.protocol.has_tls()) {
            return Err(format!(
                "kafka.tls.{key} is set and kafka.security_protocol is {protocol}, which has no TLS: choose ssl or sasl_ssl"
            ));
        }
        if let Some(key) = sasl.first_set().filter(|_| !self.protocol.has_sasl()) {
            return Err(format!(
                "kafka.sasl.{key} is set and kafka.security_protocol is {protocol}, which has no login: choose sasl_ssl, or \
                 sasl_plaintext where the network is trusted"
            ));
        }
        tls.check()?;
        if self.protocol.has_sasl() { sasl.check(protocol) } else { Ok(()) }
    }

    /// Reads passwords that lie in files, and makes sure that the other files are there.
    pub(in crate::log::kafka) fn open(mut self) -> Result<Self, String> {
        for (key, file, secret) in [
            ("kafka.tls.key_password_file", &self.tls.key_password_file, &mut self.tls.key_password),
            ("kafka.sasl.password_file", &self.sasl.password_file, &mut self.sasl.password),
        ] {
            if is_set(file) {
                *secret = Secret::of_file(file).map_err(|error| unreadable(key, file, &error))?;
                if secret.is_empty() {
                    return Err(format!("{key}: {} is empty", file.display()));
                }
            }
        }
        for (key, file) in [
            ("kafka.tls.ca_file", &self.tls.ca_file),
            ("kafka.tls.certificate_file", &self.tls.certificate_file),
            ("kafka.tls.key_file", &self.tls.key_file),
            ("kafka.sasl.token_file", &self.sasl.token_file),
        ] {
            if is_set(file) {
                std::fs::File::open(file).map_err(|error| unreadable(key, file, &error))?;
            }
        }
        Ok(self)
    }

    /// Says it to librdkafka.
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        config.set("security.protocol", self.protocol.as_str());
        if self.protocol.has_tls() {
            self.tls.apply(config);
        }
        if self.protocol.has_sasl() {
            config.set("sasl.mechanism", self.sasl.mechanism.as_str());
        }
        if self.protocol.has_sasl() && self.sasl.mechanism.has_password() {
            config.set("sasl.username", &self.sasl.username);
            config.set("sasl.password", self.sasl.password.reveal());
        }
        if let Some(file) = self.token_file() {
            config.set(token::PROPERTY, file.to_string_lossy());
        }
    }

    /// Who logs in, for a text that says that it did not work.
    pub(in crate::log::kafka) fn who(&self) -> String {
        match self.sasl.mechanism {
            SaslMechanism::None => "the client".to_owned(),
            SaslMechanism::OauthBearer if is_set(&self.sasl.token_file) => {
                format!("the token in {}", self.sasl.token_file.display())
            }
            SaslMechanism::OauthBearer => "the token".to_owned(),
            mechanism => format!("`{}` ({})", self.sasl.username, mechanism.as_str()),
        }
    }

    /// Where to look when that did not work.
    pub(in crate::log::kafka) fn login_advice(&self) -> &'static str {
        match self.sasl.mechanism {
            SaslMechanism::OauthBearer if is_set(&self.sasl.token_file) => {
                "check the token in kafka.sasl.token_file: when it ends, who issued it, for whom"
            }
            SaslMechanism::OauthBearer => "check sasl.oauthbearer.* in kafka.properties",
            _ => "check kafka.sasl.mechanism, kafka.sasl.username and the password",
        }
    }

    /// The file with the token, where that is how one logs in.
    pub(in crate::log::kafka) fn token_file(&self) -> Option<&Path> {
        let is_token = self.protocol.has_sasl() && self.sasl.mechanism == SaslMechanism::OauthBearer;
        (is_token && is_set(&self.sasl.token_file)).then_some(&self.sasl.token_file)
    }
}

fn unreadable(key: &str, file: &Path, error: &std::io::Error) -> String {
    format!("{key}: {} cannot be read: {error}", file.display())
}

impl Tls {
    fn first_set(&self) -> Option<&'static str> {
        let said = [
            ("ca_file", is_set(&self.ca_file)),
            ("certificate_file", is_set(&self.certificate_file)),
            ("key_file", is_set(&self.key_file)),
            ("key_password", !self.key_password.is_empty()),
            ("key_password_file", is_set(&self.key_password_file)),
            ("verify_host = false", !self.verify_host),
        ];
        said.into_iter().find_map(|(key, is_said)| is_said.then_some(key))
    }

    fn check(&self) -> Result<(), String> {
        let has_password = !self.key_password.is_empty() || is_set(&self.key_password_file);
        match (is_set(&self.certificate_file), is_set(&self.key_file)) {
            (true, false) => {
                Err("kafka.tls.certificate_file is set and kafka.tls.key_file is not: each needs the other".to_owned())
            }
            (false, true) => {
                Err("kafka.tls.key_file is set and kafka.tls.certificate_file is not: each needs the other".to_owned())
            }
            (_, false) if has_password => {
                Err("kafka.tls.key_password is set and kafka.tls.key_file is not: there is no key to open with it"
                    .to_owned())
            }
            _ => one_of(
                "kafka.tls.key_password",
                &self.key_password,
                "kafka.tls.key_password_file",
                &self.key_password_file,
            ),
        }
    }

    fn apply(&self, config: &mut ClientConfig) {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        // The OpenSSL in the binary knows no folder of the system's: librdkafka looks into the usual ones.
        let ca_file = if is_set(&self.ca_file) { text(&self.ca_file) } else { "probe".to_owned() };
        config.set("ssl.ca.location", ca_file);
        config.set("ssl.endpoint.identification.algorithm", if self.verify_host { "https" } else { "none" });
        if is_set(&self.certificate_file) {
            config.set("ssl.certificate.location", text(&self.certificate_file));
            config.set("ssl.key.location", text(&self.key_file));
        }
        if !self.key_password.is_empty() {
            config.set("ssl.key.password", self.key_password.reveal());
        }
    }
}

impl Sasl {
    fn first_set(&self) -> Option<&'static str> {
        let said = [
            ("mechanism", self.mechanism != SaslMechanism::None),
            ("username", !self.username.is_empty()),
            ("password", !self.password.is_empty()),
            ("password_file", is_set(&self.password_file)),
            ("token_file", is_set(&self.token_file)),
        ];
        said.into_iter().find_map(|(key, is_said)| is_said.then_some(key))
    }

    fn check(&self, protocol: &str) -> Result<(), String> {
        let mechanism = self.mechanism.as_str();
        let has_password = !self.password.is_empty() || is_set(&self.password_file);
        let has_name = !self.username.is_empty();
        match self.mechanism {
            SaslMechanism::None => Err(format!(
                "kafka.security_protocol is {protocol} and kafka.sasl.mechanism is none: choose PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 \
                 or OAUTHBEARER, as the brokers have it"
            )),
            SaslMechanism::OauthBearer if has_name || has_password => Err(format!(
                "kafka.sasl.username or a password is set and kafka.sasl.mechanism is {mechanism}, which takes a token: \
                 set kafka.sasl.token_file alone"
            )),
            SaslMechanism::OauthBearer => Ok(()),
            _ if is_set(&self.token_file) => Err(format!(
                "kafka.sasl.token_file is set and kafka.sasl.mechanism is {mechanism}: a token is for OAUTHBEARER"
            )),
            _ if !has_name => Err(format!("kafka.sasl.mechanism is {mechanism} and kafka.sasl.username is empty")),
            _ if !has_password => Err(format!(
                "kafka.sasl.mechanism is {mechanism} and there is no password: set kafka.sasl.password_file, or \
                 $FRAMELINE__KAFKA__SASL__PASSWORD"
            )),
            _ => one_of("kafka.sasl.password", &self.password, "kafka.sasl.password_file", &self.password_file),
        }
    }
}

fn one_of(key: &str, secret: &Secret, file_key: &str, file: &Path) -> Result<(), String> {
    if !secret.is_empty() && is_set(file) {
        return Err(format!("{key} and {file_key} are both set: keep one"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! A Kafka broker with two listeners beside the plain one: `SECURE` speaks TLS and wants a login (SCRAM, PLAIN or a
//! token), `MUTUAL` speaks TLS and wants a certificate.

use anyhow::Result;

use crate::kafka::Broker;
use crate::server::free_port;
use crate::tls::Certificates;

/// Who may log in.
pub const USER: &str = "frameline";
/// With what; odd enough to be searched for in every output.
pub const PASSWORD: &str = "xyzzy-plugh-7f3a";

/// The broker, and what its clients need.
pub struct Secured {
    /// It lives as long as this.
    _broker: Broker,
    /// What it and its clients show each other.
    pub certificates: Certificates,
    secure_port: u16,
    mutual_port: u16,
}

impl Secured {
    /// Starts one, with [`USER`] in it.
    ///
    /// # Panics
    /// Where it cannot be had, with what is missing.
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|error| panic!("no Apache Kafka with TLS to test on: {error:#}"))
    }

    fn try_start() -> Result<Self> {
        let certificates = Certificates::new()?;
        let (secure_port, mutual_port) = (free_port()?, free_port()?);
        let broker = Broker::with(&properties(&certificates, secure_port, mutual_port));
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let login = format!("{mechanism}=[password={PASSWORD}]");
            let arguments = ["--alter", "--add-config", &login, "--entity-type", "users", "--entity-name", USER];
            broker.tool("kafka.admin.ConfigCommand", &arguments);
        }
        Ok(Self { _broker: broker, certificates, secure_port, mutual_port })
    }

    /// The listener with TLS and a login.
    pub fn secure(&self) -> String {
        format!("127.0.0.1:{}", self.secure_port)
    }

    /// The same listener, by a name that its certificate does not have.
    pub fn secure_by_name(&self) -> String {
        format!("localhost:{}", self.secure_port)
    }

    /// The listener with TLS that wants a certificate.
    pub fn mutual(&self) -> String {
        format!("127.0.0.1:{}", self.mutual_port)
    }
}

fn properties(certificates: &Certificates, secure_port: u16, mutual_port: u16) -> String {
    let server = certificates.file("server.both.pem");
    let authority = certificates.file("ca.pem");
    let login = |mechanism: &str, module: &str, options: &str| {
        format!(
            "listener.name.secure.{mechanism}.sasl.jaas.config=org.apache.kafka.common.security.{module} required{options};\n"
        )
    };
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{{port}},SECURE://127.0.0.1:{secure_port},MUTUAL://127.0.0.1:{mutual_port},\
         CONTROLLER://127.0.0.1:{{controller_port}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SECURE://127.0.0.1:{secure_port},MUTUAL://127.0.0.1:{mutual_port},\
         CONTROLLER://127.0.0.1:{{controller_port}}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.mutual.ssl.client.auth=required
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER
{scram_256}{scram_512}{plain}{token}",
        server = server.display(),
        authority = authority.display(),
        scram_256 = login("scram-sha-256", "scram.ScramLoginModule", ""),
        scram_512 = login("scram-sha-512", "scram.ScramLoginModule", ""),
        plain = login("plain", "plain.PlainLoginModule", &format!(" user_{USER}=\"{PASSWORD}\"")),
        token = login("oauthbearer", "oauthbearer.OAuthBearerLoginModule", " unsecuredLoginStringClaim_sub=\"broker\""),
    )
}

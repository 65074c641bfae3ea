//! Why brokers do not answer. librdkafka tries again whatever the reason is, and all that its calls say is that
//! they timed out: so a client of its own is asked what it runs into, and where no patience helps, the answer says
//! which key to look at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::context::Consumer;
use super::events::{Content, Queue};
use super::settings::{KafkaSettings, SecurityProtocol};
use super::token::Connect;
use crate::log::LogError;

/// How long to look.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait for brokers before it is looked what was run into.
const SLICE: Duration = Duration::from_millis(200);
/// What log lines are about that tell of a lost connection.
const FAILURE: &str = "FAIL";
/// A client that has just connected is in this state, until it is answered.
const FIRST_WORD: &str = "APIVERSION_QUERY";
/// The group of the client, which is never joined.
const NOBODY: &str = "frameline-why";

/// The same error, with its reason.
pub(super) fn explained(settings: &KafkaSettings, error: LogError) -> LogError {
    let LogError::Unavailable(said) = error else { return error };
    let Some((code, reason)) = ask(settings) else { return LogError::Unavailable(said) };
    match advice(settings, code, &reason) {
        // Whatever stands in front of brokers that are down may hang up, too: that passes.
        Some(advice) if code == RDKafkaErrorCode::BrokerTransportFailure => LogError::Unavailable(advice),
        Some(advice) => LogError::Refused(advice),
        None => LogError::Unavailable(format!("{said}: {reason}")),
    }
}

/// What a client runs into; nothing when it reaches the brokers after all.
fn ask(settings: &KafkaSettings) -> Option<(RDKafkaErrorCode, String)> {
    let mut config = settings.consumer(NOBODY, "why");
    // A broker that hangs up is told about in a log line, and nowhere else.
    config.set_log_level(RDKafkaLogLevel::Info);
    let consumer: Consumer = config.connect().ok()?;
    let consumer = Arc::new(consumer);
    let queue = Queue::of_group(&consumer)?;
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        if consumer.client().fetch_metadata(None, SLICE).is_ok() {
            return None;
        }
        while let Some(mut event) = queue.poll(Duration::ZERO) {
            let (code, reason) = match event.content() {
                Content::Error { code: RDKafkaErrorCode::AllBrokersDown, .. } => continue,
                Content::Error { code, reason, .. } => (code, reason),
                Content::Log { facility, message, .. } if facility == FAILURE => {
                    (RDKafkaErrorCode::BrokerTransportFailure, message)
                }
                _ => continue,
            };
            if advice(settings, code, &reason).is_some() {
                return Some((code, reason));
            }
            last = Some((code, reason));
        }
    }
    last
}

/// What is wrong, and which key to look at, where trying again does not help.
pub(super) fn advice(settings: &KafkaSettings, code: RDKafkaErrorCode, reason: &str) -> Option<String> {
    let security = &settings.security;
    let (servers, protocol) = (&settings.bootstrap_servers, security.protocol.as_str());
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    let is_plain = matches!(security.protocol, SecurityProtocol::Plaintext | SecurityProtocol::SaslPlaintext);
    let is_hung_up_on = says(&["security.protocol", "SSL listener"]) || (is_plain && says(&[FIRST_WORD]));
    let (what, keys) = match code {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            (format!("the brokers at {servers} refuse {}", security.who()), security.login_advice())
        }
        RDKafkaErrorCode::SSL if says(&["PLAINTEXT", "wrong version number", "record layer"]) => (
            format!("kafka.security_protocol is {protocol}, and what listens at {servers} does not speak TLS"),
            "name the port of the listener with TLS, or choose another protocol",
        ),
        RDKafkaErrorCode::SSL if says(&["hostname", "IP address mismatch"]) => (
            format!("the certificate of a broker at {servers} is for another name"),
            "reach it by a name in the certificate; or kafka.tls.verify_host = false, if you trust the network",
        ),
        RDKafkaErrorCode::SSL if says(&["certificate verify failed", "could not be verified"]) => (
            format!("nobody that we trust vouches for the brokers at {servers}"),
            "check kafka.tls.ca_file: it has to be the one that signed their certificates",
        ),
        RDKafkaErrorCode::SSL => (
            format!("TLS with the brokers at {servers} fails"),
            "check kafka.tls.*; brokers may want a certificate: kafka.tls.certificate_file and kafka.tls.key_file",
        ),
        RDKafkaErrorCode::BrokerTransportFailure if is_hung_up_on => (
            format!("kafka.security_protocol is {protocol}, and what listens at {servers} hangs up on it"),
            "if the brokers are up: does it want TLS (ssl, see kafka.tls), a login (sasl_plaintext), or both (sasl_ssl)?",
        ),
        _ => return None,
    };
    Some(format!("{what}: {reason}; {keys}"))
}

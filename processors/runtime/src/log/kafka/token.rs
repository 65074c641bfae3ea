//! Tokens of OAUTHBEARER, from a file that somebody else keeps fresh, such as the mounted token of a service account.
//!
//! A client needs one before it logs in, and is given it when it is made ([`Connect`]). When four fifths of the
//! token's life are over librdkafka asks for the next one, by an event in the client's queue that has the value of
//! [`PROPERTY`] in it: that is where the path of the file is.

use std::ffi::{CStr, CString, c_char};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::client::OAuthToken;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use serde::Deserialize;

use super::context::{Consumer, Context};

/// The property whose value comes with the event.
pub(super) const PROPERTY: &str = "sasl.oauthbearer.config";
/// A token that does not say when it ends is read again well within this time.
const OPAQUE_LIFE: Duration = Duration::from_secs(300);
/// Long enough for what librdkafka has to say.
const ERROR_BYTES: usize = 256;

/// Makes consumers that can log in at once.
pub(super) trait Connect {
    /// A consumer of these settings.
    fn connect(&self) -> Result<Consumer, KafkaError>;
}

impl Connect for ClientConfig {
    fn connect(&self) -> Result<Consumer, KafkaError> {
        let consumer = Consumer::from_config_and_context(self, Context::default())?;
        give(consumer.client().native_ptr(), self.get(PROPERTY));
        Ok(consumer)
    }
}

/// Gives the client the token that is in the file now, where there is one. What goes wrong goes to the log, and to
/// the client, whose logins say so.
pub(super) fn give(client: *mut sys::rd_kafka_t, file: Option<&str>) {
    let Some(file) = file else { return };
    let given = read(file).and_then(|token| set(client, token));
    let Err(reason) = given else { return };
    tracing::warn!(file, reason, "no token to log in to Kafka with");
    if let Ok(reason) = CString::new(reason) {
        // SAFETY: the caller's client is valid; the text is copied.
        unsafe { sys::rd_kafka_oauthbearer_set_token_failure(client, reason.as_ptr()) };
    }
}

/// Answers the event that asks for the next token.
///
/// # Safety
/// The client and its event are valid.
pub(super) unsafe fn answer(client: *mut sys::rd_kafka_t, event: *mut sys::rd_kafka_event_t) {
    // SAFETY: the caller's; the text lives as long as the event.
    let file = unsafe {
        let config = sys::rd_kafka_event_config_string(event);
        (!config.is_null()).then(|| CStr::from_ptr(config).to_string_lossy())
    };
    give(client, file.as_deref());
}

/// The token in the file, with what it says of itself.
pub(super) fn read(file: &str) -> Result<OAuthToken, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(described(text.trim(), now))
}

/// What a JSON Web Token says of itself (RFC 7519).
#[derive(Default, Deserialize)]
struct Claims {
    exp: Option<f64>,
    sub: Option<String>,
}

fn described(token: &str, now: Duration) -> OAuthToken {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Claims = payload.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let ends_at = claims.exp.map_or(now + OPAQUE_LIFE, |seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e11)));
    OAuthToken {
        token: token.to_owned(),
        principal_name: claims.sub.unwrap_or_else(|| "frameline".to_owned()),
        lifetime_ms: i64::try_from(ends_at.as_millis()).unwrap_or(i64::MAX),
    }
}

fn set(client: *mut sys::rd_kafka_t, token: OAuthToken) -> Result<(), String> {
    let texts = CString::new(token.token).and_then(|value| Ok((value, CString::new(token.principal_name)?)));
    let (value, principal) = texts.map_err(|_| "it has a zero byte in it".to_owned())?;
    let mut error = [0 as c_char; ERROR_BYTES];
    // SAFETY: the caller's client is valid; texts are copied; the error is written within its length.
    let code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client,
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            std::ptr::null_mut(),
            0,
            error.as_mut_ptr(),
            error.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: librdkafka ends its text with a zero.
    Err(unsafe { CStr::from_ptr(error.as_ptr()) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_says_when_it_ends_is_believed_and_another_is_read_again_soon() {
        let now = Duration::from_secs(1_000);
        let claims = URL_SAFE_NO_PAD.encode(br#"{"sub": "stage", "exp": 5000}"#);
        let token = described(&format!("e30.{claims}.signature"), now);
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("stage", 5_000_000));
        for opaque in ["opaque", "a.b.c", "..", ""] {
            let token = described(opaque, now);
            assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("frameline", 1_300_000));
        }
    }
}

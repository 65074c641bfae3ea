//! Where traces go.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::error::Refusal;

/// OpenTelemetry's own variable for headers, such as one with a key.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// Traces.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Telemetry {
    pub(crate) otlp_endpoint: String,
    pub(crate) otlp_headers_file: PathBuf,
    pub(crate) sample_ratio: f64,
    pub(crate) queue_spans: usize,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), otlp_headers_file: PathBuf::new(), sample_ratio: 1.0, queue_spans: 8_192 }
    }
}

impl Telemetry {
    /// What contradicts itself, in words.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let Self { otlp_endpoint, otlp_headers_file, sample_ratio, queue_spans } = self;
        let mut found = Vec::new();
        if !otlp_endpoint.is_empty() && !otlp_endpoint.starts_with("http://") && !otlp_endpoint.starts_with("https://")
        {
            found.push(format!(
                "telemetry.otlp_endpoint is {otlp_endpoint}, and must begin with http:// or https://, such as \
                 http://collector:4318"
            ));
        }
        if otlp_endpoint.contains('@') {
            found.push(
                "telemetry.otlp_endpoint names a user, and would be logged; telemetry.otlp_headers_file is the place \
                 for secrets"
                    .to_owned(),
            );
        }
        if otlp_endpoint.is_empty() && !otlp_headers_file.as_os_str().is_empty() {
            found.push(format!(
                "telemetry.otlp_headers_file is {} and telemetry.otlp_endpoint is empty",
                otlp_headers_file.display()
            ));
        }
        if !(0.0..=1.0).contains(sample_ratio) {
            found.push(format!("telemetry.sample_ratio is {sample_ratio}, and must be from 0 to 1"));
        }
        if *queue_spans == 0 {
            found.push("telemetry.queue_spans is 0, and must be 1 or more for spans to get through".to_owned());
        }
        found
    }

    /// Headers of every request to the receiver: a line `name=value` each in the file, and those of the environment,
    /// with commas between them. Never shown: they may be secrets.
    pub(crate) fn headers(&self) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if let Ok(text) = std::env::var(HEADERS) {
            take(&mut headers, text.split(','), &format!("${HEADERS}"))?;
        }
        let file = &self.otlp_headers_file;
        if !file.as_os_str().is_empty() {
            let text = fs::read_to_string(file).map_err(|error| {
                let message = format!("the headers for traces, {}, cannot be read", file.display());
                Refusal::new(message, "telemetry.otlp_headers_file names them").because(error)
            })?;
            take(&mut headers, text.lines(), &file.display().to_string())?;
        }
        Ok(headers)
    }
}

fn take<'a>(headers: &mut HeaderMap, parts: impl Iterator<Item = &'a str>, place: &str) -> Result<()> {
    for (number, part) in (1..).zip(parts).filter(|(_, part)| !part.trim().is_empty()) {
        let header = part.split_once('=').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let Some((name, value)) = header else {
            let message = format!("header {number} for traces ({place}) is not one");
            return Err(Refusal::new(message, "write it as name=value, such as authorization=Bearer …").into());
        };
        headers.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_from_a_file_a_line_each_and_never_show_their_values() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "authorization=Bearer s3cret=\n\nx-scope=a\n").unwrap();
        let settings = Telemetry { otlp_headers_file: file.path().to_owned(), ..Telemetry::default() };
        let headers = settings.headers().unwrap();
        assert_eq!(headers["authorization"], "Bearer s3cret=");
        assert_eq!(headers["x-scope"], "a");
        assert!(!format!("{headers:?}").contains("s3cret"));
    }

    #[test]
    fn a_header_that_is_none_is_told_by_its_place_and_not_by_its_words() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "x-scope=a\nBearer s3cret\n").unwrap();
        let settings = Telemetry { otlp_headers_file: file.path().to_owned(), ..Telemetry::default() };
        let text = format!("{:#}", settings.headers().unwrap_err());
        assert!(text.contains("header 2") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn what_cannot_work_is_told_before_anything_starts() {
        assert_eq!(Telemetry::default().contradictions(), Vec::<String>::new());
        let wrong = Telemetry {
            otlp_endpoint: "me:pw@collector:4318".to_owned(),
            sample_ratio: 1.5,
            queue_spans: 0,
            ..Telemetry::default()
        };
        assert_eq!(wrong.contradictions().len(), 4);
        let aimless = Telemetry { otlp_headers_file: "/keys".into(), ..Telemetry::default() };
        assert_eq!(aimless.contradictions().len(), 1);
    }
}

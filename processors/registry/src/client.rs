//! The adapter: `schema_registry_converter` for versions and schemas, and plain HTTP for the rule of a subject,
//! which it does not know.

use std::error::Error;

use frameline_schemas::Registered;
use reqwest::{Method, StatusCode};
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_all_versions, get_schema_by_id, get_schema_by_subject_and_version, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SuppliedSchema};
use serde::Deserialize;

use crate::why::advice;
use crate::{Login, RegistryError, RegistrySettings};

/// How a registry says that there is no such subject, version or schema, or no rule of the subject's own:
/// <https://docs.confluent.io/platform/current/schema-registry/develop/api.html#errors>.
const NOT_THERE: [u32; 5] = [40401, 40402, 40403, 40404, 40408];
const JSON: &str = "application/vnd.schemaregistry.v1+json";

/// Calls of the registry's API.
pub(crate) struct Client {
    url: String,
    calls: SrSettings,
    http: reqwest::Client,
    login: Option<Login>,
}

/// The rule of a subject, as the registry tells it.
#[derive(Deserialize)]
struct Level {
    #[serde(rename = "compatibilityLevel")]
    level: String,
}

impl Client {
    pub(crate) fn new(settings: &RegistrySettings) -> Result<Self, RegistryError> {
        let url = settings.url.trim_end_matches('/').to_owned();
        let of_settings = |error: &(dyn Error + 'static)| RegistryError::Settings(causes(error));
        let mut calls = SrSettings::new_builder(url.clone());
        calls.set_timeout(settings.timeout);
        if let Some(Login { username, password }) = &settings.login {
            calls.set_basic_authorization(username, Some(password.reveal()));
        }
        let calls = calls.build_with(builder(settings)?).map_err(|error| of_settings(&error))?;
        let http = builder(settings)?.build().map_err(|error| of_settings(&error))?;
        Ok(Self { url, calls, http, login: settings.login.clone() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What is registered under a subject; nothing where it does not exist.
    pub(crate) async fn versions(&self, subject: &str) -> Result<Vec<Registered>, RegistryError> {
        let numbers = self.found(get_all_versions(&self.calls, subject.to_owned()).await)?.unwrap_or_default();
        let mut versions = Vec::with_capacity(numbers.len());
        for version in numbers {
            let found = get_schema_by_subject_and_version(&self.calls, subject, Some(version)).await;
            if let Some(found) = self.found(found)? {
                versions.push(Registered { version, id: found.id, text: found.schema });
            }
        }
        Ok(versions)
    }

    /// The text of a schema; `None` where none has this id.
    pub(crate) async fn schema(&self, id: u32) -> Result<Option<String>, RegistryError> {
        Ok(self.found(get_schema_by_id(id, &self.calls).await)?.map(|found| found.schema))
    }

    pub(crate) async fn register(&self, subject: &str, text: &str) -> Result<(), RegistryError> {
        let schema = SuppliedSchema::new(None, SchemaType::Avro, text.to_owned());
        let registered = post_schema(&self.calls, subject.to_owned(), schema).await;
        registered.map(drop).map_err(|error| self.error(&error))
    }

    /// The rule of the subject itself.
    pub(crate) async fn level(&self, subject: &str) -> Result<Option<String>, RegistryError> {
        let answer = self.config(Method::GET, subject, None).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            let told = answer.json::<RawError>().await;
            let is_told = told.is_ok_and(|told| NOT_THERE.contains(&told.error_code));
            return if is_told { Ok(None) } else { Err(self.of_nobody("404 Not Found".to_owned())) };
        }
        let level: Level = self.good(answer).await?.json().await.map_err(|error| self.unavailable(causes(&error)))?;
        Ok(Some(level.level))
    }

    pub(crate) async fn set_level(&self, subject: &str, level: &str) -> Result<(), RegistryError> {
        let body = format!(r#"{{"compatibility": "{level}"}}"#);
        let answer = self.config(Method::PUT, subject, Some(body)).await?;
        self.good(answer).await.map(drop)
    }

    async fn config(
        &self,
        method: Method,
        subject: &str,
        body: Option<String>,
    ) -> Result<reqwest::Response, RegistryError> {
        let mut request = self.http.request(method, format!("{}/config/{subject}", self.url));
        if let Some(Login { username, password }) = &self.login {
            request = request.basic_auth(username, Some(password.reveal()));
        }
        if let Some(body) = body {
            request = request.header("content-type", JSON).body(body);
        }
        request.send().await.map_err(|error| self.unavailable(causes(&error)))
    }

    async fn good(&self, answer: reqwest::Response) -> Result<reqwest::Response, RegistryError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        Err(self.of_status(status, &answer.text().await.unwrap_or_default()))
    }

    /// What is there; nothing where the registry says that it is not.
    fn found<T>(&self, answer: Result<T, SRCError>) -> Result<Option<T>, RegistryError> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(error) if told_by(&error).is_some_and(|told| NOT_THERE.contains(&told.error_code)) => Ok(None),
            Err(error) if status_of(&error) == Some(StatusCode::NOT_FOUND) => Err(self.of_nobody(causes(&error))),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// What answers is no registry: a proxy before one that is away, or another address.
    fn of_nobody(&self, reason: String) -> RegistryError {
        let reason = format!("what answers there is no registry: check schemas.registry, path and all ({reason})");
        RegistryError::Unavailable { url: self.url.clone(), reason }
    }

    fn error(&self, error: &SRCError) -> RegistryError {
        let Some(status) = status_of(error) else { return self.unavailable(causes(error)) };
        self.of_status(status, told_by(error).map_or("", |told| &told.message))
    }

    fn of_status(&self, status: StatusCode, told: &str) -> RegistryError {
        let (url, reason) = (self.url.clone(), format!("{status} {told}").trim_end().to_owned());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied { url, reason },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => RegistryError::Unavailable { url, reason },
            _ if status.is_server_error() => RegistryError::Unavailable { url, reason },
            _ => RegistryError::Refused { url, reason },
        }
    }

    fn unavailable(&self, mut reason: String) -> RegistryError {
        if let Some(advice) = advice(&self.url, &reason) {
            reason = format!("{advice} ({reason})");
        }
        RegistryError::Unavailable { url: self.url.clone(), reason }
    }
}

/// A client that trusts whom the settings say.
fn builder(settings: &RegistrySettings) -> Result<reqwest::ClientBuilder, RegistryError> {
    let builder = reqwest::Client::builder().timeout(settings.timeout);
    let Some(file) = &settings.ca_file else { return Ok(builder) };
    let of_file = |told: String| RegistryError::Settings(format!("schemas.ca_file: {} {told}", file.display()));
    let pem = std::fs::read(file).map_err(|error| of_file(format!("cannot be read: {error}")))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(authorities) if !authorities.is_empty() => Ok(builder.tls_certs_only(authorities)),
        Ok(_) | Err(_) => Err(of_file("has no certificate in PEM".to_owned())),
    }
}

/// What the registry itself says about a failure.
fn told_by(error: &SRCError) -> Option<&RawError> {
    error.source().and_then(|source| source.downcast_ref::<RawError>())
}

/// The status of the answer, which stands in the text alone.
fn status_of(error: &SRCError) -> Option<StatusCode> {
    let (_, behind) = error.error.split_once("with status ")?;
    behind.split(' ').next()?.parse().ok()
}

/// What happened, from the outside to the cause: the outer texts alone say little.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.downcast_ref::<SRCError>().map_or_else(|| cause.to_string(), |error| error.error.clone());
        if !told.iter().any(|earlier| earlier.contains(&text)) {
            told.push(text);
        }
        next = cause.source();
    }
    told.join(": ")
}

//! The section on the blobs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use frameline_runtime::secret::Secret;
use frameline_runtime::settings::duration;
use frameline_stores::blobs::{BucketSettings, BucketUrl, Encryption, Login, Provider};
use serde::{Deserialize, Serialize};

/// Where the blobs are: in the data directory, or in a bucket where a URL is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Blobs {
    pub(crate) url: String,
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) allow_http: bool,
    pub(crate) ca_file: PathBuf,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Secret,
    pub(crate) secret_access_key_file: PathBuf,
    pub(crate) encryption: Kind,
    pub(crate) kms_key_id: String,
    #[serde(with = "duration")]
    pub(crate) timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) connect_timeout: Duration,
    pub(crate) retries: u32,
}

/// How S3 is told to encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Not at all: the bucket has a rule of its own.
    #[default]
    #[serde(rename = "bucket")]
    Bucket,
    #[serde(rename = "AES256")]
    Aes256,
    #[serde(rename = "aws:kms")]
    Kms,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Bucket => "bucket",
            Kind::Aes256 => "AES256",
            Kind::Kms => "aws:kms",
        }
    }
}

impl Default for Blobs {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: String::new(),
            region: String::new(),
            allow_http: false,
            ca_file: PathBuf::new(),
            access_key_id: String::new(),
            secret_access_key: Secret::default(),
            secret_access_key_file: PathBuf::new(),
            encryption: Kind::default(),
            kms_key_id: String::new(),
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            retries: 3,
        }
    }
}

impl Blobs {
    /// Whether they are in the data directory.
    pub(crate) fn is_embedded(&self) -> bool {
        self.url.is_empty()
    }

    /// What contradicts itself, in words, for the blobs of this tenant. Nothing is read for it.
    pub(super) fn contradiction(&self, tenant: &str) -> Option<String> {
        if self.is_embedded() {
            return self.of_a_bucket().map(|key| format!("blobs.{key} is set and blobs.url is empty"));
        }
        if self.url.contains('@') {
            return Some("blobs.url has a login in it, which would be shown: set blobs.access_key_id".to_owned());
        }
        let url = match BucketUrl::parse(&self.url) {
            Ok(url) => url,
            Err(reason) => return Some(format!("blobs.url is {} and {reason}", self.url)),
        };
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if tenant.is_empty() || tenant.starts_with('.') || !tenant.chars().all(is_plain) {
            return Some(format!(
                "service.tenant is `{tenant}` and has to be of letters, digits, - _ and . to be a part of names in \
                 blobs.url, which is {url}"
            ));
        }
        let positive = [("timeout", self.timeout.is_zero()), ("connect_timeout", self.connect_timeout.is_zero())];
        let zero = positive.into_iter().find(|(_, is_zero)| *is_zero);
        let zero = zero.map(|(key, _)| format!("blobs.{key} is 0, and blobs.url {url} cannot be used so"));
        zero.or_else(|| self.of_endpoint())
            .or_else(|| self.of_login(url.provider()))
            .or_else(|| self.of_encryption(&url))
    }

    /// A key that says something of a bucket.
    fn of_a_bucket(&self) -> Option<&'static str> {
        let said = [
            ("endpoint", !self.endpoint.is_empty()),
            ("region", !self.region.is_empty()),
            ("allow_http", self.allow_http),
            ("ca_file", self.has_authority()),
            ("access_key_id", !self.access_key_id.is_empty()),
            ("secret_access_key", !self.secret_access_key.is_empty()),
            ("secret_access_key_file", self.has_file()),
            ("encryption", self.encryption != Kind::Bucket),
            ("kms_key_id", !self.kms_key_id.is_empty()),
        ];
        said.into_iter().find(|(_, is_said)| *is_said).map(|(key, _)| key)
    }

    fn of_endpoint(&self) -> Option<String> {
        let endpoint = &self.endpoint;
        if endpoint.contains('@') {
            return Some("blobs.endpoint has a login in it, which would be shown: set blobs.access_key_id".to_owned());
        }
        match endpoint.split_once("://") {
            Some(("https", _)) => None,
            None if endpoint.is_empty() => None,
            Some(("http", _)) if self.has_authority() => Some(format!(
                "blobs.ca_file is {} and blobs.endpoint is {endpoint}: without TLS nobody vouches for it",
                self.ca_file.display()
            )),
            Some(("http", _)) if self.allow_http => None,
            Some(("http", _)) => Some(format!("blobs.endpoint is {endpoint} and blobs.allow_http is false")),
            _ => Some(format!("blobs.endpoint is {endpoint} and must begin with https:// or http://")),
        }
    }

    fn of_login(&self, provider: Provider) -> Option<String> {
        let (has_id, has_key) = (!self.access_key_id.is_empty(), !self.secret_access_key.is_empty());
        let url = &self.url;
        if has_key && self.has_file() {
            return Some("blobs.secret_access_key and blobs.secret_access_key_file are both set: keep one".to_owned());
        }
        match (provider, has_id, has_key || self.has_file()) {
            (Provider::Google, true, _) => Some(format!(
                "blobs.access_key_id is {} and blobs.url is {url}: Google takes a service account, which is all in \
                 blobs.secret_access_key_file",
                self.access_key_id
            )),
            (Provider::S3, true, false) => {
                Some(format!("blobs.access_key_id is {} and there is no blobs.secret_access_key", self.access_key_id))
            }
            (Provider::S3 | Provider::Azure, false, true) => {
                Some(format!("blobs.secret_access_key is set for blobs.url {url} and blobs.access_key_id is empty"))
            }
            _ => None,
        }
    }

    fn of_encryption(&self, url: &BucketUrl) -> Option<String> {
        let (kind, key) = (self.encryption.as_str(), &self.kms_key_id);
        if !key.is_empty() && self.encryption != Kind::Kms {
            return Some(format!("blobs.kms_key_id is {key} and blobs.encryption is {kind}, which takes no key"));
        }
        let is_told = self.encryption != Kind::Bucket;
        (is_told && url.provider() != Provider::S3)
            .then(|| format!("blobs.encryption is {kind} and blobs.url is {url}, whose provider always encrypts"))
    }

    fn has_authority(&self) -> bool {
        !self.ca_file.as_os_str().is_empty()
    }

    fn has_file(&self) -> bool {
        !self.secret_access_key_file.as_os_str().is_empty()
    }

    /// What the bucket's client takes; none where the blobs are in the data directory.
    pub(crate) fn settings(&self, tenant: &str) -> anyhow::Result<Option<BucketSettings>> {
        if self.is_embedded() {
            return Ok(None);
        }
        let url = BucketUrl::parse(&self.url).map_err(|reason| anyhow::anyhow!("blobs.url {} {reason}", self.url))?;
        let said = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(Some(BucketSettings {
            url,
            tenant: tenant.to_owned(),
            endpoint: said(&self.endpoint),
            region: said(&self.region),
            allow_http: self.allow_http,
            ca_file: self.has_authority().then(|| self.ca_file.clone()),
            login: self.login()?,
            encryption: match self.encryption {
                Kind::Bucket => None,
                Kind::Aes256 => Some(Encryption::Aes256),
                Kind::Kms => Some(Encryption::Kms { key_id: said(&self.kms_key_id) }),
            },
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            retries: usize::try_from(self.retries)?,
        }))
    }

    fn login(&self) -> anyhow::Result<Option<Login>> {
        let file = &self.secret_access_key_file;
        let secret = if self.has_file() {
            let unreadable = || format!("blobs.secret_access_key_file: {} cannot be read", file.display());
            Secret::of_file(file).with_context(unreadable)?
        } else {
            self.secret_access_key.clone()
        };
        let is_said = !secret.is_empty() || !self.access_key_id.is_empty();
        Ok(is_said.then(|| Login { id: self.access_key_id.clone(), secret }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S3: &str = "s3://bucket/frameline";

    fn at(url: &str) -> Blobs {
        Blobs { url: url.to_owned(), ..Blobs::default() }
    }

    fn with_login(url: &str, id: &str, secret: &str) -> Blobs {
        Blobs { access_key_id: id.to_owned(), secret_access_key: Secret::new(secret), ..at(url) }
    }

    #[test]
    fn what_contradicts_itself_is_told_with_both_values_and_no_key_is_shown() {
        let http = "http://s3:8333".to_owned();
        for (section, words) in [
            (with_login("", "", "hunter2"), ["blobs.secret_access_key is set", "blobs.url is empty"]),
            (Blobs { encryption: Kind::Aes256, ..at("") }, ["blobs.encryption is set", "blobs.url is empty"]),
            (at("https://bucket"), ["https://bucket", "s3://bucket/prefix"]),
            (at("s3://me:hunter2@bucket"), ["blobs.url", "blobs.access_key_id"]),
            (Blobs { endpoint: http.clone(), ..at(S3) }, ["http://s3:8333", "blobs.allow_http is false"]),
            (Blobs { ca_file: "ca.pem".into(), ..at("") }, ["blobs.ca_file is set", "blobs.url is empty"]),
            (
                Blobs { ca_file: "ca.pem".into(), endpoint: http, allow_http: true, ..at(S3) },
                ["blobs.ca_file is ca.pem", "http://s3:8333"],
            ),
            (Blobs { endpoint: "s3:8333".to_owned(), ..at(S3) }, ["s3:8333", "https://"]),
            (with_login(S3, "me", ""), ["blobs.access_key_id is me", "no blobs.secret_access_key"]),
            (with_login(S3, "", "hunter2"), [S3, "blobs.access_key_id is empty"]),
            (with_login("gs://b", "me", "hunter2"), ["blobs.access_key_id is me", "gs://b"]),
            (with_login("az://c", "", "hunter2"), ["az://c", "blobs.access_key_id is empty"]),
            (
                Blobs { secret_access_key_file: "key".into(), ..with_login(S3, "me", "hunter2") },
                ["blobs.secret_access_key_file", "both set"],
            ),
            (Blobs { kms_key_id: "k".to_owned(), ..at(S3) }, ["blobs.kms_key_id is k", "blobs.encryption is bucket"]),
            (Blobs { encryption: Kind::Kms, ..at("gs://b") }, ["blobs.encryption is aws:kms", "blobs.url is gs://b"]),
            (Blobs { timeout: Duration::ZERO, ..at(S3) }, ["blobs.timeout is 0", S3]),
        ] {
            let text = section.contradiction("default").unwrap();
            assert!(words.iter().all(|word| text.contains(word)) && !text.contains("hunter2"), "{text}");
        }
        let text = at(S3).contradiction("a/b").unwrap();
        assert!(text.contains("service.tenant is `a/b`") && text.contains(S3), "{text}");
        for section in [at(""), at(S3), at("gs://b/x"), at("az://c"), with_login("az://c", "account", "")] {
            assert_eq!(section.contradiction("default"), None, "{section:?}");
        }
    }

    #[test]
    fn the_secret_comes_from_a_file_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "hunter2\n").unwrap();
        let section = Blobs { secret_access_key_file: file, ..with_login(S3, "me", "") };
        assert_eq!(section.contradiction("default"), None);
        let settings = section.settings("fern").unwrap().unwrap();
        let login = settings.login.as_ref().unwrap();
        assert_eq!((login.id.as_str(), login.secret.reveal(), settings.tenant.as_str()), ("me", "hunter2", "fern"));
        assert!(!format!("{settings:?} {section:?}").contains("hunter2"));
        assert_eq!(at(S3).settings("fern").unwrap().unwrap().login, None);
        let missing = Blobs { secret_access_key_file: "/no/such/key".into(), ..with_login(S3, "me", "") };
        assert!(format!("{:#}", missing.settings("fern").unwrap_err()).contains("/no/such/key"));
    }
}

//! A bucket as the store: S3, or what speaks like it; Google Cloud Storage; Azure Blob Storage.
//!
//! A tenant's blobs are the objects `PREFIX/TENANT/AREA/ab/abcdef….png`, so that a bucket's rules, rights and bills
//! can tell tenants apart.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use frameline_runtime::secret::Secret;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::HttpConnector;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::{Path as Location, PathPart};
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::limited::Limited;
use super::trouble;
use super::uploads::Uploads;
use super::uri::Uri;

/// Where a bucket is, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSettings {
    /// Whose bucket it is, its name, and what the names of our objects begin with.
    pub url: BucketUrl,
    /// Whose blobs these are.
    pub tenant: String,
    /// Where its provider answers, where that is not the provider's own address: `https://host:port`.
    pub endpoint: Option<String>,
    /// The region of S3; without one `us-east-1`, or what the environment says.
    pub region: Option<String>,
    /// Whether the endpoint may be asked without TLS.
    pub allow_http: bool,
    /// Who vouches for the endpoint, in PEM, beside those whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Who we are; without one the environment says it, by the names that the provider's own tools read, or a token
    /// of the machine or the pod.
    pub login: Option<Login>,
    /// How S3 encrypts what it keeps; without one as the bucket says.
    pub encryption: Option<Encryption>,
    /// How long a request may take, with all that it sends or gets.
    pub timeout: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How often a request that met a short trouble is sent again before the store counts as unavailable.
    pub retries: usize,
}

/// Who we are to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The id of S3's access key, or the name of Azure's storage account; Google has none.
    pub id: String,
    /// The key that goes with it; for Google the service account, in JSON. Azure may have it in the environment.
    pub secret: Secret,
}

/// How S3 encrypts an object before it keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With keys that S3 keeps itself.
    Aes256,
    /// With a key of the key management service; without an id the one that is the bucket's.
    Kms {
        /// Its id or ARN.
        key_id: Option<String>,
    },
}

/// Whose bucket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, and all that speaks like it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage, where buckets are containers.
    Azure,
}

impl Provider {
    const ALL: [(&'static str, Provider); 3] =
        [("s3", Provider::S3), ("gs", Provider::Google), ("az", Provider::Azure)];

    fn scheme(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, provider)| *provider == self).map_or("", |(scheme, _)| scheme)
    }
}

/// `s3://bucket/prefix`, `gs://…` or `az://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUrl {
    provider: Provider,
    bucket: String,
    prefix: String,
}

impl BucketUrl {
    /// Reads one; else what is wrong with it, in words that go behind the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shape = || "must be like s3://bucket/prefix, gs://bucket/prefix or az://container/prefix".to_owned();
        let (scheme, path) = text.split_once("://").ok_or_else(shape)?;
        let (_, provider) = Provider::ALL.into_iter().find(|(known, _)| *known == scheme).ok_or_else(shape)?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_plain = |part: &str| {
            let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain)
        };
        if !is_plain(bucket) || !(prefix.is_empty() || prefix.split('/').all(is_plain)) {
            return Err("has more in its names than letters, digits and . _ -".to_owned());
        }
        Ok(Self { provider, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// Whose it is.
    pub fn provider(&self) -> Provider {
        self.provider
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.provider.scheme(), self.bucket)?;
        if !self.prefix.is_empty() {
            write!(formatter, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

/// Where a tenant's blobs lie.
#[derive(Debug)]
pub(super) struct Bucket {
    url: String,
    prefix: Location,
    uploads: Option<Uploads>,
}

/// Makes the client; nothing is sent yet. Else what is wrong with the settings.
pub(super) fn open(settings: &BucketSettings) -> Result<(Arc<dyn ObjectStore>, Bucket), String> {
    let http = Http { connector: Limited::new(), options: options(settings)? };
    let (store, uploads) = client(settings, http).map_err(|error| trouble::of(&error).reason)?;
    let url = &settings.url;
    let parts = url.prefix.split('/').filter(|part| !part.is_empty()).chain([settings.tenant.as_str()]);
    let bucket = Bucket { url: format!("{url}/{}", settings.tenant), prefix: Location::from_iter(parts), uploads };
    Ok((store, bucket))
}

/// How requests are sent.
struct Http {
    connector: Limited,
    options: ClientOptions,
}

type Client = (Arc<dyn ObjectStore>, Option<Uploads>);

fn client(settings: &BucketSettings, http: Http) -> object_store::Result<Client> {
    Ok(match settings.url.provider {
        Provider::S3 => {
            let requests = http.connector.connect(&http.options)?;
            let store = Arc::new(s3(settings, http)?);
            (Arc::clone(&store) as Arc<dyn ObjectStore>, Some(Uploads::new(store, requests)))
        }
        Provider::Google => (Arc::new(google(settings, http)?), None),
        Provider::Azure => (Arc::new(azure(settings, http)?), None),
    })
}

/// Where a login is given, nothing is taken from the environment: a session token there would be somebody else's.
fn s3(settings: &BucketSettings, http: Http) -> object_store::Result<AmazonS3> {
    let mut builder = match &settings.login {
        Some(Login { id, secret }) => {
            AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(secret.reveal())
        }
        None => AmazonS3Builder::from_env(),
    };
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let kind: AmazonS3ConfigKey = "aws_server_side_encryption".parse()?;
    builder = match &settings.encryption {
        None => builder,
        Some(Encryption::Aes256) => builder.with_config(kind, "AES256"),
        Some(Encryption::Kms { key_id: None }) => builder.with_config(kind, "aws:kms"),
        Some(Encryption::Kms { key_id: Some(key_id) }) => builder.with_sse_kms_encryption(key_id),
    };
    builder
        .with_bucket_name(&settings.url.bucket)
        .with_client_options(http.options)
        .with_http_connector(http.connector)
        .with_retry(retry(settings))
        .build()
}

fn google(settings: &BucketSettings, http: Http) -> object_store::Result<GoogleCloudStorage> {
    let mut builder = match &settings.login {
        Some(login) => GoogleCloudStorageBuilder::new().with_service_account_key(login.secret.reveal()),
        None => GoogleCloudStorageBuilder::from_env(),
    };
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    builder
        .with_bucket_name(&settings.url.bucket)
        .with_client_options(http.options)
        .with_http_connector(http.connector)
        .with_retry(retry(settings))
        .build()
}

fn azure(settings: &BucketSettings, http: Http) -> object_store::Result<MicrosoftAzure> {
    let mut builder = match &settings.login {
        Some(login) if login.secret.is_empty() => MicrosoftAzureBuilder::from_env().with_account(&login.id),
        Some(login) => MicrosoftAzureBuilder::new().with_account(&login.id).with_access_key(login.secret.reveal()),
        None => MicrosoftAzureBuilder::from_env(),
    };
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder
        .with_container_name(&settings.url.bucket)
        .with_client_options(http.options)
        .with_http_connector(http.connector)
        .with_retry(retry(settings))
        .build()
}

/// An authority is trusted beside those of the system: with a web identity the same client asks the provider's own
/// addresses for a token.
fn options(settings: &BucketSettings) -> Result<ClientOptions, String> {
    let options = ClientOptions::new()
        .with_timeout(settings.timeout)
        .with_connect_timeout(settings.connect_timeout)
        .with_allow_http(settings.allow_http);
    Ok(authorities(settings)?.into_iter().fold(options, ClientOptions::with_root_certificate))
}

fn authorities(settings: &BucketSettings) -> Result<Vec<Certificate>, String> {
    let Some(file) = &settings.ca_file else { return Ok(Vec::new()) };
    let told = |what: String| format!("blobs.ca_file: {} {what}", file.display());
    let pem = fs::read(file).map_err(|error| told(format!("cannot be read: {error}")))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(authorities) if !authorities.is_empty() => Ok(authorities),
        Ok(_) | Err(_) => Err(told("has no certificate in PEM".to_owned())),
    }
}

fn retry(settings: &BucketSettings) -> RetryConfig {
    let attempts = u32::try_from(settings.retries).unwrap_or(u32::MAX).saturating_add(1);
    RetryConfig {
        max_retries: settings.retries,
        retry_timeout: settings.timeout.saturating_mul(attempts),
        ..RetryConfig::default()
    }
}

impl Bucket {
    /// What all of it lies below, as a person writes it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn location(&self, uri: &Uri) -> Location {
        self.below(&uri.path())
    }

    /// An object that is never there: no blob has so short a name.
    pub(super) fn nothing(&self) -> Location {
        self.below("nothing")
    }

    fn below(&self, path: &str) -> Location {
        self.prefix.parts().chain(path.split('/').map(PathPart::from)).collect()
    }

    /// Ends uploads that began so long ago and were never completed, and gives their number. Azure forgets them by
    /// itself after a week; at Google a rule of the bucket does it (`AbortIncompleteMultipartUpload`).
    pub(super) async fn sweep(&self, quiet_for: Duration) -> object_store::Result<usize> {
        match &self.uploads {
            Some(uploads) => uploads.abort_older(&self.prefix, quiet_for).await,
            None => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, login: Option<Login>) -> BucketSettings {
        BucketSettings {
            url: BucketUrl::parse(url).unwrap(),
            tenant: "fern".to_owned(),
            endpoint: None,
            region: None,
            allow_http: false,
            ca_file: None,
            login,
            encryption: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(1),
            retries: 0,
        }
    }

    fn login(id: &str, secret: &str) -> Option<Login> {
        Some(Login { id: id.to_owned(), secret: Secret::new(secret) })
    }

    #[test]
    fn a_url_names_a_provider_a_bucket_and_a_prefix() {
        for url in ["s3://bucket", "s3://my.bucket-1/a/b_c", "gs://bucket/frameline", "az://container/frameline"] {
            assert_eq!(BucketUrl::parse(url).unwrap().to_string(), url);
        }
        assert_eq!(BucketUrl::parse("s3://bucket/a/").unwrap().to_string(), "s3://bucket/a");
        let url = BucketUrl::parse("az://container").unwrap();
        assert_eq!((url.provider(), url.bucket.as_str()), (Provider::Azure, "container"));
        for url in
            ["", "bucket", "s3:/bucket", "s3://", "file:///tmp", "s3://b//a", "s3://b/../a", "s3://me@b", "s3://b?x"]
        {
            assert!(BucketUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn each_provider_is_made_from_the_same_settings() {
        // A key of nobody's: 2,048 bits are not needed to see that it is read.
        let account =
            r#"{"client_email": "a@b.example", "private_key": "", "private_key_id": "", "disable_oauth": true}"#;
        let azure_key = "c2VjcmV0";
        for (url, login) in [
            ("s3://bucket/a", login("id", "hunter2")),
            ("gs://bucket/a", login("", account)),
            ("az://container/a", login("account", azure_key)),
        ] {
            let settings = settings(url, login);
            let (_, bucket) = open(&settings).unwrap();
            assert_eq!(bucket.url(), format!("{url}/fern"));
            let uri = Uri::new("thumbnails", "abcdef", "png").unwrap();
            assert_eq!(bucket.location(&uri).as_ref(), "a/fern/thumbnails/ab/abcdef.png");
            let shown = format!("{settings:?}");
            assert!(
                !shown.contains("hunter2") && !shown.contains(azure_key) && !shown.contains("client_email"),
                "{shown}"
            );
        }
        assert!(open(&settings("gs://bucket", login("", "no JSON"))).is_err());
    }

    #[test]
    fn a_tenant_cannot_leave_its_place() {
        let mut settings = settings("s3://bucket/a", login("id", "secret"));
        settings.tenant = "../other/x".to_owned();
        let (_, bucket) = open(&settings).unwrap();
        let uri = Uri::new("files", "abcdef", "").unwrap();
        assert!(bucket.location(&uri).as_ref().starts_with("a/"));
        assert_eq!(bucket.location(&uri).parts().count(), 5);
    }
}

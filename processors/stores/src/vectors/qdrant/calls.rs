//! Calls to Qdrant: each within its time, each error in the port's words.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use qdrant_client::{Qdrant, QdrantError};
use tonic::Code;

use super::QdrantSettings;
use crate::vectors::VectorsError;

/// The first version that knows conditional upserts. An older one would take no notice of the condition, and let
/// an older revision overwrite a newer one.
const OLDEST: (u32, u32) = (1, 16);

/// The connection.
#[derive(Clone)]
pub(super) struct Calls {
    client: Arc<Qdrant>,
    timeout: Duration,
    place: Arc<str>,
}

impl Calls {
    /// Nothing is sent yet.
    pub(super) fn new(settings: &QdrantSettings) -> Result<Self, VectorsError> {
        let client = Qdrant::from_url(&settings.url)
            .api_key(settings.api_key.as_ref().map(|key| key.reveal().to_owned()))
            .timeout(settings.timeout)
            .connect_timeout(settings.connect_timeout)
            .skip_compatibility_check()
            .build()
            .map_err(|error| VectorsError::Refused(format!("{} is no address of Qdrant: {error}", settings.url)))?;
        Ok(Self { client: Arc::new(client), timeout: settings.timeout, place: Arc::from(settings.url.as_str()) })
    }

    /// Where Qdrant is, for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn client(&self) -> &Qdrant {
        &self.client
    }

    /// Waits for an answer. Whether a call without one was done nobody knows; all that we send may be sent again.
    pub(super) async fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, QdrantError>>,
    ) -> Result<T, VectorsError> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.error(&error)),
            Err(_) => {
                let text = format!("{} gave no answer within {:?}", self.place, self.timeout);
                Err(VectorsError::Unavailable(text))
            }
        }
    }

    /// What Qdrant says of its version.
    pub(super) async fn version(&self) -> Result<String, VectorsError> {
        Ok(self.wait(self.client.health_check()).await?.version)
    }

    /// Refuses a Qdrant that is too old to keep what we promise.
    pub(super) async fn check_version(&self) -> Result<(), VectorsError> {
        let version = self.version().await?;
        if is_new_enough(&version) {
            return Ok(());
        }
        let (major, minor) = OLDEST;
        Err(VectorsError::Refused(format!(
            "{} is Qdrant {version}, and conditional upserts need {major}.{minor}: use a newer one",
            self.place
        )))
    }

    fn error(&self, error: &QdrantError) -> VectorsError {
        let (code, message) = match error {
            QdrantError::ResourceExhaustedError { status, .. } | QdrantError::ResponseError { status } => {
                (status.code(), status.message())
            }
            other => return VectorsError::Unavailable(self.told(other)),
        };
        match code {
            Code::ResourceExhausted => VectorsError::Busy(self.told(message)),
            Code::InvalidArgument | Code::OutOfRange => VectorsError::Refused(self.told(message)),
            Code::Unauthenticated | Code::PermissionDenied => VectorsError::Denied(self.told(message)),
            _ => VectorsError::Unavailable(self.told(message)),
        }
    }

    fn told(&self, what: impl Display) -> String {
        format!("{}: {what}", self.place)
    }
}

/// A version that cannot be read is taken for a build of somebody's own.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= OLDEST,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_without_conditional_upserts_is_too_old() {
        for (version, is_enough) in
            [("1.16.0", true), ("1.19.3", true), ("2.0.0", true), ("1.15.9", false), ("dev", true)]
        {
            assert_eq!(is_new_enough(version), is_enough, "{version}");
        }
    }
}

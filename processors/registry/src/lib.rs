//! A schema registry that speaks Confluent's API, as the source of the ids on the wire.
//!
//! [`client`] is the adapter, and the only place that names the registry's crates. [`Subject`] says what the
//! registry has of a record, and what is to be done about it; `apply` does that. For the driver a registry is a
//! [`SchemaSource`]: asked once for the ids of our releases, and about each other id that it meets.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod error;
mod subject;
mod why;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use frameline_runtime::secret::Secret;
use frameline_runtime::wire::{SchemaSource, WireError};
use frameline_schemas::{Release, Standing, State};

use client::Client;
pub use error::RegistryError;
pub use subject::{LEVEL, Step, Subject};

/// How a registry is reached.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Where its API begins: `http://registry:8081`, for Apicurio `http://registry:8080/apis/ccompat/v7`.
    pub url: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Who vouches for it, in PEM, where its address begins with `https://`; whom the system trusts where none is given.
    pub ca_file: Option<PathBuf>,
    /// Who asks, where the registry wants to know.
    pub login: Option<Login>,
}

/// A name and its password, for basic authentication.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// A registry.
pub struct Registry {
    client: Client,
}

impl Registry {
    /// The registry of these settings; it is reached when it is first asked.
    pub fn new(settings: &RegistrySettings) -> Result<Self, RegistryError> {
        Ok(Self { client: Client::new(settings)? })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.client.url()
    }

    /// What it has of every record.
    pub async fn subjects(&self) -> Result<Vec<Subject>, RegistryError> {
        let mut subjects = Vec::new();
        for record in Standing::records() {
            let subject = Standing::subject(record);
            let standing = Standing::of(record, &self.client.versions(&subject).await?);
            subjects.push(Subject { standing, level: self.client.level(&subject).await? });
        }
        Ok(subjects)
    }

    /// Takes one step, as [`Subject::steps`] gave them.
    pub async fn take(&self, subject: &Subject, step: &Step) -> Result<(), RegistryError> {
        let name = &subject.standing.subject;
        match step {
            Step::Register(release) => self.client.register(name, release.text).await,
            Step::SetLevel => self.client.set_level(name, LEVEL).await,
        }
    }
}

#[async_trait]
impl SchemaSource for Registry {
    async fn releases(&self) -> Result<Vec<(u32, &'static Release)>, WireError> {
        let mut ids = Vec::new();
        for record in Standing::records() {
            let registered = self.client.versions(&Standing::subject(record)).await?;
            let releases = Standing::of(record, &registered).releases;
            ids.extend(releases.into_iter().filter_map(|found| match found.state {
                State::Registered { id, .. } => Some((id, found.release)),
                State::Missing | State::Past | State::Refused { .. } => None,
            }));
        }
        Ok(ids)
    }

    async fn schema(&self, id: u32) -> Result<Option<String>, WireError> {
        Ok(self.client.schema(id).await?)
    }
}

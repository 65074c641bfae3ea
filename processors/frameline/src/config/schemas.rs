//! The section on the schema registry.

use std::path::PathBuf;
use std::time::Duration;

use frameline_registry::{Login, RegistrySettings};
use frameline_runtime::secret::Secret;
use frameline_runtime::settings::duration;
use serde::{Deserialize, Serialize};

/// Where the ids of schemas come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Schemas {
    pub(crate) registry: String,
    #[serde(with = "duration")]
    pub(crate) timeout: Duration,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) password_file: PathBuf,
}

impl Default for Schemas {
    fn default() -> Self {
        Self {
            registry: String::new(),
            timeout: Duration::from_secs(5),
            username: String::new(),
            password: Secret::default(),
            password_file: PathBuf::new(),
        }
    }
}

impl Schemas {
    /// What contradicts itself, in words. Nothing is read for it.
    pub(super) fn contradiction(&self) -> Option<String> {
        let has_file = !self.password_file.as_os_str().is_empty();
        let has_password = !self.password.is_empty() || has_file;
        let scheme = self.registry.split_once("://").map(|(scheme, _)| scheme);
        if self.registry.is_empty() {
            let has_login = has_password || !self.username.is_empty();
            return has_login
                .then(|| "schemas.username or its password is set and schemas.registry is empty".to_owned());
        }
        if !matches!(scheme, Some("http" | "https")) {
            return Some(format!("schemas.registry is {} and must begin with http:// or https://", self.registry));
        }
        if self.registry.contains('@') {
            return Some(
                "schemas.registry has a login in it, which would be shown: set schemas.username and a password"
                    .to_owned(),
            );
        }
        match (self.username.is_empty(), has_password) {
            (true, true) => Some("schemas.password is set and schemas.username is empty".to_owned()),
            (false, false) => Some(format!("schemas.username is {} and there is no password", self.username)),
            _ if has_file && !self.password.is_empty() => {
                Some("schemas.password and schemas.password_file are both set: keep one".to_owned())
            }
            _ => None,
        }
    }

    /// What the registry's client takes; none where no registry is named.
    pub(crate) fn settings(&self) -> anyhow::Result<Option<RegistrySettings>> {
        if self.registry.is_empty() {
            return Ok(None);
        }
        let file = &self.password_file;
        let password = if file.as_os_str().is_empty() {
            self.password.clone()
        } else {
            let unreadable = || format!("schemas.password_file: {} cannot be read", file.display());
            anyhow::Context::with_context(Secret::of_file(file), unreadable)?
        };
        let login = (!self.username.is_empty()).then(|| Login { username: self.username.clone(), password });
        Ok(Some(RegistrySettings { url: self.registry.clone(), timeout: self.timeout, login }))
    }
}

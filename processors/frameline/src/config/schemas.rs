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
    pub(crate) ca_file: PathBuf,
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
            ca_file: PathBuf::new(),
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
        let has_authority = !self.ca_file.as_os_str().is_empty();
        let scheme = self.registry.split_once("://").map(|(scheme, _)| scheme);
        if self.registry.is_empty() {
            let has_more = has_password || has_authority || !self.username.is_empty();
            return has_more.then(|| {
                "schemas.ca_file, schemas.username or its password is set and schemas.registry is empty".to_owned()
            });
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
        if has_authority && scheme == Some("http") {
            return Some(format!(
                "schemas.ca_file is set and schemas.registry is {}: without TLS nobody vouches for it; let it begin with \
                 https://",
                self.registry
            ));
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
        let ca_file = (!self.ca_file.as_os_str().is_empty()).then(|| self.ca_file.clone());
        Ok(Some(RegistrySettings { url: self.registry.clone(), timeout: self.timeout, ca_file, login }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(registry: &str) -> Schemas {
        Schemas { registry: registry.to_owned(), ..Schemas::default() }
    }

    #[test]
    fn what_contradicts_itself_is_told_and_no_password_is_shown() {
        let url = "https://registry:8081";
        let (password, username) = (Secret::new("hunter2"), "frameline".to_owned());
        for (section, words) in [
            (Schemas { ca_file: "ca.pem".into(), ..at("") }, "schemas.registry is empty"),
            (Schemas { password: password.clone(), ..at("") }, "schemas.registry is empty"),
            (Schemas { ca_file: "ca.pem".into(), ..at("http://registry:8081") }, "let it begin with https://"),
            (at("https://me:hunter2@registry:8081"), "schemas.username and a password"),
            (at("registry:8081"), "must begin with http:// or https://"),
            (Schemas { password: password.clone(), ..at(url) }, "schemas.username is empty"),
            (Schemas { username: username.clone(), ..at(url) }, "there is no password"),
            (Schemas { username: username.clone(), password, password_file: "p".into(), ..at(url) }, "both set"),
        ] {
            let text = section.contradiction().unwrap();
            assert!(text.contains(words) && !text.contains("hunter2"), "{text}");
        }
        let whole = Schemas { ca_file: "ca.pem".into(), username, password_file: "p".into(), ..at(url) };
        assert_eq!((at("").contradiction(), at(url).contradiction(), whole.contradiction()), (None, None, None));
    }
}

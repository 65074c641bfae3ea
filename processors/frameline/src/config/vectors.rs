//! The section on the vector index.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use frameline_runtime::secret::Secret;
use frameline_runtime::settings::duration;
use frameline_stores::vectors::qdrant::QdrantSettings;
use serde::{Deserialize, Serialize};

/// Where the vectors are: in the data directory, or in Qdrant where a URL is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Vectors {
    pub(crate) url: String,
    pub(crate) api_key: Secret,
    pub(crate) api_key_file: PathBuf,
    pub(crate) alias: String,
    #[serde(with = "duration")]
    pub(crate) timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) connect_timeout: Duration,
    pub(crate) replication: u32,
}

impl Default for Vectors {
    fn default() -> Self {
        Self {
            url: String::new(),
            api_key: Secret::default(),
            api_key_file: PathBuf::new(),
            alias: "frameline".to_owned(),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            replication: 1,
        }
    }
}

impl Vectors {
    /// Whether they are in the data directory.
    pub(crate) fn is_embedded(&self) -> bool {
        self.url.is_empty()
    }

    /// What contradicts itself, in words. Nothing is read for it.
    pub(super) fn contradiction(&self) -> Option<String> {
        let has_file = !self.api_key_file.as_os_str().is_empty();
        if self.url.is_empty() {
            let has_key = has_file || !self.api_key.is_empty();
            return has_key.then(|| "vectors.api_key or its file is set and vectors.url is empty".to_owned());
        }
        if !matches!(self.url.split_once("://"), Some(("http" | "https", _))) {
            return Some(format!("vectors.url is {} and must begin with http:// or https://", self.url));
        }
        if self.url.contains('@') {
            return Some("vectors.url has a login in it, which would be shown: set vectors.api_key_file".to_owned());
        }
        if has_file && !self.api_key.is_empty() {
            return Some("vectors.api_key and vectors.api_key_file are both set: keep one".to_owned());
        }
        let is_name = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        if self.alias.is_empty() || !self.alias.chars().all(is_name) {
            return Some(format!("vectors.alias is `{}` and must be of letters, digits, - _ and .", self.alias));
        }
        let positive = [("timeout", self.timeout.is_zero()), ("connect_timeout", self.connect_timeout.is_zero())];
        let zero = positive.into_iter().chain([("replication", self.replication == 0)]).find(|(_, is_zero)| *is_zero);
        zero.map(|(key, _)| format!("vectors.{key} is 0, and vectors.url {} cannot be used so", self.url))
    }

    /// What Qdrant's client takes; none where the vectors are in the data directory.
    pub(crate) fn settings(&self) -> anyhow::Result<Option<QdrantSettings>> {
        if self.is_embedded() {
            return Ok(None);
        }
        let file = &self.api_key_file;
        let key = if file.as_os_str().is_empty() {
            self.api_key.clone()
        } else {
            Secret::of_file(file).with_context(|| format!("vectors.api_key_file: {} cannot be read", file.display()))?
        };
        Ok(Some(QdrantSettings {
            url: self.url.clone(),
            api_key: (!key.is_empty()).then_some(key),
            alias: self.alias.clone(),
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            replication: self.replication,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Vectors {
        Vectors { url: url.to_owned(), ..Vectors::default() }
    }

    #[test]
    fn what_contradicts_itself_is_told_and_no_key_is_shown() {
        let url = "https://qdrant:6334";
        let key = Secret::new("hunter2");
        for (section, words) in [
            (Vectors { api_key: key.clone(), ..at("") }, "vectors.url is empty"),
            (at("qdrant:6334"), "must begin with http:// or https://"),
            (at("http://me:hunter2@qdrant:6334"), "vectors.api_key_file"),
            (Vectors { api_key: key, api_key_file: "key".into(), ..at(url) }, "both set"),
            (Vectors { alias: "a b".to_owned(), ..at(url) }, "vectors.alias is `a b`"),
            (Vectors { replication: 0, ..at(url) }, "vectors.replication is 0"),
        ] {
            let text = section.contradiction().unwrap();
            assert!(text.contains(words) && !text.contains("hunter2"), "{text}");
        }
        assert_eq!((at("").contradiction(), at(url).contradiction()), (None, None));
    }

    #[test]
    fn the_key_comes_from_a_file_without_its_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "hunter2\n").unwrap();
        let section = Vectors { api_key_file: file, ..at("http://qdrant:6334") };
        let settings = section.settings().unwrap().unwrap();
        assert_eq!(settings.api_key.as_ref().map(Secret::reveal), Some("hunter2"));
        assert!(!format!("{settings:?}").contains("hunter2"));
        let missing = Vectors { api_key_file: "/no/such/key".into(), ..at("http://qdrant:6334") };
        assert!(format!("{:#}", missing.settings().unwrap_err()).contains("/no/such/key"));
    }
}

//! The section on files and jobs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use frameline_runtime::secret::Secret;
use frameline_runtime::settings::duration;
use frameline_stores::jobs::postgres::{PostgresSettings, TlsMode};
use frameline_topics::Catalogue;
use serde::{Deserialize, Serialize};

/// Where files and jobs are: in the data directory, or in PostgreSQL where a URL is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Jobs {
    pub(crate) url: String,
    pub(crate) password: Secret,
    pub(crate) password_file: PathBuf,
    pub(crate) tls: TlsMode,
    pub(crate) ca_file: PathBuf,
    pub(crate) connections: u32,
    #[serde(with = "duration")]
    pub(crate) connect_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) timeout: Duration,
    pub(crate) migrate: bool,
    #[serde(with = "duration")]
    pub(crate) retention: Duration,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            url: String::new(),
            password: Secret::default(),
            password_file: PathBuf::new(),
            tls: TlsMode::default(),
            ca_file: PathBuf::new(),
            connections: 8,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            migrate: false,
            retention: Duration::from_secs(90 * 86_400),
        }
    }
}

impl Jobs {
    /// Whether they are in the data directory.
    pub(crate) fn is_embedded(&self) -> bool {
        self.url.is_empty()
    }

    /// What contradicts itself, in words. Nothing is read for it.
    pub(super) fn contradiction(&self) -> Option<String> {
        let of_place = if self.is_embedded() { self.of_file() } else { self.of_server() };
        of_place.or_else(|| self.of_retention())
    }

    fn of_file(&self) -> Option<String> {
        let is_set = |file: &PathBuf| !file.as_os_str().is_empty();
        let login = !self.password.is_empty() || is_set(&self.password_file);
        let keys = [
            ("jobs.password or its file is set".to_owned(), login),
            (format!("jobs.tls is {}", self.tls), self.tls != TlsMode::default()),
            (format!("jobs.ca_file is {}", self.ca_file.display()), is_set(&self.ca_file)),
            ("jobs.migrate is true".to_owned(), self.migrate),
        ];
        let set = keys.into_iter().find(|(_, is_set)| *is_set);
        set.map(|(key, _)| format!("{key} and jobs.url is empty"))
    }

    fn of_server(&self) -> Option<String> {
        if let Some(fault) = PostgresSettings::fault_of_url(&self.url) {
            return Some(self.told_of_url(&fault));
        }
        if !self.password.is_empty() && !self.password_file.as_os_str().is_empty() {
            return Some("jobs.password and jobs.password_file are both set: keep one".to_owned());
        }
        if !self.ca_file.as_os_str().is_empty() && !self.tls.verifies() {
            return Some(format!(
                "jobs.ca_file is {} and jobs.tls is {}, which asks nobody: set verify-ca or verify-full",
                self.ca_file.display(),
                self.tls
            ));
        }
        let positive = [
            ("connections", self.connections == 0),
            ("connect_timeout", self.connect_timeout.is_zero()),
            ("timeout", self.timeout.is_zero()),
        ];
        let zero = positive.into_iter().find(|(_, is_zero)| *is_zero);
        zero.map(|(key, _)| format!("jobs.{key} is 0, and jobs.url {} cannot be used so", self.url))
    }

    /// A URL that may have a password in it is not repeated.
    fn told_of_url(&self, fault: &str) -> String {
        if self.url.contains(['@', '?']) {
            return format!("jobs.url {fault}: set jobs.password_file, and jobs.tls where it matters");
        }
        format!("jobs.url is {} and {fault}", self.url)
    }

    /// A rewind of the stage `jobs` tells of what the topic still has: a job that is gone would come back in part.
    fn of_retention(&self) -> Option<String> {
        let progress = Catalogue::shipped().ok()?.topics.get(frameline_topics::PROGRESS)?.retention?;
        (!self.retention.is_zero() && self.retention < progress).then(|| {
            format!(
                "jobs.retention is {} and must not be shorter than that of the topic {}, which is {}; 0s is for ever",
                duration::format(self.retention),
                frameline_topics::PROGRESS,
                duration::format(progress)
            )
        })
    }

    /// How long an ended job is kept; `None` is for ever.
    pub(crate) fn retention(&self) -> Option<Duration> {
        (!self.retention.is_zero()).then_some(self.retention)
    }

    /// What PostgreSQL's client takes; none where jobs are in the data directory.
    pub(crate) fn settings(&self) -> anyhow::Result<Option<PostgresSettings>> {
        if self.is_embedded() {
            return Ok(None);
        }
        let file = &self.password_file;
        let password = if file.as_os_str().is_empty() {
            self.password.clone()
        } else {
            Secret::of_file(file).with_context(|| format!("jobs.password_file: {} cannot be read", file.display()))?
        };
        Ok(Some(PostgresSettings {
            url: self.url.clone(),
            password,
            tls: self.tls,
            ca_file: self.ca_file.clone(),
            connections: self.connections,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "postgres://frameline@db:5432/frameline";

    fn at(url: &str) -> Jobs {
        Jobs { url: url.to_owned(), ..Jobs::default() }
    }

    #[test]
    fn what_contradicts_itself_is_told_and_no_password_is_shown() {
        let password = Secret::new("hunter2");
        let week = Duration::from_secs(7 * 86_400);
        for (section, words) in [
            (Jobs { password: password.clone(), ..at("") }, "jobs.url is empty"),
            (Jobs { tls: TlsMode::VerifyFull, ..at("") }, "jobs.tls is verify-full and jobs.url is empty"),
            (Jobs { ca_file: "ca.pem".into(), ..at("") }, "jobs.ca_file is ca.pem and jobs.url is empty"),
            (Jobs { migrate: true, ..at("") }, "jobs.url is empty"),
            (at("mysql://db/frameline"), "jobs.url is mysql://db/frameline and must begin with postgres://"),
            (at("postgres://frameline:hunter2@db/frameline"), "jobs.password_file"),
            (at("postgres://frameline@db/frameline?password=hunter2"), "jobs.password_file"),
            (Jobs { password, password_file: "file".into(), ..at(URL) }, "both set"),
            (Jobs { ca_file: "ca.pem".into(), ..at(URL) }, "jobs.ca_file is ca.pem and jobs.tls is prefer"),
            (Jobs { connections: 0, ..at(URL) }, "jobs.connections is 0"),
            (Jobs { timeout: Duration::ZERO, ..at(URL) }, "jobs.timeout is 0"),
            (Jobs { retention: week / 2, ..at("") }, "jobs.retention is 84h"),
        ] {
            let text = section.contradiction().unwrap();
            assert!(text.contains(words) && !text.contains("hunter2"), "{text}");
        }
        for retention in [Duration::ZERO, week] {
            assert_eq!(Jobs { retention, ..at(URL) }.contradiction(), None);
        }
        assert_eq!((at("").contradiction(), at("").retention()), (None, Some(week / 7 * 90)));
    }

    #[test]
    fn the_password_comes_from_a_file_without_its_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "hunter2\n").unwrap();
        let settings = Jobs { password_file: file, ..at(URL) }.settings().unwrap().unwrap();
        assert_eq!(settings.password.reveal(), "hunter2");
        assert!(!format!("{settings:?}").contains("hunter2"));
        let missing = Jobs { password_file: "/no/such/password".into(), ..at(URL) };
        assert!(format!("{:#}", missing.settings().unwrap_err()).contains("/no/such/password"));
    }
}

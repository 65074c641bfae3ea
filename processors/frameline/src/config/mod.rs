//! The configuration: defaults, then one TOML file, then the environment (`FRAMELINE__LOG__KIND=kafka`).
//!
//! Every layer is a flat map from dotted key to value, so that whatever is wrong is told with its key and with
//! where it was said: a key that does not exist (and the nearest that does), a value of the wrong kind, and in
//! the end what contradicts itself, with both values. [`keys`] describes every key in one place.

mod blobs;
mod contradictions;
mod jobs;
mod kafka;
pub(crate) mod keys;
mod layers;
mod schemas;
mod sections;
mod telemetry;
mod vectors;

use std::fmt;
use std::path::Path;

use anyhow::Result;
use toml::Value;

pub(crate) use blobs::Blobs;
pub(crate) use jobs::Jobs;
pub(crate) use kafka::Kafka;
pub(crate) use keys::Key;
pub(crate) use layers::Source;
pub(crate) use schemas::Schemas;
pub(crate) use sections::{Config, LogKind};
pub(crate) use telemetry::Telemetry;
pub(crate) use vectors::Vectors;

use crate::error::Refusal;
use layers::{Flat, Layer};

/// A configuration, and where each of its values comes from.
#[derive(Clone)]
pub(crate) struct Loaded {
    /// What holds.
    pub(crate) config: Config,
    values: Flat,
    defaults: Flat,
    said: Layer,
}

/// What was said has passwords in it; the configuration that it makes hides them.
impl fmt::Debug for Loaded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Loaded").field("config", &self.config).finish_non_exhaustive()
    }
}

/// One key with all that is known of it.
pub(crate) struct Setting<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a Value,
    pub(crate) default: &'a Value,
    pub(crate) source: Source,
    pub(crate) key: &'static Key,
}

impl Loaded {
    /// Reads the file, if there is one, and what the environment of this process says.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self> {
        Self::of(
            file,
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    fn of(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut said = Layer::default();
        if let Some(file) = file {
            said.extend(layers::of_file(file)?);
        }
        said.extend(layers::of_environment(environment, &defaults(LogKind::Embedded))?);

        let kind = match said.get("log.kind") {
            Some((kind, _)) => kind.clone().try_into::<LogKind>().unwrap_or_default(),
            None => LogKind::default(),
        };
        let defaults = defaults(kind);
        let mut values = defaults.clone();
        for (name, (value, source)) in &said {
            layers::check(name, value, source, &defaults)?;
            values.insert(name.clone(), value.clone());
        }
        let config: Config = layers::nested(&values).try_into()?;
        let found = contradictions::of(&config);
        if !found.is_empty() {
            let text = format!("the configuration contradicts itself: {}", found.join("; "));
            return Err(
                Refusal::new(text, "change one of the two; `frameline config show` tells where each is set").into()
            );
        }
        Ok(Self { config, values, defaults, said })
    }

    /// Every key, in the order of the names.
    pub(crate) fn settings(&self) -> impl Iterator<Item = Setting<'_>> {
        self.values.iter().filter_map(|(name, value)| {
            Some(Setting {
                name,
                value,
                default: self.defaults.get(name)?,
                source: self.said.get(name).map_or(Source::Default, |(_, source)| source.clone()),
                key: keys::find(name)?,
            })
        })
    }
}

fn defaults(kind: LogKind) -> Flat {
    layers::flat(&Config::defaults(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, environment: &[(&str, &str)]) -> Result<Loaded> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("frameline.toml");
        std::fs::write(&file, toml).unwrap();
        Loaded::of(Some(&file), environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn refusal(toml: &str, environment: &[(&str, &str)]) -> String {
        format!("{:#}", load(toml, environment).unwrap_err())
    }

    #[test]
    fn every_key_is_described_and_every_description_has_its_key() {
        let defaults = defaults(LogKind::Embedded);
        let undescribed: Vec<_> = defaults.keys().filter(|name| keys::find(name).is_none()).collect();
        assert!(undescribed.is_empty(), "{undescribed:?}");
        let unused: Vec<_> =
            keys::KEYS.iter().filter(|key| !defaults.keys().any(|name| key.names(name))).map(|key| key.name).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let toml = "[stages.render]\nconcurrency = 3\nlinger = \"7ms\"\n";
        let loaded = load(toml, &[("FRAMELINE__STAGES__RENDER__CONCURRENCY", "4"), ("FRAMELINE_DATA", "x")]).unwrap();
        assert_eq!(loaded.config.stages.render.concurrency, 4);
        assert_eq!(loaded.config.stages.render.linger.as_millis(), 7);
        let source = |name: &str| loaded.settings().find(|setting| setting.name == name).unwrap().source.to_string();
        assert_eq!(source("stages.render.concurrency"), "$FRAMELINE__STAGES__RENDER__CONCURRENCY");
        assert!(source("stages.render.linger").ends_with("frameline.toml"));
        assert_eq!(source("stages.embed.linger"), "default");
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_known_one_is_named() {
        let text = refusal("[stages.render]\nconcurency = 3\n", &[]);
        assert!(text.contains("stages.render.concurency") && text.contains("frameline.toml"), "{text}");
        let error = load("[stages.render]\nconcurency = 3\n", &[]).unwrap_err();
        assert!(error.downcast_ref::<Refusal>().unwrap().help().contains("`stages.render.concurrency`"));
        let text = refusal("", &[("FRAMELINE__LOG__KINDE", "kafka")]);
        assert!(text.contains("$FRAMELINE__LOG__KINDE"), "{text}");
        assert!(refusal("render = 3\n", &[]).contains("`render`"));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_told_with_its_key_and_its_place() {
        let text = refusal("[stages.render]\nconcurrency = \"two\"\n", &[]);
        assert!(text.contains("stages.render.concurrency") && text.contains("two"), "{text}");
        let text = refusal("", &[("FRAMELINE__STAGES__RENDER__LINGER", "soon")]);
        assert!(text.contains("stages.render.linger") && text.contains("20ms"), "{text}");
        let text = refusal("[log]\nkind = \"rabbit\"\n", &[]);
        assert!(text.contains("log.kind") && text.contains("embedded") && text.contains("kafka"), "{text}");
        let text = refusal("[stages.render]\nconcurrency = -1\n", &[]);
        assert!(text.contains("stages.render.concurrency"), "{text}");
    }

    #[test]
    fn a_table_that_may_hold_a_secret_is_refused_without_being_shown() {
        let properties = "FRAMELINE__KAFKA__PROPERTIES";
        for (toml, variable) in [
            ("[kafka.properties]\n\"sasl.oauthbearer.client.secret\" = \"hunter2\"\n\"socket.nagle\" = true\n", None),
            ("[kafka.properties]\n\"sasl.password\" = 4711\n", None),
            ("", Some("{ \"sasl.password\" = \"hunter2\", \"socket.nagle\" = true }")),
            ("", Some("sasl.password=hunter2")),
        ] {
            let environment: Vec<_> = variable.map(|text| (properties, text)).into_iter().collect();
            let text = refusal(toml, &environment);
            assert!(text.contains("kafka.properties") && text.contains("in quotes"), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("4711"), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_toml_is_refused_with_its_line() {
        let text = refusal("[log\n", &[]);
        assert!(text.contains("frameline.toml") && text.contains("line 1"), "{text}");
    }

    #[test]
    fn contradictions_name_both_keys_and_both_values() {
        for (toml, words) in [
            ("[log]\ndrain_deadline = \"20s\"\n", ["log.drain_deadline", "20s", "log.session_timeout", "10s"]),
            (
                "[stages.embed]\nbatch_bytes = 90000000\n",
                ["stages.embed.batch_bytes", "90000000", "stages.embed.in_flight_bytes", "67108864"],
            ),
            (
                "[stages.embed]\nretry_base = \"1m\"\n",
                ["stages.embed.retry_base", "1m", "stages.embed.retry_cap", "30s"],
            ),
            (
                "[stages.embed]\nretry_attempts = 69\n",
                [
                    "the waits between attempts are 1827s",
                    "stages.embed.retry_attempts, which is 69",
                    "searchable_within",
                    "30m",
                ],
            ),
            (
                "[stages.embed]\nbatch_bytes = 1000\n",
                ["stages.embed.batch_bytes is 1000", "1048576", "largest record", "units"],
            ),
            ("[replicas]\nindex = 13\n", ["replicas.index is 13", "12", "partitions", "embeddings"]),
            (
                "[service]\nmemory_limit_bytes = 70000000\n",
                [
                    "stages.embed may hold 75497472 bytes",
                    "batch_bytes 4194304 × concurrency 2",
                    "limit_bytes",
                    "70000000",
                ],
            ),
            (
                "[identify]\nfile_wall = \"30m\"\n",
                ["one attempt", "identify.file_wall, which is 30m", "service.searchable_within", "30m"],
            ),
            (
                "[blobs]\nurl = \"s3://b\"\ntimeout = \"10m\"\nretries = 2\n",
                [
                    "may take 30m by blobs.timeout",
                    "blobs.timeout, which is 10m",
                    "blobs.retries, which is 2",
                    "searchable_within",
                ],
            ),
            ("[log]\nkind = \"kafka\"\n", ["log.kind", "kafka", "kafka.bootstrap_servers", "empty"]),
        ] {
            let text = refusal(toml, &[]);
            for word in words {
                assert!(text.contains(word), "{word} in: {text}");
            }
        }
    }

    #[test]
    fn only_the_embedded_log_creates_its_topics_by_itself() {
        assert!(load("", &[]).unwrap().config.log.create_topics);
        let kafka = "[log]\nkind = \"kafka\"\n[kafka]\nbootstrap_servers = \"b:9092\"\n";
        assert!(!load(kafka, &[]).unwrap().config.log.create_topics);
        assert!(load(kafka, &[("FRAMELINE__LOG__CREATE_TOPICS", "true")]).unwrap().config.log.create_topics);
    }
}

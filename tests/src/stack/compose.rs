//! What `compose/compose.yaml` says, as far as it can be done without containers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_yaml_ng::{Mapping, Value};

/// The image of everything that is the product.
const IMAGE: &str = "frameline:local";
/// The profile of Frameline and of what it stands on.
const CORE: &str = "core";
const COMPLETED: &str = "service_completed_successfully";

/// The services, in the order of the file.
pub struct Compose {
    services: Vec<Service>,
}

/// One of them.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    /// Its name, which the others reach it by.
    #[serde(skip)]
    pub name: String,
    image: String,
    /// By which it is chosen to be started.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// What the image's program gets.
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, Value>,
    #[serde(default)]
    healthcheck: HealthCheck,
    /// What is mounted: `SOURCE:TARGET`, with `:ro` behind it.
    #[serde(default)]
    pub volumes: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Need>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct HealthCheck {
    #[serde(default)]
    test: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Need {
    condition: String,
}

impl Compose {
    /// The repository's own.
    ///
    /// # Errors
    /// Where it is not there, or is none.
    pub fn read() -> Result<Self> {
        let path = folder().join("compose.yaml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Document {
            services: Mapping,
        }
        let document: Document = serde_yaml_ng::from_value(merged(serde_yaml_ng::from_str(text)?)?)?;
        let services = document.services.into_iter().map(|(name, service)| {
            let name = name.as_str().context("a service has a name")?.to_owned();
            let service: Service = serde_yaml_ng::from_value(service).with_context(|| name.clone())?;
            Ok(Service { name, ..service })
        });
        Ok(Self { services: services.collect::<Result<_>>()? })
    }

    /// All services.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service of this name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn service(&self, name: &str) -> Result<&Service> {
        let found = self.services.iter().find(|service| service.name == name);
        found.with_context(|| format!("compose.yaml has no service {name}"))
    }

    /// What is done once, before any stage starts, in this order.
    pub fn once(&self) -> impl Iterator<Item = &Service> {
        self.ours().filter(|service| self.is_waited_for(service))
    }

    /// What runs until it is told to stop: the stages, in the order of the chain, and the canary.
    pub fn stages(&self) -> impl Iterator<Item = &Service> {
        self.ours().filter(|service| !self.is_waited_for(service))
    }

    fn ours(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| service.is_ours() && service.profiles.iter().any(|name| name == CORE))
    }

    fn is_waited_for(&self, service: &Service) -> bool {
        let mut needs = self.services.iter().filter_map(|other| other.depends_on.get(&service.name));
        needs.any(|need| need.condition == COMPLETED)
    }
}

impl Service {
    /// Whether its program is Frameline.
    pub fn is_ours(&self) -> bool {
        self.image == IMAGE
    }

    /// What tells whether it is well, program and arguments; empty where nothing does.
    pub fn health_check(&self) -> &[String] {
        self.healthcheck.test.strip_prefix(&["CMD".to_owned()]).unwrap_or_default()
    }

    /// Its environment, without what the file `.env` says.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => serde_yaml_ng::to_string(other).unwrap_or_default().trim().to_owned(),
        };
        self.environment.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    }
}

/// The folder of the deployment.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose")
}

/// With `<<` resolved, also in what is merged itself.
fn merged(mut value: Value) -> Result<Value> {
    loop {
        let before = value.clone();
        value.apply_merge()?;
        if value == before {
            return Ok(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_told_apart_by_what_others_wait_for() {
        let compose = Compose::parse(
            "x-ours: &ours {image: 'frameline:local', profiles: [core]}
x-stage: &stage
  <<: *ours
  environment: {A: 1, B: two, C: true}
  depends_on: {topics: {condition: service_completed_successfully}, kafka: {condition: service_healthy}}
services:
  topics: {<<: *ours, command: [topics, apply]}
  render: {<<: *stage, command: [run, render]}
  embed: {<<: *stage, command: [run, embed]}
  tools: {<<: *ours, profiles: [tools]}
  kafka: {image: 'apache/kafka:4.3.1', profiles: [core]}
",
        )
        .unwrap();
        let names = |services: Vec<&Service>| services.iter().map(|service| service.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(compose.once().collect()), ["topics"]);
        assert_eq!(names(compose.stages().collect()), ["render", "embed"]);
        let environment: Vec<_> = compose.service("embed").unwrap().environment().into_values().collect();
        assert_eq!(environment, ["1", "two", "true"]);
    }
}

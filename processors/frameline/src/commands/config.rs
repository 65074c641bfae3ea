//! `frameline config check | show`.

use std::fmt;

use anyhow::Result;
use frameline_runtime::log::kafka::is_secret;
use frameline_runtime::secret::HIDDEN;
use serde::Serialize;

use super::Context;
use crate::cli::ConfigCommand;
use crate::config::{Setting, Source};
use crate::output::{Table, count};

#[derive(Debug, Serialize)]
struct Checked {
    ok: bool,
    keys: usize,
    set: usize,
}

#[derive(Debug, Serialize)]
struct Shown {
    keys: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    value: toml::Value,
    default: toml::Value,
    unit: &'static str,
    source: String,
    about: &'static str,
}

/// By the time that this runs, the configuration was read, and refused if anything is wrong with it.
pub(super) fn run(context: &Context, command: &ConfigCommand) -> Result<()> {
    let settings = context.loaded.settings();
    match command {
        ConfigCommand::Check => {
            let (set, unset): (Vec<_>, Vec<_>) = settings.partition(|setting| setting.source != Source::Default);
            context.output.print(&Checked { ok: true, keys: set.len() + unset.len(), set: set.len() })
        }
        ConfigCommand::Show => context.output.print(&Shown { keys: settings.map(Row::of).collect() }),
    }
}

impl Row {
    fn of(setting: Setting<'_>) -> Self {
        Self {
            name: setting.name.to_owned(),
            value: if setting.key.is_secret { hidden(setting.value) } else { without_secrets(setting.value) },
            default: setting.default.clone(),
            unit: setting.key.unit,
            source: setting.source.to_string(),
            about: setting.key.about,
        }
    }
}

/// Says no more than whether there is one.
fn hidden(value: &toml::Value) -> toml::Value {
    let is_empty = value.as_str().is_some_and(str::is_empty);
    toml::Value::String(if is_empty { String::new() } else { HIDDEN.to_owned() })
}

/// What a client logs in with is not for logs and screens.
fn without_secrets(value: &toml::Value) -> toml::Value {
    let toml::Value::Table(table) = value else { return value.clone() };
    let hidden = table.iter().map(|(name, value)| {
        let value = if is_secret(name) { toml::Value::String(HIDDEN.to_owned()) } else { value.clone() };
        (name.clone(), value)
    });
    toml::Value::Table(hidden.collect())
}

impl fmt::Display for Checked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the configuration is sound: {}, {} set", count(self.keys, "key"), self.set)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["key", "value", "default", "unit", "set in", "what it means"]);
        for row in &self.keys {
            let source = if row.source == "default" { "-" } else { &row.source };
            table.row([
                row.name.clone(),
                row.value.to_string(),
                row.default.to_string(),
                row.unit.to_owned(),
                source.to_owned(),
                row.about.to_owned(),
            ]);
        }
        table.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn secrets_of_the_client_are_not_shown() {
        let client: toml::Table = toml::from_str("\"sasl.password\" = \"x\"\n\"client.id\" = \"y\"").unwrap();
        let shown = without_secrets(&client.into()).to_string();
        assert!(!shown.contains("\"x\"") && shown.contains("\"y\""), "{shown}");
    }

    #[test]
    fn the_shape_of_keys_is_kept() {
        let row = Row {
            name: "log.kind".to_owned(),
            value: toml::Value::String("kafka".to_owned()),
            default: toml::Value::String("embedded".to_owned()),
            unit: "embedded, kafka",
            source: "default".to_owned(),
            about: "which log",
        };
        let shown = serde_json::to_value(Shown { keys: vec![row] }).unwrap();
        assert_eq!([shown].as_slice(), documented("config show"));
        let checked = serde_json::to_value(Checked { ok: true, keys: 81, set: 2 }).unwrap();
        assert_eq!([checked].as_slice(), documented("config check"));
    }
}

//! Layers of the configuration, as flat maps from dotted key to value.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use serde::Serialize;
use toml::{Table, Value};

use super::keys;
use super::sections::Config;
use crate::error::Refusal;

/// Values by dotted key.
pub(super) type Flat = BTreeMap<String, Value>;
/// Values that somebody set, and where.
pub(super) type Layer = BTreeMap<String, (Value, Source)>;

const ENVIRONMENT: &str = "FRAMELINE__";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody set it.
    Default,
    /// This file.
    File(PathBuf),
    /// The environment's variable of this name.
    Environment(String),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => formatter.write_str("default"),
            Source::File(path) => write!(formatter, "{}", path.display()),
            Source::Environment(name) => write!(formatter, "${name}"),
        }
    }
}

/// What a file says.
pub(super) fn of_file(path: &Path) -> Result<Layer> {
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!("the configuration {} cannot be read", path.display());
        Refusal::new(message, "name the file with --config FILE, or in $FRAMELINE_CONFIG").because(error)
    })?;
    let table: Table = toml::from_str(&text)
        .map_err(|error| anyhow!("the configuration {} is no TOML: {}", path.display(), told(&text, &error)))?;
    let mut flat = Flat::new();
    flatten("", &table, &mut flat);
    let source = Source::File(path.to_owned());
    flat.into_iter().map(|(name, value)| known(name, &source).map(|name| (name, (value, source.clone())))).collect()
}

/// What is wrong, and in which line. The line itself may have a password in it.
fn told(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    line.map_or_else(|| error.message().to_owned(), |line| format!("line {line}: {}", error.message()))
}

/// What the environment says: `FRAMELINE__LOG__KIND` is `log.kind`. A value is taken as it is for a text, and
/// read as TOML for everything else.
pub(super) fn of_environment(variables: impl Iterator<Item = (String, String)>, defaults: &Flat) -> Result<Layer> {
    let mut layer = Layer::new();
    for (variable, text) in variables {
        let Some(path) = variable.strip_prefix(ENVIRONMENT) else { continue };
        let name = path.to_lowercase().replace("__", ".");
        let source = Source::Environment(variable.clone());
        let name = known(name, &source)?;
        let value = match defaults.get(&name) {
            Some(Value::String(_)) | None => Value::String(text),
            Some(_) => match toml::from_str::<Table>(&format!("value = {text}")) {
                Ok(mut table) => table.remove("value").unwrap_or(Value::String(text)),
                Err(_) => Value::String(text),
            },
        };
        layer.insert(name, (value, source));
    }
    Ok(layer)
}

/// Refuses a value that its key does not take.
pub(super) fn check(name: &str, value: &Value, source: &Source, defaults: &Flat) -> Result<()> {
    let mut values = defaults.clone();
    values.insert(name.to_owned(), value.clone());
    let Err(error) = nested(&values).try_into::<Config>() else { return Ok(()) };
    let default = defaults.get(name).map_or_else(String::new, Value::to_string);
    let unit = keys::find(name).map_or("", |key| key.unit);
    let message = match keys::find(name) {
        Some(key) if key.is_secret => format!("{name} cannot be what it is set to ({source}): it has to be a text"),
        // One of its values may be a password, and what is wrong with it would quote it.
        _ if matches!(defaults.get(name), Some(Value::Table(_))) => {
            format!("{name} cannot be what it is set to ({source}): it has to be a table of texts, each in quotes")
        }
        _ => format!("{name} cannot be {value} ({source}): {}", error.message()),
    };
    bail!(Refusal::new(message, format!("its unit is {unit}, its default {default}")))
}

/// Every value of a configuration by its dotted key.
pub(super) fn flat(config: &impl Serialize) -> Flat {
    let mut flat = Flat::new();
    if let Ok(table) = Table::try_from(config) {
        flatten("", &table, &mut flat);
    }
    flat
}

/// The other direction.
pub(super) fn nested(flat: &Flat) -> Table {
    let mut root = Table::new();
    for (name, value) in flat {
        nest(&mut root, name, value);
    }
    root
}

fn nest(table: &mut Table, path: &str, value: &Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value.clone());
        }
        Some((section, rest)) => {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                nest(section, rest, value);
            }
        }
    }
}

/// A table that is itself a key, such as Kafka's own properties, is one value.
fn flatten(prefix: &str, table: &Table, flat: &mut Flat) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) if keys::find(&path).is_none() => flatten(&path, inner, flat),
            _ => {
                flat.insert(path, value.clone());
            }
        }
    }
}

fn known(name: String, source: &Source) -> Result<String> {
    if keys::find(&name).is_some() {
        return Ok(name);
    }
    let message = format!("there is no key `{name}` ({source})");
    let help = match keys::nearest(&name) {
        Some(nearest) => format!("did you mean `{nearest}`? `frameline config show` lists every key"),
        None => "`frameline config show` lists every key".to_owned(),
    };
    bail!(Refusal::new(message, help))
}

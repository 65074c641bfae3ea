//! Kubernetes' own schemas: one file of definitions in, a file a kind out, with all that it refers to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

const PREFIX: &str = "#/$defs/";

/// Writes `KIND-GROUP-VERSION.json` for every kind.
pub(super) fn write(definitions: &Value, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let definitions = definitions["$defs"].as_object().context("there are no definitions")?;
    for (name, definition) in definitions {
        for names in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let [kind, group, version] = ["kind", "group", "version"].map(|part| names[part].as_str().unwrap_or(""));
            let group = group.split('.').next().unwrap_or("");
            let parts: Vec<_> = [kind, group, version].into_iter().filter(|part| !part.is_empty()).collect();
            let file = folder.join(parts.join("-").to_lowercase() + ".json");
            fs::write(file, with_all_that_it_needs(definitions, name).to_string())?;
        }
    }
    Ok(())
}

fn with_all_that_it_needs(definitions: &Map<String, Value>, name: &str) -> Value {
    let (mut needed, mut open) = (BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = open.pop() {
        if let Some(definition) = definitions.get(&name)
            && needed.insert(name)
        {
            refers_to(definition, &mut open);
        }
    }
    let copies = needed.iter().map(|name| {
        let mut copy = definitions[name].clone();
        point_inwards(&mut copy);
        (name.clone(), copy)
    });
    json!({"$ref": format!("{PREFIX}{name}"), "$defs": copies.collect::<Map<_, _>>()})
}

/// `…_definitions.json#/$defs/NAME`.
fn target(reference: &Value) -> Option<&str> {
    reference.as_str()?.split_once(PREFIX).map(|(_, name)| name)
}

fn refers_to(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            names.extend(fields.get("$ref").and_then(target).map(str::to_owned));
            fields.values().for_each(|value| refers_to(value, names));
        }
        Value::Array(parts) => parts.iter().for_each(|part| refers_to(part, names)),
        _ => {}
    }
}

fn point_inwards(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(target) {
                let inwards = format!("{PREFIX}{name}");
                fields.insert("$ref".to_owned(), Value::String(inwards));
            }
            fields.values_mut().for_each(point_inwards);
        }
        Value::Array(parts) => parts.iter_mut().for_each(point_inwards),
        _ => {}
    }
}

//! `values.schema.json`: what is of the product in it is made from the product's own configuration.

use std::fs;

use frameline_tests::expected::is_as_expected;
use frameline_tests::helm::chart;
use serde_json::{Map, Value, json};

use crate::process::Product;

/// Parts of a release that are no stage of the product's configuration.
const NO_STAGES: [&str; 1] = ["canary"];

#[test]
fn the_schema_of_values_is_current() {
    let file = chart().join("values.schema.json");
    let mut schema: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let product = Product::new();
    let shown = product.json(["config", "show"]);
    let keys = shown["keys"].as_array().unwrap();
    schema["$defs"]["config"] = config(keys);
    schema["$defs"]["settings"] = settings(keys);
    schema["$defs"]["files"] = references(files(keys), "file");
    schema["$defs"]["stages"] = references(stages(keys), "stage");
    is_as_expected(&file, &format!("{schema:#}\n"));
}

/// Sections within each other; secrets and stages have places of their own.
fn config(keys: &[Value]) -> Value {
    let mut root = section();
    for key in keys.iter().filter(|key| key["unit"] != "text, never shown") {
        let name = key["name"].as_str().unwrap();
        if name.starts_with("stages.") {
            continue;
        }
        let (sections, last) = name.rsplit_once('.').unwrap();
        let place = sections.split('.').fold(&mut root, |place, part| {
            let properties = place["properties"].as_object_mut().unwrap();
            properties.entry(part).or_insert_with(section)
        });
        place["properties"][last] = property(key);
    }
    root
}

/// Those of one stage; all stages have the same.
fn settings(keys: &[Value]) -> Value {
    let of_embed = |key: &&Value| key["name"].as_str().unwrap().starts_with("stages.embed.");
    let mut settings = section();
    for key in keys.iter().filter(of_embed) {
        let name = key["name"].as_str().unwrap().rsplit('.').next().unwrap();
        settings["properties"][name] = property(key);
        // Defaults differ from stage to stage.
        settings["properties"][name]["description"] = format!("{} ({})", text(key, "about"), text(key, "unit")).into();
    }
    settings
}

/// What is named here, and nothing else; all of one shape.
fn references<'a>(names: impl Iterator<Item = &'a str>, shape: &str) -> Value {
    let mut object = section();
    for name in names {
        object["properties"][name] = json!({"$ref": format!("#/$defs/{shape}")});
    }
    object
}

/// Those that name a file. Some numbers are per file, and end in the same word.
fn files(keys: &[Value]) -> impl Iterator<Item = &str> {
    keys.iter()
        .filter(|key| key["default"].is_string())
        .map(|key| text(key, "name"))
        .filter(|name| name.ends_with("_file"))
}

fn stages(keys: &[Value]) -> impl Iterator<Item = &str> {
    names(keys).filter_map(|name| name.strip_prefix("stages.")?.split('.').next()).chain(NO_STAGES)
}

fn names(keys: &[Value]) -> impl Iterator<Item = &str> {
    keys.iter().map(|key| text(key, "name"))
}

fn text<'a>(key: &'a Value, part: &str) -> &'a str {
    key[part].as_str().unwrap()
}

fn section() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}})
}

/// A key's type is that of its default; its unit says what a text may be.
fn property(key: &Value) -> Value {
    let (unit, default) = (text(key, "unit"), &key["default"]);
    let mut property = match default {
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(number) if number.is_f64() => json!({"type": "number", "minimum": 0}),
        Value::Number(_) => json!({"type": "integer", "minimum": 0}),
        Value::Object(_) => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        _ if unit == "duration" => json!({"type": "string", "pattern": "^[0-9]+ *(ms|s|m|h|d)$"}),
        _ if unit == "address" => json!({"type": "string", "pattern": ":[0-9]+$"}),
        _ => match words(unit, default) {
            Some(words) => json!({"enum": words}),
            None => json!({"type": "string"}),
        },
    };
    let about = format!("{} ({unit}, by default {default})", text(key, "about"));
    property["description"] = Value::String(about);
    property
}

/// The words that a unit lists, where the default is one of them.
fn words<'a>(unit: &'a str, default: &Value) -> Option<Vec<&'a str>> {
    let words: Vec<&str> = unit.split(", ").collect();
    words.contains(&default.as_str()?).then_some(words)
}

#[test]
fn a_unit_that_lists_words_is_told_from_one_that_does_not() {
    let of = |unit: &str, default: &str| property(&json!({"unit": unit, "default": default, "about": "x"}));
    assert_eq!(of("embedded, kafka", "kafka")["enum"], json!(["embedded", "kafka"]));
    assert_eq!(of("host:port, …", "")["type"], "string");
    assert!(section()["properties"].as_object().is_some_and(Map::is_empty));
}

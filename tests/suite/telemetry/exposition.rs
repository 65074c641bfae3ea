//! The text format of Prometheus, version 0.0.4, read as strictly as Prometheus' own checker reads it
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>): every family once, described
//! and typed before its samples, no series twice, buckets that rise to `+Inf`.

use std::collections::{BTreeMap, BTreeSet};

/// A metric with all its samples.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) help: String,
    pub(super) kind: String,
    pub(super) samples: Vec<Sample>,
}

/// One line: the name with its suffix, the labels, the value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Family {
    /// The labels of its samples, but for a histogram's own.
    pub(super) fn labels(&self) -> BTreeSet<&str> {
        let labels = self.samples.iter().flat_map(|sample| sample.labels.keys());
        labels.map(String::as_str).filter(|label| *label != "le").collect()
    }

    /// The sum over all samples with this label's value.
    pub(super) fn sum(&self, label: &str, value: &str) -> f64 {
        let wanted = self.samples.iter().filter(|sample| sample.labels.get(label).is_some_and(|found| found == value));
        wanted.map(|sample| sample.value).sum()
    }
}

/// Reads a scrape; panics on whatever Prometheus would refuse or warn of.
pub(super) fn read(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let family = begin(&mut families, &mut current, name);
            assert!(family.help.is_empty() && family.kind.is_empty() && family.samples.is_empty(), "{line}");
            help.clone_into(&mut family.help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let family = begin(&mut families, &mut current, name);
            assert!(family.kind.is_empty() && family.samples.is_empty(), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            kind.clone_into(&mut family.kind);
        } else {
            let sample = sample(line);
            let family = families.get_mut(&current).unwrap();
            let suffix = sample.name.strip_prefix(current.as_str()).unwrap_or_else(|| panic!("out of place: {line}"));
            let suffixes: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            family.samples.push(sample);
        }
    }
    families.iter().for_each(|(name, family)| check(name, family));
    families
}

/// A family stands in one place: once another has begun, it does not come again.
fn begin<'a>(families: &'a mut BTreeMap<String, Family>, current: &mut String, name: &str) -> &'a mut Family {
    assert!(is_name(name), "{name}");
    if current != name {
        assert!(!families.contains_key(name), "{name} stands in two places");
        name.clone_into(current);
    }
    families.entry(name.to_owned()).or_default()
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap();
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let (labels, value) = match rest.strip_prefix('{') {
        None => (BTreeMap::new(), rest),
        Some(rest) => labels(rest),
    };
    let value: f64 = value.trim_start_matches(' ').parse().unwrap_or_else(|_| panic!("no value: {line}"));
    Sample { name: name.to_owned(), labels, value }
}

/// The labels, and what follows the closing brace.
fn labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(is_name(name) && !name.contains(':'), "{name}");
        let (value, after) = quoted(after);
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} twice");
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// A label's value, unescaped, and what follows its closing quote.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match characters.next().unwrap().1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                other => panic!("`\\{other}` is no escape"),
            }),
            other => value.push(other),
        }
    }
    panic!("a label's value does not end: {text}");
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_' || first == b':')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

fn check(name: &str, family: &Family) {
    assert!(!family.help.is_empty(), "{name} is not described");
    assert!(!family.kind.is_empty() && !family.samples.is_empty(), "{name} is told of, and has no samples");
    let series: Vec<_> = family.samples.iter().map(|sample| (&sample.name, &sample.labels)).collect();
    assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), series.len(), "{name} has a series twice");
    if family.kind == "counter" {
        assert!(family.samples.iter().all(|sample| sample.value >= 0.0 && sample.value.fract() == 0.0), "{name}");
    }
    if family.kind == "histogram" {
        check_buckets(name, family);
    }
}

fn check_buckets(name: &str, family: &Family) {
    let bare = |sample: &Sample| {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        labels
    };
    for labels in family.samples.iter().map(bare).collect::<BTreeSet<_>>() {
        let of = |suffix: &str| -> Vec<&Sample> {
            let wanted = family.samples.iter().filter(|sample| sample.name == format!("{name}{suffix}"));
            wanted.filter(|sample| bare(sample) == labels).collect()
        };
        let buckets: Vec<(f64, f64)> =
            of("_bucket").iter().map(|sample| (sample.labels["le"].parse().unwrap(), sample.value)).collect();
        let (sums, counts) = (of("_sum"), of("_count"));
        assert!(sums.len() == 1 && counts.len() == 1, "{name} {labels:?}");
        assert!(buckets.is_sorted_by(|low, high| low.0 < high.0 && low.1 <= high.1), "{name} {labels:?}: {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, counts[0].value)), "{name} {labels:?}");
    }
}

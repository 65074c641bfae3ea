//! Asking Prometheus, and its own tool for rules.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::http;
use crate::prometheus::Prometheus;

/// What a query gives, one a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels, the name among them.
    pub labels: BTreeMap<String, String>,
    /// What it is now.
    pub value: f64,
}

/// An alert that is pending or firing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Alert {
    /// Its labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: String,
}

impl Prometheus {
    /// What a query gives now.
    ///
    /// # Errors
    /// Where it is no query, or nobody answers.
    pub fn query(&self, query: &str) -> Result<Vec<Sample>> {
        #[derive(Deserialize)]
        struct Series {
            metric: BTreeMap<String, String>,
            value: (f64, String),
        }
        let data = self.ask(&format!("/api/v1/query?query={}", escaped(query)))?;
        let series: Vec<Series> = serde_json::from_value(data["result"].clone()).with_context(|| query.to_owned())?;
        let sample = |Series { metric, value }| Ok(Sample { labels: metric, value: value.1.parse()? });
        series.into_iter().map(sample).collect()
    }

    /// All alerts that are pending or firing.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        Ok(serde_json::from_value(self.ask("/api/v1/alerts")?["alerts"].clone())?)
    }

    /// What it answers at a path, with whatever it warns of.
    fn ask(&self, path: &str) -> Result<Value> {
        let (_, body) = http::get(&self.address(), path)?;
        let mut answer: Value = serde_json::from_str(&body).with_context(|| format!("{path}: {body}"))?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["data"].take())
    }
}

/// As it stands in a URL.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Lets `promtool` do something in a folder, and gives what it says.
///
/// # Errors
/// Where it is not installed, with what to install, or is not content, with what it says.
pub fn promtool(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("promtool").args(arguments).current_dir(folder).output();
    let output = output.context("`promtool` is not there; on Debian: apt-get install prometheus")?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if output.status.success() { Ok(said) } else { bail!("promtool {}: {said}", arguments.join(" ")) }
}

/// The same rules at another pace: every duration of them, in ranges, offsets, intervals and waits, divided by `by`. The
/// names and the numbers that values are compared with stay.
///
/// # Panics
/// Where they have a duration that a person would not write.
pub fn hastened(rules: &str, by: u64) -> String {
    rules.lines().map(|line| hastened_line(line, by) + "\n").collect()
}

fn hastened_line(line: &str, by: u64) -> String {
    let key = line.trim_start().split_once(": ");
    if let Some((key @ ("for" | "interval"), duration)) = key {
        let indent = line.len() - line.trim_start().len();
        return format!("{}{key}: {}", &line[..indent], divided(duration, by));
    }
    if line.trim_start().starts_with("description") || !(line.contains('[') || line.contains(" offset ")) {
        return line.to_owned();
    }
    let mut hastened = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) =
        [rest.find('[').map(|at| at + 1), rest.find(" offset ").map(|at| at + 8)].into_iter().flatten().min()
    {
        let (before, after) = rest.split_at(at);
        let end = after.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(after.len());
        hastened += before;
        hastened += &if is_duration(&after[..end]) { divided(&after[..end], by) } else { after[..end].to_owned() };
        rest = &after[end..];
    }
    hastened + rest
}

fn is_duration(text: &str) -> bool {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && "smhd".contains(unit)
}

fn divided(duration: &str, by: u64) -> String {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("{duration} is no duration"));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => panic!("{duration} is no duration"),
    };
    format!("{}ms", number * seconds * 1_000 / by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_divided_and_nothing_else() {
        let rules = "    interval: 30s\n  expr: rate(a_1[5m]) > 14.4 * 0.001 and b:rate5m > 900\n  and c offset 15m == 1\n  \
                     le=~\"1800([.]0)?\"}[1h]\n  for: 2m\n  summary: for 5m\n";
        let hastened = hastened(rules, 60);
        assert_eq!(
            hastened,
            "    interval: 500ms\n  expr: rate(a_1[5000ms]) > 14.4 * 0.001 and b:rate5m > 900\n  and c offset 15000ms == \
             1\n  le=~\"1800([.]0)?\"}[60000ms]\n  for: 2000ms\n  summary: for 5m\n"
        );
    }
}

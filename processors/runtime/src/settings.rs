//! What a stage is set to, in configuration and not in code.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings of one stage. Durations are written as a person writes them: `20ms`, `5s`, `10m`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageSettings {
    /// How many records a batch may have.
    pub batch_records: usize,
    /// How many bytes a batch may have; a single larger record is a batch of its own.
    pub batch_bytes: usize,
    /// How long a batch waits to fill up.
    #[serde(with = "duration")]
    pub linger: Duration,
    /// How many batches are worked on at the same time.
    pub concurrency: usize,
    /// Results wait this long at most for others to be committed with.
    #[serde(with = "duration")]
    pub commit_interval: Duration,
    /// Records taken in and not yet committed, at most.
    pub in_flight_records: usize,
    /// Bytes taken in or waiting to be committed, at most.
    pub in_flight_bytes: usize,
    /// First wait before a failed record is tried again; it doubles each time.
    #[serde(with = "duration")]
    pub retry_base: Duration,
    /// Longest wait.
    #[serde(with = "duration")]
    pub retry_cap: Duration,
    /// How often a record is tried in all before it is a dead letter.
    pub retry_attempts: u32,
    /// Records per second, at most; 0 for no limit.
    pub rate_limit: u32,
    /// After so many dead letters in a row the stage stops taking.
    pub halt_after: u32,
}

impl Default for StageSettings {
    fn default() -> Self {
        Self {
            batch_records: 32,
            batch_bytes: 4 << 20,
            linger: Duration::from_millis(5),
            concurrency: 2,
            commit_interval: Duration::from_millis(100),
            in_flight_records: 1_000,
            in_flight_bytes: 64 << 20,
            retry_base: Duration::from_millis(100),
            retry_cap: Duration::from_secs(30),
            retry_attempts: 5,
            rate_limit: 0,
            halt_after: 100,
        }
    }
}

/// Durations as a person writes them.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes the largest unit that divides it: `90s`, `20ms`.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*value))
    }

    /// Reads `20ms`, `5s`, `10m`, `2h`, `7d`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map_err(de::Error::custom)
    }

    const UNITS_MS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

    /// The text of a duration, to whole milliseconds.
    pub fn format(value: Duration) -> String {
        let ms = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        let fits = UNITS_MS.iter().find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(*unit_ms));
        fits.map_or_else(|| format!("{ms}ms"), |(name, unit_ms)| format!("{}{name}", ms / unit_ms))
    }

    /// The duration that a text says, or what is wrong with the text.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number = number.parse::<u64>();
        let unit_ms = UNITS_MS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, unit_ms)| *unit_ms);
        match (number, unit_ms) {
            (Ok(number), Some(unit_ms)) => Ok(Duration::from_millis(number.saturating_mul(unit_ms))),
            _ => Err(format!("`{text}` is no duration; write a whole number and a unit: 20ms, 5s, 10m, 2h, 7d")),
        }
    }
}

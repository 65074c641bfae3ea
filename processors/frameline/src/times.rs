//! Moments and durations as a person writes and reads them. Inside, moments are milliseconds since 1970.

use std::time::{Duration, UNIX_EPOCH};

use frameline_runtime::moment::ms_since_1970;
use humantime::{format_duration, format_rfc3339_seconds, parse_rfc3339_weak};

/// Reads `2026-11-22T14:00:00Z` or `2026-11-22 14:00:00`, both in UTC; a date alone is its first moment.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let with_time = if text.len() == "2026-11-22".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    parse_rfc3339_weak(&with_time)
        .map(ms_since_1970)
        .map_err(|error| format!("`{text}` is no time ({error}); write it in UTC: 2026-11-22T14:00:00Z"))
}

/// The moment, to the second, in UTC.
pub(crate) fn moment(at_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(at_ms).unwrap_or_default());
    UNIX_EPOCH.checked_add(since).map_or_else(|| at_ms.to_string(), |at| format_rfc3339_seconds(at).to_string())
}

/// How long, by its two largest units: `3m 20s`.
pub(crate) fn span(length: Duration) -> String {
    let whole = Duration::from_secs(length.as_secs());
    if whole.is_zero() {
        return "0s".to_owned();
    }
    let text = format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_shown() {
        let at_ms = parse("2026-11-22T14:00:05Z").unwrap();
        assert_eq!(moment(at_ms), "2026-11-22T14:00:05Z");
        assert_eq!(parse("2026-11-22 14:00:05").unwrap(), at_ms);
        assert_eq!(moment(parse("2026-11-22").unwrap()), "2026-11-22T00:00:00Z");
    }

    #[test]
    fn what_is_no_moment_is_refused_with_an_example() {
        for text in ["yesterday", "2026-13-01", "14:00", "ünüsüäl"] {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.contains(text) && refusal.contains("2026-11-22T14:00:00Z"), "{refusal}");
        }
    }

    #[test]
    fn a_length_is_told_by_its_two_largest_units() {
        assert_eq!(span(Duration::from_millis(200_900)), "3m 20s");
        assert_eq!(span(Duration::from_secs(90_061)), "1day 1h");
        assert_eq!(span(Duration::from_millis(999)), "0s");
    }
}

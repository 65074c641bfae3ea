//! Moments as records carry them: milliseconds since 1970, by the wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now.
pub fn now_ms() -> i64 {
    ms_since_1970(SystemTime::now())
}

/// A time as records carry it; 0 for one before 1970.
pub fn ms_since_1970(time: SystemTime) -> i64 {
    whole_ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A duration in whole milliseconds.
pub fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

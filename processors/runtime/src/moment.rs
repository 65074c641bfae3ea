//! Moments as records carry them: milliseconds since 1970, by the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now.
pub fn now_ms() -> i64 {
    ms_since_1970(SystemTime::now())
}

/// A time as records carry it; 0 for one before 1970.
pub fn ms_since_1970(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

//! The two clocks: one for leases, one for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine started. Leases use it: it is the same in every process, and nobody sets it.
pub(super) fn boot_ms() -> i64 {
    let since_boot = clock_gettime(ClockId::Boottime);
    since_boot.tv_sec * 1_000 + since_boot.tv_nsec / 1_000_000
}

/// Milliseconds since 1970.
pub(super) fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}

/// A duration in whole milliseconds.
pub(super) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

//! The clock of leases.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine started. Leases use it: it is the same in every process, and nobody sets it.
pub(super) fn boot_ms() -> i64 {
    let since_boot = clock_gettime(ClockId::Boottime);
    since_boot.tv_sec * 1_000 + since_boot.tv_nsec / 1_000_000
}

/// A duration in whole milliseconds.
pub(super) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

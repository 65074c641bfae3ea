//! The clock of leases.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine started. Leases use it: it is the same in every process, and nobody sets it.
pub(super) fn boot_ms() -> i64 {
    let since_boot = clock_gettime(ClockId::Boottime);
    since_boot.tv_sec * 1_000 + since_boot.tv_nsec / 1_000_000
}

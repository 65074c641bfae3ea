//! What this process takes of its machine, for whoever watches: memory, and room where its data is.

use std::fs;
use std::path::Path;

use frameline_runtime::metric;
use metrics::gauge;
use rustix::fs::statvfs;

/// Sets the metrics as they are now. What cannot be looked at keeps its last value.
pub(crate) fn publish(data: &Path) {
    if let Ok(disk) = statvfs(data) {
        gauge!(metric::DISK_FREE.name).set(disk.f_bavail.saturating_mul(disk.f_frsize) as f64);
        gauge!(metric::DISK_SIZE.name).set(disk.f_blocks.saturating_mul(disk.f_frsize) as f64);
    }
    if let Some(bytes) = resident_bytes() {
        gauge!(metric::RESIDENT.name).set(bytes as f64);
    }
}

/// As proc(5) tells it, in KiB.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_some_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}

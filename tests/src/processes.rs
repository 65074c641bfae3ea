//! What a process costs, as the kernel tells it.

use std::fs;

use anyhow::{Context, Result};

/// The kernel's unit of CPU time for programs, on every architecture of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time that a process has used, in user mode and in the kernel.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let ticks = |place| field(pid, "stat", |text| text.rsplit_once(')')?.1.split_whitespace().nth(place)?.parse().ok());
    // Counted behind the name, which may have spaces in it: fields 14 and 15 of proc(5).
    let (user, system): (f64, f64) = (ticks(11)?, ticks(12)?);
    Ok((user + system) / TICKS_PER_SECOND)
}

/// Memory that a process has, without what is swapped out, in MiB.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let kib = field(pid, "status", |text| {
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    })?;
    Ok(kib / 1_024.0)
}

fn field<T>(pid: u32, file: &str, read: impl Fn(&str) -> Option<T>) -> Result<T> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    read(&text).with_context(|| format!("{path} is not as expected: {text}"))
}

//! What no single value shows: two that cannot both hold. Each is told with both keys and both values.

use std::time::Duration;

use frameline_runtime::StageSettings;
use frameline_runtime::settings::duration;

use super::sections::{Config, LogKind};

/// All contradictions, in words.
pub(super) fn of(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let log = &config.log;
    if log.drain_deadline >= log.session_timeout {
        found.push(format!(
            "log.drain_deadline is {} and must be shorter than log.session_timeout, which is {}",
            duration::format(log.drain_deadline),
            duration::format(log.session_timeout)
        ));
    }
    if log.kind == LogKind::Kafka && config.kafka.bootstrap_servers.is_empty() {
        found.push("log.kind is kafka and kafka.bootstrap_servers is empty".to_owned());
    } else if log.kind == LogKind::Kafka
        && let Err(error) = config.kafka.settings().check()
    {
        found.push(error.to_string());
    }
    if config.discover.largest_file_bytes > config.identify.file_limit_bytes {
        found.push(format!(
            "discover.largest_file_bytes is {} and must not exceed identify.file_limit_bytes, which is {}",
            config.discover.largest_file_bytes, config.identify.file_limit_bytes
        ));
    }
    if let Err(error) = config.identify.check() {
        found.push(format!("identify: {error}"));
    }
    found.extend(config.schemas.contradiction());
    found.extend(config.blobs.contradiction(&config.service.tenant));
    found.extend(config.jobs.contradiction());
    found.extend(config.vectors.contradiction());
    found.extend(config.telemetry.contradictions());
    for (name, settings) in config.stages.iter() {
        of_stage(name, settings, log.session_timeout, &mut found);
    }
    found
}

fn of_stage(name: &str, settings: &StageSettings, session_timeout: Duration, found: &mut Vec<String>) {
    let numbers = [
        ("batch_records", settings.batch_records as u64, "in_flight_records", settings.in_flight_records as u64),
        ("batch_bytes", settings.batch_bytes as u64, "in_flight_bytes", settings.in_flight_bytes as u64),
    ];
    for (small, value, large, limit) in numbers {
        if value > limit {
            found.push(format!(
                "stages.{name}.{small} is {value} and must not exceed stages.{name}.{large}, which is {limit}"
            ));
        }
    }
    if settings.retry_base > settings.retry_cap {
        found.push(format!(
            "stages.{name}.retry_base is {} and must not exceed stages.{name}.retry_cap, which is {}",
            duration::format(settings.retry_base),
            duration::format(settings.retry_cap)
        ));
    }
    if settings.commit_interval >= session_timeout {
        found.push(format!(
            "stages.{name}.commit_interval is {} and must be shorter than log.session_timeout, which is {}",
            duration::format(settings.commit_interval),
            duration::format(session_timeout)
        ));
    }
    let positive = [
        ("batch_records", settings.batch_records as u64),
        ("concurrency", settings.concurrency as u64),
        ("retry_attempts", u64::from(settings.retry_attempts)),
        ("halt_after", u64::from(settings.halt_after)),
    ];
    for (key, value) in positive {
        if value == 0 {
            found.push(format!("stages.{name}.{key} is 0, and must be 1 or more for the stage to do anything"));
        }
    }
}

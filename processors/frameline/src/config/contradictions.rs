//! What no single value shows: two that cannot both hold. Each is told with both keys and both values.

use std::time::Duration;

use frameline_runtime::StageSettings;
use frameline_runtime::retry::Backoff;
use frameline_runtime::settings::duration;
use frameline_topics::Catalogue;

use super::sections::{Config, LogKind};
use crate::stages::Name;

/// Those that a file passes until it is searchable.
const WAY: [Name; 5] = [Name::Identify, Name::Render, Name::Validate, Name::Embed, Name::Index];

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
    found.extend(of_retries(config));
    found.extend(of_attempts(config));
    found.extend(Name::ALL.into_iter().filter_map(|name| of_memory(config, name)));
    match Catalogue::shipped() {
        Ok(topics) => found.extend(Name::ALL.into_iter().flat_map(|name| of_topics(config, name, &topics))),
        Err(error) => found.push(error.to_string()),
    }
    found
}

/// A record that succeeds at its last attempt in every stage is still to be in time.
fn of_retries(config: &Config) -> Option<String> {
    let waits = WAY.map(|name| {
        let settings = config.stages.of(name);
        let backoff = Backoff { base: settings.retry_base, cap: settings.retry_cap };
        (backoff.longest(settings.retry_attempts), name)
    });
    let sum = waits.iter().fold(Duration::ZERO, |sum, (wait, _)| sum.saturating_add(*wait));
    let promised = config.service.searchable_within;
    let (longest, name) = waits.into_iter().max_by_key(|(wait, _)| *wait)?;
    (sum >= promised).then(|| {
        format!(
            "the waits between attempts are {} in all stages up to index, {} of them by stages.{name}.retry_attempts, \
             which is {}, and must be shorter than service.searchable_within, which is {}",
            in_seconds(sum),
            in_seconds(longest),
            config.stages.of(name).retry_attempts,
            duration::format(promised)
        )
    })
}

/// One attempt that takes as long as it may is still to be in time. What lies in the data directory has no limit.
fn of_attempts(config: &Config) -> Vec<String> {
    let (blobs, vectors) = (&config.blobs, &config.vectors);
    let in_bucket = if blobs.is_embedded() {
        Duration::ZERO
    } else {
        blobs.timeout.saturating_mul(blobs.retries.saturating_add(1))
    };
    let in_qdrant = if vectors.is_embedded() { Duration::ZERO } else { vectors.timeout };
    let one = |key: &str, value| format!("{key}, which is {}", duration::format(value));
    let of_blobs = format!("{}, and blobs.retries, which is {}", one("blobs.timeout", blobs.timeout), blobs.retries);
    let promised = config.service.searchable_within;
    [
        (config.identify.file_wall, one("identify.file_wall", config.identify.file_wall)),
        (config.render.frame_wall, one("render.frame_wall", config.render.frame_wall)),
        (in_bucket, of_blobs),
        (in_qdrant, one("vectors.timeout", vectors.timeout)),
    ]
    .into_iter()
    .filter(|(longest, _)| *longest >= promised)
    .map(|(longest, keys)| {
        format!(
            "one attempt may take {} by {keys}, and must be shorter than service.searchable_within, which is {}",
            in_seconds(longest),
            duration::format(promised)
        )
    })
    .collect()
}

fn in_seconds(span: Duration) -> String {
    duration::format(Duration::from_secs(span.as_secs()))
}

/// What a stage may hold at the same time: what it has taken in, what it works on, and what its child processes use.
fn of_memory(config: &Config, name: Name) -> Option<String> {
    let (settings, limit) = (config.stages.of(name), config.service.memory_limit_bytes);
    let (workers, worker_bytes) = match name {
        Name::Identify => (config.identify.workers, config.identify.worker_memory_bytes),
        Name::Render => (config.render.workers, config.render.worker_memory_bytes),
        Name::Validate | Name::Embed | Name::Index | Name::Jobs => (0, 0),
    };
    let in_work = (settings.batch_bytes as u64).saturating_mul(settings.concurrency as u64);
    let in_children = worker_bytes.saturating_mul(workers as u64);
    let need = (settings.in_flight_bytes as u64).saturating_add(in_work).saturating_add(in_children);
    (limit > 0 && need > limit).then(|| {
        let children = if in_children == 0 { "" } else { ", and workers × worker_memory_bytes of its section" };
        format!(
            "stages.{name} may hold {need} bytes, which is in_flight_bytes {} and batch_bytes {} × concurrency {}{children}, \
             and must not exceed service.memory_limit_bytes, which is {limit}",
            settings.in_flight_bytes, settings.batch_bytes, settings.concurrency
        )
    })
}

/// What does not go with the topics that the stage reads.
fn of_topics(config: &Config, name: Name, topics: &Catalogue) -> Vec<String> {
    let (batch_bytes, replicas) = (config.stages.of(name).batch_bytes, config.replicas.of(name));
    let read = name.reads().iter().filter_map(|topic| topics.topics.get_key_value(*topic));
    let mut found = Vec::new();
    for (topic, about) in read {
        if batch_bytes < about.largest_message_bytes {
            found.push(format!(
                "stages.{name}.batch_bytes is {batch_bytes} and must not be less than {}, the largest record of {topic}",
                about.largest_message_bytes
            ));
        }
        if i64::from(replicas) > i64::from(about.partitions) {
            found.push(format!(
                "replicas.{name} is {replicas} and must not exceed {}, the partitions of {topic}: more would stand idle",
                about.partitions
            ));
        }
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

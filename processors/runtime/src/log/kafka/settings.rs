//! How Kafka is reached, and which of its settings are not for configuration, because a promise rests on them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize, Serializer};

use crate::log::{LogError, Membership};

/// How the Kafka side of the log is reached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Brokers to begin with: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// How members of a group agree on who has which partitions.
    #[serde(default)]
    pub group_protocol: GroupProtocol,
    /// Properties for librdkafka, by their names there. Those that a promise rests on are refused.
    #[serde(default, serialize_with = "without_secrets")]
    pub properties: BTreeMap<String, String>,
}

/// How members of a group agree on who has which partitions. Both move only what has to move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocol {
    /// The members decide (`cooperative-sticky`); every broker speaks it.
    #[default]
    Classic,
    /// The broker decides (KIP-848); brokers from 4.0 on speak it, and set the session timeout themselves.
    Consumer,
}

/// What may not be set, and why not.
const RESERVED: [(&str, &str); 21] = [
    ("bootstrap.servers", "it is set by `bootstrap_servers`"),
    ("metadata.broker.list", "it is set by `bootstrap_servers`"),
    ("group.protocol", "it is set by `group_protocol`"),
    ("group.id", "the group is the stage's name"),
    ("group.instance.id", "a static member keeps its partitions after it has left"),
    ("partition.assignment.strategy", "only what has to move is moved: cooperative-sticky"),
    ("session.timeout.ms", "it belongs to the stage, and the drain deadline has to be shorter"),
    ("enable.auto.commit", "positions are committed with the outputs, never by themselves"),
    ("auto.commit.enable", "positions are committed with the outputs, never by themselves"),
    ("enable.auto.offset.store", "positions are committed with the outputs, never by themselves"),
    ("auto.offset.reset", "a group begins at the lowest offset, so that nothing is passed over"),
    ("isolation.level", "only committed records are read"),
    ("enable.partition.eof", "the end of a partition is committed, so that an idle group has no lag"),
    ("transactional.id", "it is made of group and instance, so that a successor fences its predecessor"),
    ("enable.idempotence", "a transaction needs it"),
    ("acks", "a transaction needs all of them"),
    ("request.required.acks", "a transaction needs all of them"),
    ("partitioner", "the same key has to go to the same partition from every client"),
    ("delivery.report.only.error", "a commit counts on the reports of failures, and on nothing else"),
    ("log.queue", "log lines come out of the client's queue"),
    ("enable.gapless.guarantee", "a failed record fails its transaction, which may then be aborted"),
];

impl KafkaSettings {
    /// These brokers, and all else as it is by default.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            group_protocol: GroupProtocol::default(),
            properties: BTreeMap::new(),
        }
    }

    /// Refuses properties that are not for configuration, by name and with the reason.
    pub fn check(&self) -> Result<(), LogError> {
        if self.bootstrap_servers.trim().is_empty() {
            return Err(LogError::Refused("bootstrap_servers is empty: name brokers as host:port".to_owned()));
        }
        let refused = RESERVED.iter().find(|(name, _)| self.properties.contains_key(*name));
        match refused {
            Some((name, reason)) => Err(LogError::Refused(format!("kafka property {name} cannot be set: {reason}"))),
            None => Ok(()),
        }
    }

    /// What every client has: ours may be overridden where no promise rests on it.
    fn client(&self, name: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.set("client.id", format!("frameline-{name}"));
        // A broker that is back is found within a second, not ten.
        config.set("reconnect.backoff.max.ms", "1000");
        // Not the default second: a fast reader would starve after each full queue.
        config.set("fetch.queue.backoff.ms", "10");
        config.set("queued.max.messages.kbytes", "32768");
        // The end of a partition is told with the next answer of the broker: within this time, not half a second.
        config.set("fetch.wait.max.ms", "100");
        config.set("linger.ms", "5");
        // Transactions that follow each other closely wait this long, by default 100.
        config.set("retry.backoff.ms", "10");
        config.set(TRANSACTION_TIMEOUT_MS, DEFAULT_TRANSACTION_TIMEOUT.as_millis().to_string());
        // A record to a topic that is not there fails after this long, by default half a minute.
        config.set("topic.metadata.propagation.max.ms", "5000");
        // The broker decides what is too large, by topic; batches stay below its default of a mebibyte.
        config.set("message.max.bytes", "67108864");
        config.set("queue.buffering.max.kbytes", "131072");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// A consumer that only reads what is committed, and commits nothing by itself.
    pub(super) fn consumer(&self, group: &str, name: &str) -> ClientConfig {
        let mut config = self.client(name);
        config.set("group.id", group);
        config.set("isolation.level", "read_committed");
        config.set("enable.partition.eof", "true");
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "earliest");
        config
    }

    /// The consumer of a member.
    pub(super) fn member(&self, membership: &Membership) -> ClientConfig {
        let mut config = self.consumer(&membership.group, &membership.instance);
        match self.group_protocol {
            GroupProtocol::Classic => {
                config.set("partition.assignment.strategy", "cooperative-sticky");
                config.set("session.timeout.ms", membership.session_timeout.as_millis().to_string());
                let heartbeat = membership.session_timeout / 6;
                config.set("heartbeat.interval.ms", heartbeat.as_millis().clamp(100, 3_000).to_string());
            }
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer");
            }
        }
        config
    }

    /// A producer of transactions under `transactional_id`.
    pub(super) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.client(transactional_id);
        config.set("transactional.id", transactional_id);
        config.set("enable.idempotence", "true");
        config.set("partitioner", "murmur2_random");
        config.set("delivery.report.only.error", "true");
        config
    }

    /// After this long the broker aborts a transaction whose owner is silent; until then readers wait behind it.
    pub(super) fn transaction_timeout(&self) -> Duration {
        let set = self.properties.get(TRANSACTION_TIMEOUT_MS).and_then(|value| value.trim().parse().ok());
        set.map_or(DEFAULT_TRANSACTION_TIMEOUT, Duration::from_millis)
    }

    /// A client for topics and watermarks, which sees the end as others measure it: the uncommitted included.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.client("admin");
        config.set("isolation.level", "read_uncommitted");
        config
    }
}

const TRANSACTION_TIMEOUT_MS: &str = "transaction.timeout.ms";
const DEFAULT_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(20);

const HIDDEN: &str = "***";

fn is_secret(name: &str) -> bool {
    ["password", "secret", "jaas"].iter().any(|word| name.contains(word))
}

fn shown(properties: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    properties.iter().map(|(name, value)| (name.as_str(), if is_secret(name) { HIDDEN } else { value }))
}

fn without_secrets<S: Serializer>(properties: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(shown(properties))
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KafkaSettings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_protocol", &self.group_protocol)
            .field("properties", &shown(&self.properties).collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> KafkaSettings {
        let mut settings = KafkaSettings::new("localhost:9092");
        settings.properties.insert(name.to_owned(), value.to_owned());
        settings
    }

    #[test]
    fn properties_that_a_promise_rests_on_are_refused_with_the_reason() {
        for (name, reason) in RESERVED {
            let text = with(name, "x").check().unwrap_err().to_string();
            assert!(text.contains(name) && text.contains(reason), "{text}");
        }
        with("compression.type", "zstd").check().unwrap();
    }

    #[test]
    fn an_ordinary_property_reaches_every_client() {
        let settings = with("linger.ms", "20");
        assert_eq!(settings.producer("id").get("linger.ms"), Some("20"));
        assert_eq!(settings.consumer("group", "name").get("linger.ms"), Some("20"));
    }

    #[test]
    fn secrets_are_never_shown() {
        let settings = with("sasl.password", "hunter2");
        let shown = format!("{settings:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_broker_sets_the_session_timeout_under_its_own_protocol() {
        let membership = Membership {
            group: "index".to_owned(),
            instance: "a".to_owned(),
            topics: vec![],
            session_timeout: Duration::from_secs(6),
            drain_deadline: Duration::from_secs(3),
        };
        let mut settings = KafkaSettings::new("localhost:9092");
        assert_eq!(settings.member(&membership).get("session.timeout.ms"), Some("6000"));
        assert_eq!(settings.member(&membership).get("heartbeat.interval.ms"), Some("1000"));
        settings.group_protocol = GroupProtocol::Consumer;
        assert_eq!(settings.member(&membership).get("session.timeout.ms"), None);
        assert_eq!(settings.member(&membership).get("partition.assignment.strategy"), None);
    }
}

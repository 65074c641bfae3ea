//! How Kafka is reached, and which of its settings are not for configuration, because a promise rests on them.

mod reserved;
mod security;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use self::reserved::RESERVED;
pub use self::reserved::is_secret;
pub use self::security::{Sasl, SaslMechanism, Security, SecurityProtocol, Tls};
use crate::log::{LogError, Membership};
use crate::secret::HIDDEN;

/// How the Kafka side of the log is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Brokers to begin with: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// How members of a group agree on who has which partitions.
    pub group_protocol: GroupProtocol,
    /// How the group knows a member that comes back.
    pub identity: Identity,
    /// How brokers and clients make sure of each other.
    pub security: Security,
    /// Properties for librdkafka, by their names there. Those that a promise rests on are refused.
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
    /// The broker decides where it can, else the members do. A member asks when it joins.
    Auto,
}

/// How a group knows a member that comes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Not at all: who stops makes room at once, and who starts is new. For processes whose names are never used
    /// again, such as the pods of a Deployment.
    #[default]
    Dynamic,
    /// By the instance's name (KIP-345). Who starts again within the session timeout has its partitions back, and
    /// the others notice nothing; until then nobody has them. For names that come back, such as the pods of a
    /// StatefulSet.
    Static,
    /// As [`Self::Static`] for one that was killed; who stops in order makes room at once. Under the members' own
    /// protocol only: under the broker's, a member with a name that stops always keeps its partitions.
    StaticLeaving,
}

impl KafkaSettings {
    /// These brokers, and all else as it is by default.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            group_protocol: GroupProtocol::default(),
            identity: Identity::default(),
            security: Security::default(),
            properties: BTreeMap::new(),
        }
    }

    /// Refuses properties that are not for configuration, by name and with the reason.
    pub fn check(&self) -> Result<(), LogError> {
        if self.bootstrap_servers.trim().is_empty() {
            return Err(LogError::Refused("bootstrap_servers is empty: name brokers as host:port".to_owned()));
        }
        if self.identity == Identity::StaticLeaving && self.group_protocol != GroupProtocol::Classic {
            let protocol = format!("{:?}", self.group_protocol).to_lowercase();
            return Err(LogError::Refused(format!(
                "identity is static-leaving and group_protocol is {protocol}: only under classic can a static member \
                 leave; choose classic, or another identity"
            )));
        }
        self.security.check().map_err(LogError::Refused)?;
        self.check_token()?;
        let refused = RESERVED.iter().find(|(name, _)| self.properties.contains_key(*name));
        match refused {
            Some((name, reason)) => Err(LogError::Refused(format!("kafka property {name} cannot be set: {reason}"))),
            None => Ok(()),
        }
    }

    /// The same, looked through, with the passwords that lie in files.
    pub(super) fn open(self) -> Result<Self, LogError> {
        self.check()?;
        let security = self.security.open().map_err(LogError::Refused)?;
        Ok(Self { security, ..self })
    }

    /// A token comes from a file, or librdkafka gets one by properties of its own.
    fn check_token(&self) -> Result<(), LogError> {
        let security = &self.security;
        let has_own = self.properties.keys().any(|name| name.contains("sasl.oauthbearer"));
        if security.sasl.mechanism != SaslMechanism::OauthBearer || security.token_file().is_some() || has_own {
            return Ok(());
        }
        Err(LogError::Refused(
            "kafka.sasl.mechanism is OAUTHBEARER and nothing gives a token: set kafka.sasl.token_file, or librdkafka's \
             sasl.oauthbearer.* in kafka.properties"
                .to_owned(),
        ))
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
        self.security.apply(&mut config);
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
        // Of those that are in no group; the client wants it to be no longer than `max.poll.interval.ms`.
        config.set("session.timeout.ms", "1");
        config
    }

    /// The client of a member's seat in its group, under one of the two protocols.
    pub(super) fn member(&self, membership: &Membership, protocol: GroupProtocol) -> ClientConfig {
        let mut config = self.consumer(&membership.group, &membership.instance);
        if self.identity != Identity::Dynamic {
            config.set("group.instance.id", &membership.instance);
        }
        match protocol {
            GroupProtocol::Classic => {
                config.set("partition.assignment.strategy", "cooperative-sticky");
                config.set("session.timeout.ms", membership.session_timeout.as_millis().to_string());
                let heartbeat = membership.session_timeout / 6;
                config.set("heartbeat.interval.ms", heartbeat.as_millis().clamp(100, 3_000).to_string());
            }
            GroupProtocol::Consumer | GroupProtocol::Auto => {
                config.set("group.protocol", "consumer");
                config.remove("session.timeout.ms");
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
    pub fn transaction_timeout(&self) -> Duration {
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

fn shown(properties: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    properties.iter().map(|(name, value)| (name.as_str(), if is_secret(name) { HIDDEN } else { value }))
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KafkaSettings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_protocol", &self.group_protocol)
            .field("identity", &self.identity)
            .field("security", &self.security)
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
    fn a_static_member_that_is_to_leave_wants_the_protocol_under_which_it_can() {
        let mut settings = KafkaSettings { identity: Identity::StaticLeaving, ..KafkaSettings::new("localhost:9092") };
        settings.check().unwrap();
        for (protocol, name) in [(GroupProtocol::Consumer, "consumer"), (GroupProtocol::Auto, "auto")] {
            settings.group_protocol = protocol;
            let text = settings.check().unwrap_err().to_string();
            assert!(text.contains("static-leaving") && text.contains(name) && text.contains("classic"), "{text}");
        }
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
        let classic = settings.member(&membership, GroupProtocol::Classic);
        assert_eq!(classic.get("session.timeout.ms"), Some("6000"));
        assert_eq!(classic.get("heartbeat.interval.ms"), Some("1000"));
        assert_eq!(classic.get("group.instance.id"), None);
        settings.identity = Identity::Static;
        let consumer = settings.member(&membership, GroupProtocol::Consumer);
        assert_eq!(consumer.get("session.timeout.ms"), None);
        assert_eq!(consumer.get("partition.assignment.strategy"), None);
        assert_eq!(consumer.get("group.instance.id"), Some("a"));
    }
}

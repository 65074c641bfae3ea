//! The section on Apache Kafka.

use std::collections::BTreeMap;
use std::fmt;

use frameline_runtime::log::kafka::{GroupProtocol, Identity, KafkaSettings, Sasl, Security, SecurityProtocol, Tls};
use serde::{Deserialize, Serialize};

/// Apache Kafka.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Kafka {
    pub(crate) bootstrap_servers: String,
    pub(crate) group_protocol: GroupProtocol,
    pub(crate) identity: Identity,
    pub(crate) replication: i32,
    pub(crate) security_protocol: SecurityProtocol,
    pub(crate) tls: Tls,
    pub(crate) sasl: Sasl,
    pub(crate) properties: BTreeMap<String, String>,
}

impl Kafka {
    /// What the client takes.
    pub(crate) fn settings(&self) -> KafkaSettings {
        let security = Security { protocol: self.security_protocol, tls: self.tls.clone(), sasl: self.sasl.clone() };
        KafkaSettings {
            bootstrap_servers: self.bootstrap_servers.clone(),
            group_protocol: self.group_protocol,
            identity: self.identity,
            security,
            properties: self.properties.clone(),
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: String::new(),
            group_protocol: GroupProtocol::default(),
            identity: Identity::default(),
            replication: 3,
            security_protocol: SecurityProtocol::default(),
            tls: Tls::default(),
            sasl: Sasl::default(),
            properties: BTreeMap::new(),
        }
    }
}

/// As the client's settings show themselves: without passwords.
impl fmt::Debug for Kafka {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings().fmt(formatter)
    }
}

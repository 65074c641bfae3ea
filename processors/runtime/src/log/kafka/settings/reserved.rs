//! The properties of librdkafka that are not for configuration, each with the reason: a promise rests on it, or it
//! has a key of its own.

/// What may not be set, and why not.
pub(super) const RESERVED: [(&str, &str); 45] = [
    // Set by keys of their own.
    ("bootstrap.servers", "it is set by `kafka.bootstrap_servers`"),
    ("metadata.broker.list", "it is set by `kafka.bootstrap_servers`"),
    ("group.protocol", "it is set by `kafka.group_protocol`"),
    ("group.instance.id", "it is the instance's name where `kafka.identity` is static"),
    ("security.protocol", "it is set by `kafka.security_protocol`"),
    ("ssl.ca.location", "it is set by `kafka.tls.ca_file`"),
    ("ssl.certificate.location", "it is set by `kafka.tls.certificate_file`"),
    ("ssl.key.location", "it is set by `kafka.tls.key_file`"),
    ("ssl.key.password", "it is set by `kafka.tls.key_password` or `kafka.tls.key_password_file`"),
    ("ssl.endpoint.identification.algorithm", "it is set by `kafka.tls.verify_host`"),
    (
        "enable.ssl.certificate.verification",
        "a broker that nobody vouches for could be anybody; see `kafka.tls.ca_file`",
    ),
    ("sasl.mechanism", "it is set by `kafka.sasl.mechanism`"),
    ("sasl.mechanisms", "it is set by `kafka.sasl.mechanism`"),
    ("sasl.username", "it is set by `kafka.sasl.username`"),
    ("sasl.password", "it is set by `kafka.sasl.password` or `kafka.sasl.password_file`"),
    // Who reads what.
    ("group.id", "the group is the stage's name"),
    ("partition.assignment.strategy", "only what has to move is moved: cooperative-sticky"),
    ("session.timeout.ms", "it belongs to the stage, and the drain deadline has to be shorter"),
    ("heartbeat.interval.ms", "it follows the session timeout"),
    ("topic.blacklist", "the records of a topic that is not seen would be passed over"),
    ("allow.auto.create.topics", "`frameline topics apply` creates topics, with as many partitions as they need"),
    // Nothing is passed over, and nothing is seen before it is committed.
    ("enable.auto.commit", "positions are committed with the outputs, never by themselves"),
    ("auto.commit.enable", "positions are committed with the outputs, never by themselves"),
    ("auto.commit.interval.ms", "positions are committed with the outputs, never by themselves"),
    ("enable.auto.offset.store", "positions are committed with the outputs, never by themselves"),
    ("offset.store.method", "positions are committed with the outputs, on the broker"),
    ("offset.store.path", "positions are committed with the outputs, on the broker"),
    ("auto.offset.reset", "a group begins at the lowest offset, so that nothing is passed over"),
    ("isolation.level", "only committed records are read"),
    ("enable.partition.eof", "the end of a partition is committed, so that an idle group has no lag"),
    ("check.crcs", "a record that was damaged on its way is not one that is bad"),
    // All at once.
    ("transactional.id", "it is made of group and instance, so that a successor fences its predecessor"),
    ("enable.idempotence", "a transaction needs it"),
    ("acks", "a transaction needs all of them"),
    ("request.required.acks", "a transaction needs all of them"),
    ("max.in.flight", "a transaction needs the order of its records; librdkafka takes what is safe"),
    (
        "max.in.flight.requests.per.connection",
        "a transaction needs the order of its records; librdkafka takes what is safe",
    ),
    ("enable.gapless.guarantee", "a failed record fails its transaction, which may then be aborted"),
    ("delivery.report.only.error", "a commit counts on the reports of failures, and on nothing else"),
    // Order by key.
    ("partitioner", "the same key has to go to the same partition from every client"),
    ("msg_order_cmp", "records are sent in the order in which they were made"),
    ("queuing.strategy", "records are sent in the order in which they were made"),
    // How the client is followed.
    ("enabled_events", "the runtime follows its partitions by events"),
    ("log.queue", "log lines come out of the client's queue"),
    ("plugin.library.paths", "a plug-in could change records, or keep them"),
];

/// Whether the value of a property is what somebody logs in with.
pub fn is_secret(property: &str) -> bool {
    ["password", "secret", "jaas", "key.pem", "private.key", "oauthbearer.config"]
        .iter()
        .any(|word| property.contains(word))
}

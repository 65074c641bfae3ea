//! Every key of the configuration: its unit and what it means. Defaults are the types' own; a test holds this
//! table and the types to each other.

/// What is known of a key.
#[derive(Debug)]
pub(crate) struct Key {
    /// Dotted; `*` stands for the name of any stage.
    pub(crate) name: &'static str,
    /// What its value counts, or is.
    pub(crate) unit: &'static str,
    /// What it means.
    pub(crate) about: &'static str,
    /// Whether its value is never shown.
    pub(crate) is_secret: bool,
}

const fn key(name: &'static str, unit: &'static str, about: &'static str) -> Key {
    Key { name, unit, about, is_secret: false }
}

const fn secret(name: &'static str, about: &'static str) -> Key {
    Key { name, unit: "text, never shown", about, is_secret: true }
}

/// All keys.
pub(crate) const KEYS: &[Key] = &[
    key("service.listen", "address", "where /healthz, /readyz and /metrics answer; port 0 takes any free one"),
    key("service.tenant", "name", "whose files these are"),
    key(
        "service.searchable_within",
        "duration",
        "what is promised of a file from its coming on: the longest waits between attempts have to fit in",
    ),
    key(
        "service.memory_limit_bytes",
        "bytes",
        "what a process is given, such as the limit of its container: what a stage may hold has to fit in; 0 for no limit",
    ),
    key("log.kind", "embedded, kafka", "which log carries the records between the stages"),
    key("log.create_topics", "true, false", "create missing topics at start; by default on the embedded log only"),
    key("log.session_timeout", "duration", "after this long without a sign of life a stage loses its partitions"),
    key("log.drain_deadline", "duration", "how long a stage may take to finish what it has when it must let go"),
    key("kafka.bootstrap_servers", "host:port, …", "brokers to begin with"),
    key("kafka.replication", "brokers", "how many keep each partition of a topic that is created"),
    key(
        "kafka.group_protocol",
        "auto, classic, consumer",
        "who shares partitions out: the broker (consumer, from 4.0), the members (classic), or the broker where it can",
    ),
    key(
        "kafka.identity",
        "dynamic, static, static-leaving",
        "how a group knows a process that comes back: not at all; by its instance name, its partitions kept for it; \
         or so, but free when it stops in order",
    ),
    key(
        "kafka.security_protocol",
        "plaintext, ssl, sasl_plaintext, sasl_ssl",
        "what the brokers' listener speaks: TLS (ssl), a login (sasl), or both",
    ),
    key("kafka.tls.ca_file", "PEM file", "who vouches for the brokers; whom the system trusts where it is empty"),
    key("kafka.tls.certificate_file", "PEM file", "what we show to brokers that want to know us"),
    key("kafka.tls.key_file", "PEM file", "the certificate's private key"),
    secret("kafka.tls.key_password", "what the key is encrypted with"),
    key("kafka.tls.key_password_file", "file", "or the file that has it"),
    key("kafka.tls.verify_host", "true, false", "a broker's certificate has to be for the name that it is reached by"),
    key("kafka.sasl.mechanism", "none, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", "how one logs in"),
    key("kafka.sasl.username", "name", "who logs in"),
    secret("kafka.sasl.password", "with what; better in $FRAMELINE__KAFKA__SASL__PASSWORD, or in a file"),
    key("kafka.sasl.password_file", "file", "or the file that has it, such as a mounted secret"),
    key("kafka.sasl.token_file", "file", "the token of OAUTHBEARER; read again before it expires"),
    key("kafka.properties", "table", "librdkafka's own, such as { \"compression.type\" = \"zstd\" }"),
    key("schemas.registry", "URL", "a schema registry with Confluent's API, which gives the schemas their ids"),
    key(
        "schemas.ca_file",
        "PEM file",
        "who vouches for an https:// registry; whom the system trusts where it is empty",
    ),
    key("schemas.timeout", "duration", "how long one of its answers may take"),
    key("schemas.username", "name", "who asks, where the registry wants to know"),
    secret("schemas.password", "with what; better in $FRAMELINE__SCHEMAS__PASSWORD, or in a file"),
    key("schemas.password_file", "file", "or the file that has it, such as a mounted secret"),
    key(
        "blobs.url",
        "URL",
        "of a bucket and what names in it begin with: s3://bucket/prefix, gs://bucket/prefix or az://container/prefix; \
         empty for the folder in the data directory",
    ),
    key("blobs.endpoint", "URL", "where the bucket's provider answers; empty for the provider's own address"),
    key("blobs.region", "name", "of S3; empty for what the environment says, or us-east-1"),
    key("blobs.allow_http", "true, false", "the endpoint may be asked without TLS"),
    key("blobs.ca_file", "PEM file", "who vouches for the endpoint, beside those whom the system trusts"),
    key(
        "blobs.access_key_id",
        "name",
        "who we are: the access key of S3, the storage account of Azure, nothing for Google; where no login is set, \
         the environment says it, or the identity of the pod or machine",
    ),
    secret(
        "blobs.secret_access_key",
        "what goes with it; for Google a service account in JSON; better in \
         $FRAMELINE__BLOBS__SECRET_ACCESS_KEY, or in a file",
    ),
    key("blobs.secret_access_key_file", "file", "or the file that has it, such as a mounted secret"),
    key("blobs.encryption", "bucket, AES256, aws:kms", "how S3 is told to encrypt; `bucket` leaves it to the bucket"),
    key("blobs.kms_key_id", "id or ARN", "of the key for aws:kms; empty for the bucket's own"),
    key("blobs.timeout", "duration", "how long one request may take, with all that it sends or gets"),
    key("blobs.connect_timeout", "duration", "how long a connection may take"),
    key("blobs.retries", "requests", "that are sent again after a short trouble, before the stage waits"),
    key("jobs.url", "URL", "PostgreSQL, postgres://user@host:5432/database; empty for a file in the data directory"),
    secret("jobs.password", "with what the user logs in; better in $FRAMELINE__JOBS__PASSWORD, or in a file"),
    key("jobs.password_file", "file", "or the file that has it, such as a mounted secret"),
    key(
        "jobs.tls",
        "disable, prefer, require, verify-ca, verify-full",
        "whether the connection is encrypted and the server looked at, as PostgreSQL's sslmode has it",
    ),
    key("jobs.ca_file", "PEM file", "who vouches for the server, beside those whom the system trusts"),
    key("jobs.connections", "connections", "of each process, at most; whoever follows changes has one more"),
    key("jobs.connect_timeout", "duration", "how long one waits for a connection"),
    key("jobs.timeout", "duration", "how long an answer may take"),
    key(
        "jobs.migrate",
        "true, false",
        "bring PostgreSQL's schema up to date at start; else `frameline migrate --execute` does. A file always is",
    ),
    key(
        "jobs.retention",
        "duration",
        "how long a job is kept after its end, 0s for ever; files stay known, and so does why the newest revision failed",
    ),
    key("vectors.url", "URL", "Qdrant's gRPC port, http://qdrant:6334; empty for a file in the data directory"),
    secret("vectors.api_key", "what Qdrant lets us in by; better in $FRAMELINE__VECTORS__API_KEY, or in a file"),
    key("vectors.api_key_file", "file", "or the file that has it, such as a mounted secret"),
    key("vectors.alias", "name", "stands for the live collection; the names of collections begin with it"),
    key("vectors.timeout", "duration", "how long one of Qdrant's answers may take"),
    key("vectors.connect_timeout", "duration", "how long a connection to it may take"),
    key("vectors.replication", "nodes", "of Qdrant that keep each part of a collection that is made"),
    key("discover.largest_file_bytes", "bytes", "a larger file is refused"),
    key("discover.changing_attempts", "readings", "of a file that changes while it is read, in all"),
    key("discover.changing_pause", "duration", "between those readings"),
    key("identify.workers", "processes", "open files at the same time; 0 for one a core"),
    key("identify.file_cpu", "duration", "processor time that a file may take"),
    key("identify.file_wall", "duration", "time by the clock that a file may take"),
    key("identify.worker_memory_bytes", "bytes", "memory that a process may use"),
    key("identify.file_limit_bytes", "bytes", "a larger file is skipped"),
    key("identify.frame_min_side_px", "pixels", "shortest side of an artboard that is indexed"),
    key("identify.frame_max_side_px", "pixels", "longest side of an artboard that is indexed"),
    key("identify.frame_max_aspect", "ratio", "longer side of an artboard over the shorter one, at most"),
    key("identify.frame_min_elements", "elements", "an artboard with fewer is not indexed"),
    key("identify.frames_per_file", "frames", "of a file that are indexed, the first ones"),
    key("identify.passage_tokens", "tokens", "longest passage"),
    key("identify.passage_overlap_tokens", "tokens", "of a passage that the next one repeats"),
    key("identify.passages_per_file", "passages", "of a file that are indexed, the first ones"),
    key("render.workers", "processes", "draw at the same time; 0 for one a core"),
    key("render.longest_side_px", "pixels", "longest side of a thumbnail"),
    key("render.frame_cpu", "duration", "processor time that a frame may take"),
    key("render.frame_wall", "duration", "time by the clock that a frame may take"),
    key("render.worker_memory_bytes", "bytes", "memory that a process may use"),
    key("validate.tiny_side_px", "pixels", "a frame with a shorter side is tiny, and refused"),
    key("validate.blank_edge_density", "share, 0 to 1", "fewer pixels than this on edges, and a frame may be blank"),
    key("validate.blank_colours", "colours", "a picture with more is not blank"),
    key("validate.duplicate_dhash_bits", "bits of 64", "by which hashes of near-duplicates differ at most"),
    key("validate.duplicate_aspect_share", "share, 0 to 1", "by which aspects of near-duplicates differ at most"),
    key("validate.duplicate_text_share", "share, 0 to 1", "of their words that near-duplicates have in common"),
    key("validate.files_in_memory", "files", "whose frames are remembered; those of others are read again"),
    key(
        "replicas.*",
        "processes",
        "that are meant to share the stage, at most: each needs a partition; 0 where it is open",
    ),
    key("embed.threads", "threads", "run models at the same time; 0 for one a core"),
    key("stages.*.batch_records", "records", "largest batch"),
    key("stages.*.batch_bytes", "bytes", "largest batch; a single larger record is a batch of its own"),
    key("stages.*.linger", "duration", "how long a batch waits to fill up"),
    key("stages.*.concurrency", "batches", "worked on at the same time"),
    key("stages.*.commit_interval", "duration", "how long results wait for others to be committed with"),
    key("stages.*.in_flight_records", "records", "taken in and not yet committed, at most"),
    key("stages.*.in_flight_bytes", "bytes", "taken in or waiting to be committed, at most"),
    key("stages.*.retry_base", "duration", "first wait before a failed record is tried again; it doubles each time"),
    key("stages.*.retry_cap", "duration", "longest wait"),
    key("stages.*.retry_attempts", "attempts", "in all, before the record becomes a dead letter"),
    key("stages.*.rate_limit", "records/s", "at most; 0 for no limit"),
    key("stages.*.halt_after", "dead letters", "so many in a row and the stage stops taking"),
    key(
        "telemetry.otlp_endpoint",
        "URL",
        "receiver of traces by OTLP over HTTP, http://collector:4318; empty for none",
    ),
    key("telemetry.otlp_headers_file", "path", "a line name=value for each header of a request; secrets go here"),
    key("telemetry.sample_ratio", "share, 0 to 1", "of all files whose traces are kept, by the ids of the traces"),
    key("telemetry.queue_spans", "spans", "wait for the receiver at most; what is more is dropped, and counted"),
];

impl Key {
    /// Whether it is the one of this name.
    pub(crate) fn names(&self, name: &str) -> bool {
        match self.name.split_once(".*") {
            None => self.name == name,
            Some((front, back)) => name
                .strip_prefix(front)
                .and_then(|rest| rest.strip_suffix(back))
                .and_then(|stage| stage.strip_prefix('.'))
                .is_some_and(is_stage),
        }
    }
}

/// The key of this name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.names(name))
}

/// The known name that is most like this one, if any is.
pub(super) fn nearest(name: &str) -> Option<String> {
    let similar = names().map(|known| (strsim::jaro_winkler(name, &known).max(same_end(name, &known)), known));
    let best = similar.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(similarity, _)| *similarity > 0.7).map(|(_, known)| known)
}

/// A key that was put into the wrong section is meant all the same.
fn same_end(name: &str, known: &str) -> f64 {
    let end = |name: &str| name.rsplit('.').next().map(str::to_owned);
    if end(name) == end(known) { 0.75 } else { 0.0 }
}

fn names() -> impl Iterator<Item = String> {
    KEYS.iter().flat_map(|key| match key.name.split_once(".*.") {
        None => vec![key.name.to_owned()],
        Some((front, back)) => crate::stages::Name::ALL.iter().map(|stage| format!("{front}.{stage}.{back}")).collect(),
    })
}

fn is_stage(name: &str) -> bool {
    crate::stages::Name::ALL.iter().any(|stage| stage.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_stage_is_found_for_stages_only() {
        assert!(find("stages.render.linger").is_some());
        assert!(find("stages.reader.linger").is_none());
        assert!(find("stages.linger").is_none());
        assert!(find("stages..linger").is_none());
    }

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        assert_eq!(nearest("log.kid").as_deref(), Some("log.kind"));
        assert_eq!(nearest("stages.embed.batch_record").as_deref(), Some("stages.embed.batch_records"));
        assert_eq!(nearest("bootstrap_servers").as_deref(), Some("kafka.bootstrap_servers"));
        assert_eq!(nearest("zzz"), None);
    }
}

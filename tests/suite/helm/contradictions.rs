//! What cannot hold is refused with both sides and a way out, before anything reaches the cluster.

use frameline_tests::helm::{render, values};

#[track_caller]
pub(super) fn refused(name: &str, set: &[&str], words: &[&str]) -> String {
    let Err(error) = render(&[&values(name)], set) else { panic!("{set:?} was taken") };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
    text
}

#[test]
fn more_replicas_than_partitions_stand_idle() {
    let words = ["stages.render.autoscaling.maxReplicas is 13", "topic frames has 12 partitions", "set 12 or less"];
    refused("production", &["stages.render.autoscaling.maxReplicas=13"], &words);
    refused("minimal", &["stages.index.replicas=20"], &["stages.index.replicas is 20", "embeddings has 12"]);
    refused("minimal", &["stages.index.topic=embedings"], &["stages.index.topic is embedings", "files/topics.yaml"]);
}

#[test]
fn zero_replicas_are_for_stages_that_lag_wakes() {
    let zero = |stage: &str| format!("stages.{stage}.autoscaling.minReplicas=0");
    assert!(render(&[&values("production")], &[&zero("index")]).is_ok());
    let jobs = ["stages.jobs.autoscaling.mode=keda", &zero("jobs")];
    refused("production", &jobs, &["stages.jobs.autoscaling.minReplicas is 0", "set 1 or more"]);
    refused("everything", &[&zero("render")], &["mode hpa by lag", "only KEDA"]);
    refused("everything", &[&zero("index")], &["mode keda by age", "only KEDA"]);
}

#[test]
fn scaling_needs_something_to_go_by() {
    let words = ["minReplicas is 7", "maxReplicas, which is 6"];
    refused("production", &["stages.render.autoscaling.minReplicas=7"], &words);
    refused(
        "everything",
        &["stages.render.autoscaling.by=age"],
        &["stages.render.autoscaling.by is age", "mode is hpa"],
    );
    refused("everything", &["autoscaling.prometheusAddress="], &["autoscaling.prometheusAddress is empty"]);
    refused("production", &["stages.canary.autoscaling.mode=keda"], &["it reads no topic"]);
}

#[test]
fn keda_has_to_be_able_to_log_in() {
    let oauth = ["config.kafka.sasl.mechanism=OAUTHBEARER"];
    refused("confluent", &oauth, &["is OAUTHBEARER", "KEDA cannot read", "by to age"]);
    let secured = ["config.kafka.security_protocol=sasl_ssl", "config.kafka.sasl.mechanism=PLAIN"];
    let scaled = [secured[0], secured[1], "stageDefaults.autoscaling.mode=keda"];
    refused("minimal", &scaled, &["mechanism is PLAIN", "no kafka.sasl.password_file"]);
    // The file is there, and so the rest could be rendered.
    let unsaid = ["config.kafka.sasl.mechanism=none"];
    refused("confluent", &unsaid, &["security_protocol is sasl_ssl and config.kafka.sasl.mechanism is none"]);
    let file = r"files.kafka\.sasl\.password_file.existingSecret=kafka,files.kafka\.sasl\.password_file.key=password";
    refused("minimal", &[secured[0], scaled[2], file], &["config.kafka.sasl.mechanism is none"]);
}

#[test]
fn pods_share_no_file_so_all_is_kept_elsewhere() {
    refused("minimal", &["config.log.kind=embedded"], &["config.log.kind is embedded", "set kafka"]);
    refused("minimal", &["config.kafka.bootstrap_servers="], &["config.kafka.bootstrap_servers is empty"]);
    for section in ["blobs", "jobs", "vectors"] {
        let (empty, words) = (format!("config.{section}.url="), format!("config.{section}.url is empty"));
        refused("minimal", &[&empty], &[&words, "not seen by the others"]);
    }
    refused("minimal", &["config.kafka.identity=static"], &["config.kafka.identity is static", "dynamic"]);
}

#[test]
fn a_pod_has_the_time_that_its_drain_takes() {
    let words = ["stages.embed.terminationGracePeriodSeconds is 60", "drain_deadline is 1m", "90 or more"];
    refused("minimal", &["config.log.drain_deadline=1m"], &words);
}

#[test]
fn a_file_has_one_source() {
    let twice = ["config.jobs.password_file=/etc/password"];
    refused("production", &twice, &["files says where jobs.password_file comes from", "/etc/password: keep one"]);
    let neither = [r"files.jobs\.ca_file.existingConfigMap="];
    refused("production", &neither, &["files.jobs.ca_file must name either"]);
}

#[test]
fn no_password_lies_in_a_config_map() {
    for (key, url, file) in [
        ("jobs.url", "postgres://frameline:hunter2@db:5432/frameline", "jobs.password_file"),
        ("jobs.url", "postgres://frameline@db/frameline?password=hunter2", "jobs.password_file"),
        ("vectors.url", "https://any:hunter2@qdrant:6334", "vectors.api_key_file"),
        ("schemas.registry", "https://any:hunter2@registry:8081", "schemas.password_file"),
    ] {
        let words = [format!("config.{key} has a password in it"), format!("where {file} comes from")];
        let told = refused("minimal", &[&format!("config.{key}={url}")], &[&words[0], &words[1]]);
        assert!(!told.contains("hunter2"), "{told}");
    }
    for property in ["ssl.key.pem", "ssl.keystore.password", "sasl.oauthbearer.client.secret"] {
        let set = format!("config.kafka.properties.{}=hunter2", property.replace('.', r"\."));
        let told = refused("minimal", &[&set], &[property, "FRAMELINE__KAFKA__PROPERTIES", "Secret"]);
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn probes_arrive() {
    for listen in ["127.0.0.1:8470", "[::1]:8470", "0.0.0.0:0"] {
        let words = format!("config.service.listen is {listen}");
        refused("minimal", &[&format!("config.service.listen={listen}")], &[&words, "0.0.0.0:8470"]);
    }
    refused("minimal", &["config.service.listen=null"], &["config.service.listen is 127.0.0.1:8470"]);
}

#[test]
fn one_canary_flies() {
    let words = ["stages.canary.replicas is 2", "set 1"];
    refused("production", &["stages.canary.replicas=2"], &words);
    // What is said for all is not said for it.
    render(&[&values("production")], &["stageDefaults.replicas=2"]).unwrap();
}

#[test]
fn replicas_stay_until_what_they_came_for_is_done() {
    let words = ["stages.embed.autoscaling.drainSeconds is 901", "quietSeconds, which is 900"];
    refused("production", &["stages.embed.autoscaling.drainSeconds=901"], &words);
    refused("everything", &["stages.render.autoscaling.drainSeconds=601"], &["quietSeconds, which is 600"]);
    // By age nothing is told of how long it takes.
    render(&[&values("everything")], &["stages.index.autoscaling.drainSeconds=601"]).unwrap();
}

#[test]
fn topics_of_strimzi_belong_to_a_kafka() {
    refused("minimal", &["topics.mode=strimzi"], &["topics.strimzi.cluster is empty"]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let wrong = ["config.vectors.url=", "topics.mode=strimzi"];
    refused("minimal", &wrong, &["config.vectors.url is empty", "topics.strimzi.cluster is empty"]);
}

#[test]
fn what_nobody_knows_is_refused_by_the_schema() {
    for (set, place, said) in [
        ("stages.reader.replicas=2", "'/stages'", "'reader'"),
        ("stages.embed.replica=2", "'/stages/embed'", "'replica'"),
        ("stages.embed.settings.batch_record=2", "'/stages/embed/settings'", "'batch_record'"),
        ("config.kafka.bootstrap=b", "'/config/kafka'", "'bootstrap'"),
        ("config.log.kind=rabbit", "'/config/log/kind'", "'embedded', 'kafka'"),
        ("config.log.drain_deadline=soon", "'/config/log/drain_deadline'", "'soon'"),
        ("stages.embed.settings.concurrency=two", "'/stages/embed/settings/concurrency'", "want integer"),
        (r"files.kafka\.password.existingSecret=s", "'/files'", "'kafka.password'"),
        ("config.jobs.password=hunter2", "'/config/jobs'", "'password'"),
    ] {
        refused("minimal", &[set], &["schema", place, said]);
    }
}

#[test]
fn what_kubernetes_would_not_take_is_refused_by_the_schema() {
    for set in [
        "autoscaling.scaleDown.quietSeconds=3601",
        "autoscaling.scaleDown.everySeconds=1801",
        "autoscaling.scaleUp.everySeconds=1801",
        "stageDefaults.env.PROXY.value=a,stageDefaults.env.PROXY.valueFrom.secretKeyRef.name=b",
        "stageDefaults.dataSizeLimit=much",
    ] {
        refused("minimal", &[set], &["schema"]);
    }
    let most = ["autoscaling.scaleDown.quietSeconds=3600,autoscaling.scaleDown.everySeconds=1800"];
    render(&[&values("minimal")], &most).unwrap();
}

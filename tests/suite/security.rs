//! Kafka with TLS and logins: what works, what is refused and how it is told, and that no password is ever shown.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings, Sasl, SaslMechanism, Security, SecurityProtocol, Tls};
use frameline_runtime::log::operate::Operate;
use frameline_runtime::log::{Commit, Event, Log, Membership, NewTopic};
use frameline_runtime::moment::now_ms;
use frameline_runtime::secret::Secret;
use frameline_runtime::{Headers, Output, Position};
use frameline_tests::secured::{PASSWORD, Secured, USER};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::process::{Product, samples, until};

/// One broker for all of these.
fn broker() -> &'static Secured {
    static SHARED: OnceLock<Secured> = OnceLock::new();
    SHARED.get_or_init(Secured::start)
}

/// A configuration on Kafka at `servers`; `kafka` goes on with its section.
fn config(product: &Product, servers: &str, kafka: &str) -> String {
    let text = format!(
        "[log]\nkind = \"kafka\"\ncreate_topics = true\n[kafka]\nbootstrap_servers = \"{servers}\"\nreplication = 1\n{kafka}"
    );
    product.file("secured.toml", text).to_str().unwrap().to_owned()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// TLS and SCRAM, with the password in a file.
fn scram(product: &Product, password: &str) -> String {
    let password_file = product.file("password", format!("{password}\n"));
    format!(
        "security_protocol = \"sasl_ssl\"\ntls = {{ ca_file = \"{}\" }}\n\
         sasl = {{ mechanism = \"SCRAM-SHA-512\", username = \"{USER}\", password_file = \"{}\" }}\n",
        shown(&broker().certificates.file("ca.pem")),
        shown(&password_file),
    )
}

/// All stages at work, everything that they log in a file.
struct Logged(Child);

impl Logged {
    fn start(product: &Product, config: &str, log: &Path) -> Self {
        let mut command = product.command(["up", "--json", "--listen", "127.0.0.1:0", "--config", config]);
        command.env("FRAMELINE_LOG", "debug").stdout(Stdio::piped()).stderr(File::create(log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.contains("ready"), "it ended before it was ready: {}", std::fs::read_to_string(log).unwrap());
        Self(child)
    }

    fn stop(mut self) {
        kill_process(Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
        assert_eq!(until("the service has ended", || self.0.try_wait().unwrap()).code(), Some(0));
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_whole_chain_runs_with_tls_and_scram_and_shows_no_password() {
    let product = Product::new();
    let kafka = scram(&product, PASSWORD) + "properties = { debug = \"security,broker\" }\n";
    let config = config(&product, &broker().secure(), &kafka);
    let log = product.file("up.log", "");
    let service = Logged::start(&product, &config, &log);
    let screen = samples().join("screens/checkout.svg");
    let commands: [&[&str]; 5] = [
        &["add", "--wait", screen.to_str().unwrap()],
        &["search", "checkout"],
        &["config", "show"],
        &["config", "check"],
        &["topics", "diff"],
    ];
    for command in commands {
        let mut command = product.command([command, &["--json", "--config", &config]].concat());
        let output = command.env("FRAMELINE_LOG", "debug").output().unwrap();
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success() && !told.contains(PASSWORD), "{command:?}: {told}");
    }
    until("every lag is 0", || (product.json(["lag", "--config", &config])["lag"] == 0).then_some(()));
    service.stop();
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.to_lowercase().contains("scram"), "the log tells nothing of the login, so this proves nothing");
    assert!(!logged.contains(PASSWORD), "a log line has the password");

    // The same from the environment, where `config show` knows it.
    let from_file = format!("password_file = \"{}\"", shown(&product.file("password", "")));
    let file = std::fs::read_to_string(&config).unwrap().replace(&from_file, "password_file = \"\"");
    std::fs::write(&config, file).unwrap();
    for command in [["config", "show"], ["topics", "diff"]] {
        let mut command = product.command([&command[..], &["--config", &config]].concat());
        let output = command.env("FRAMELINE__KAFKA__SASL__PASSWORD", PASSWORD).output().unwrap();
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success() && !told.contains(PASSWORD), "{command:?}: {told}");
    }
}

/// TLS, and a token in a file.
fn with_token(product: &Product, token: &str) -> String {
    format!(
        "security_protocol = \"sasl_ssl\"\ntls = {{ ca_file = \"{}\" }}\n\
         sasl = {{ mechanism = \"OAUTHBEARER\", token_file = \"{}\" }}\n",
        shown(&broker().certificates.file("ca.pem")),
        shown(&product.file("token", token)),
    )
}

/// A token for [`USER`] that nobody has signed, as the broker takes it; it ends so many seconds from now.
fn token(lifetime_s: i64) -> String {
    let now_s = now_ms() / 1_000;
    let claims = json!({ "sub": USER, "iat": now_s - 3_600, "exp": now_s + lifetime_s });
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.", part(json!({ "alg": "none" })), part(claims))
}

/// The start of the product with this section ends at once, with all these words.
#[track_caller]
fn refuses_to_start(product: &Product, servers: &str, kafka: &str, words: &[&str]) {
    let config = config(product, servers, kafka);
    let refused = product.run(["up", "--listen", "127.0.0.1:0", "--config", &config]);
    assert_eq!(refused.status, Some(1), "{words:?}: {refused:?}");
    for word in words {
        assert!(refused.err.contains(word), "`{word}` is missing in: {}", refused.err);
    }
    assert!(!refused.err.contains(PASSWORD) && !refused.err.contains("wrong-one"), "{}", refused.err);
}

#[test]
fn what_cannot_work_is_told_at_once_with_the_key_to_look_at() {
    let product = Product::new();
    let right = scram(&product, PASSWORD);
    let password_file = format!("password_file = \"{}\"", shown(&product.file("password", PASSWORD)));
    let wrong_password = right.replace(&password_file, "password = \"wrong-one\"");
    let wrong_ca = right.replace("/ca.pem", "/other-ca.pem");
    let secure = broker().secure();
    refuses_to_start(&product, &secure, &wrong_password, &["refuse `frameline`", "the password"]);
    refuses_to_start(&product, &secure, &wrong_ca, &["vouches", "kafka.tls.ca_file"]);
    refuses_to_start(&product, &broker().mutual(), "", &["security_protocol is plaintext", "kafka.tls"]);
    refuses_to_start(&product, &secure, "", &["security_protocol is plaintext", "sasl_ssl"]);
}

#[test]
fn a_token_that_is_not_taken_ends_the_start_with_the_key_to_look_at() {
    let product = Product::new();
    for (token, words) in [
        (token(-60), ["token_file", "refuse the token in"]),
        ("of somebody else".to_owned(), ["token_file", "refuse the token in"]),
    ] {
        refuses_to_start(&product, &broker().secure(), &with_token(&product, &token), &words);
    }
    let kafka = with_token(&product, "");
    let nowhere = kafka.replace("/token\"", "/nowhere\"");
    refuses_to_start(&product, &broker().secure(), &nowhere, &["kafka.sasl.token_file", "nowhere cannot be read"]);
}

/// The first question that a log is asked is another each time: each has to log in before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_a_file_is_a_login_for_everything() {
    let secured = tokio::task::spawn_blocking(broker).await.unwrap();
    let product = Product::new();
    let tls = Tls { ca_file: secured.certificates.file("ca.pem"), ..Tls::default() };
    let token_file = product.file("token", token(3_600));
    let sasl = Sasl { mechanism: SaslMechanism::OauthBearer, token_file, ..Sasl::default() };
    let settings = settings(secured.secure(), SecurityProtocol::SaslSsl, tls, sasl);
    let log = || KafkaLog::connect(settings.clone()).unwrap();
    let topic = NewTopic {
        name: format!("tokens-{}", uuid::Uuid::new_v4()),
        partitions: 1,
        replication: 1,
        retention: None,
        compacted: false,
        largest_message_bytes: 100_000,
    };
    log().create_topic(&topic).await.unwrap();
    let value = Some(Bytes::from_static(b"value"));
    let output = Output { topic: topic.name.as_str().into(), key: None, value, headers: Headers::new() };
    log().append(vec![output]).await.unwrap();
    let membership = Membership {
        group: topic.name.clone(),
        instance: "one".to_owned(),
        topics: vec![topic.name.clone()],
        session_timeout: Duration::from_secs(6),
        drain_deadline: Duration::from_secs(3),
    };
    let mut session = log().join(membership).await.unwrap();
    let read = loop {
        let event = tokio::time::timeout(Duration::from_secs(60), session.events.recv()).await;
        if let Event::Records { partition, records } = event.expect("a record in time").expect("a session") {
            break Position { partition, offset: records[0].offset + 1, metadata: String::new() };
        }
    };
    session.member.commit(Arc::new(Commit { outputs: vec![], positions: vec![read] })).await.unwrap();
    let lag = log().lag(&topic.name, std::slice::from_ref(&topic.name)).await.unwrap();
    assert_eq!(lag[0].committed, Some(1));
    assert_eq!(log().members(&topic.name).await.unwrap().len(), 1);
    session.member.leave().await;

    let config = config(&product, &secured.secure(), &with_token(&product, &token(3_600)));
    let ended = product.run(["topics", "apply", "--execute", "--config", &config]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn a_password_that_makes_no_sense_is_refused_without_being_shown() {
    let product = Product::new();
    let section = "security_protocol = \"sasl_ssl\"\n";
    for (sasl, word) in [
        (
            "[kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = 99887766\n",
            "kafka.sasl.password cannot be",
        ),
        ("[kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = \"99887766\n", "line 11"),
        ("[kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npasword = \"99887766\"\n", "kafka.sasl.pasword"),
        ("[kafka.sasl]\nmechanism = \"PLAIN\"\npassword = \"99887766\"\n", "kafka.sasl.username is empty"),
    ] {
        let config = config(&product, "127.0.0.1:1", &format!("{section}{sasl}"));
        let refused = product.run(["config", "check", "--config", &config]);
        assert_eq!(refused.status, Some(1), "{refused:?}");
        assert!(refused.err.contains(word), "`{word}` is missing in: {}", refused.err);
        assert!(!refused.err.contains("99887766"), "{}", refused.err);
    }
}

fn settings(servers: String, protocol: SecurityProtocol, tls: Tls, sasl: Sasl) -> KafkaSettings {
    KafkaSettings { security: Security { protocol, tls, sasl }, ..KafkaSettings::new(servers) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_log_in_works() {
    let secured = tokio::task::spawn_blocking(broker).await.unwrap();
    let file = |name: &str| secured.certificates.file(name);
    let tls = Tls { ca_file: file("ca.pem"), ..Tls::default() };
    let login =
        |mechanism| Sasl { mechanism, username: USER.to_owned(), password: Secret::new(PASSWORD), ..Sasl::default() };
    let ours = Tls { certificate_file: file("client.pem"), key_file: file("client.key"), ..tls.clone() };
    let any_name = Tls { verify_host: false, ..tls.clone() };
    let sasl_ssl = SecurityProtocol::SaslSsl;
    for (name, settings) in [
        ("PLAIN", settings(secured.secure(), sasl_ssl, tls.clone(), login(SaslMechanism::Plain))),
        ("SCRAM-SHA-256", settings(secured.secure(), sasl_ssl, tls.clone(), login(SaslMechanism::ScramSha256))),
        ("certificate", settings(secured.mutual(), SecurityProtocol::Ssl, ours, Sasl::default())),
        ("any name", settings(secured.secure_by_name(), sasl_ssl, any_name, login(SaslMechanism::ScramSha512))),
    ] {
        let log = KafkaLog::connect(settings).unwrap();
        log.topics().await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

use super::*;

const PASSWORD: &str = "correct horse";

fn scram() -> Security {
    let sasl = Sasl {
        mechanism: SaslMechanism::ScramSha512,
        username: "frameline".to_owned(),
        password: Secret::new(PASSWORD),
        ..Sasl::default()
    };
    Security { protocol: SecurityProtocol::SaslSsl, tls: Tls::default(), sasl }
}

fn refusal(change: impl FnOnce(&mut Security)) -> String {
    let mut security = scram();
    change(&mut security);
    security.check().unwrap_err()
}

#[test]
fn what_goes_together_is_taken() {
    Security::default().check().unwrap();
    scram().check().unwrap();
    let tls = Tls { certificate_file: "c.pem".into(), key_file: "k.pem".into(), ..Tls::default() };
    Security { protocol: SecurityProtocol::Ssl, tls, sasl: Sasl::default() }.check().unwrap();
    let mut token = scram();
    token.sasl = Sasl { mechanism: SaslMechanism::OauthBearer, token_file: "token".into(), ..Sasl::default() };
    token.check().unwrap();
}

#[test]
fn contradictions_name_both_keys_and_what_to_do() {
    type Change = fn(&mut Security);
    let cases: [(Change, [&str; 3]); 11] = [
        (|s| s.protocol = SecurityProtocol::Plaintext, ["sasl.mechanism", "plaintext", "sasl_ssl"]),
        (|s| s.protocol = SecurityProtocol::Ssl, ["sasl.mechanism", "ssl", "sasl_plaintext"]),
        (
            |s| (s.protocol, s.tls.ca_file) = (SecurityProtocol::SaslPlaintext, "ca.pem".into()),
            ["tls.ca_file", "sasl_plaintext", "choose ssl"],
        ),
        (
            |s| (s.protocol, s.tls.verify_host) = (SecurityProtocol::SaslPlaintext, false),
            ["tls.verify_host", "sasl_plaintext", "no TLS"],
        ),
        (|s| s.tls.certificate_file = "c.pem".into(), ["tls.certificate_file", "tls.key_file", "needs the other"]),
        (|s| s.tls.key_file = "k.pem".into(), ["tls.key_file", "tls.certificate_file", "needs the other"]),
        (|s| s.tls.key_password = Secret::new("x"), ["tls.key_password", "tls.key_file", "no key"]),
        (|s| s.sasl.mechanism = SaslMechanism::None, ["sasl_ssl", "sasl.mechanism is none", "SCRAM-SHA-512"]),
        (|s| s.sasl.mechanism = SaslMechanism::OauthBearer, ["sasl.username", "OAUTHBEARER", "sasl.token_file"]),
        (|s| s.sasl.username.clear(), ["SCRAM-SHA-512", "sasl.username", "empty"]),
        (|s| s.sasl.password = Secret::default(), ["SCRAM-SHA-512", "sasl.password_file", "no password"]),
    ];
    for (change, words) in cases {
        let text = refusal(change);
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} in: {text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
    let text = refusal(|s| s.sasl.password_file = "file".into());
    assert!(text.contains("both set"), "{text}");
    let text = refusal(|s| s.sasl.token_file = "file".into());
    assert!(text.contains("sasl.token_file") && text.contains("OAUTHBEARER"), "{text}");
}

#[test]
fn a_password_is_read_from_its_file_and_a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let mut security = scram();
    (security.sasl.password, security.sasl.password_file) = (Secret::default(), file.clone());
    let refused = security.clone().open().unwrap_err();
    assert!(refused.contains("sasl.password_file") && refused.contains("password cannot be read"), "{refused}");
    std::fs::write(&file, "\n").unwrap();
    assert!(security.clone().open().unwrap_err().contains("empty"));
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    assert_eq!(security.open().unwrap().sasl.password.reveal(), PASSWORD);
    let mut security = scram();
    security.tls.ca_file = folder.path().join("ca.pem");
    let refused = security.open().unwrap_err();
    assert!(refused.contains("tls.ca_file") && refused.contains("ca.pem"), "{refused}");
}

#[test]
fn what_is_said_reaches_librdkafka_and_nothing_else_does() {
    let mut config = ClientConfig::new();
    scram().apply(&mut config);
    let said = |name: &str| config.get(name);
    assert_eq!(said("security.protocol"), Some("sasl_ssl"));
    assert_eq!((said("sasl.mechanism"), said("sasl.username")), (Some("SCRAM-SHA-512"), Some("frameline")));
    assert_eq!((said("sasl.password"), said("ssl.ca.location")), (Some(PASSWORD), Some("probe")));
    assert_eq!(said("ssl.endpoint.identification.algorithm"), Some("https"));
    let mut plain = ClientConfig::new();
    Security::default().apply(&mut plain);
    assert_eq!((plain.get("security.protocol"), plain.get("sasl.mechanism")), (Some("plaintext"), None));
}

#[test]
fn passwords_are_never_shown() {
    let mut security = scram();
    security.tls.key_password = Secret::new("battery staple");
    let shown = format!("{security:?} {}", security.who());
    assert!(shown.contains("frameline") && !shown.contains(PASSWORD) && !shown.contains("battery"), "{shown}");
}

//! A registry behind TLS and a login: what works, what is refused and how it is told, and that no password is shown.

use std::fs::{self, File};
use std::process::Stdio;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frameline_tests::secured::{PASSWORD, USER};
use frameline_tests::tls::Certificates;
use frameline_tests::tls_front::TlsFront;
use serde_json::Value;

use super::{config, registry};
use crate::process::{Ended, Product, until};

/// The registry that tests share, behind a front.
struct Secured {
    certificates: Certificates,
    front: TlsFront,
}

impl Secured {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Secured> = OnceLock::new();
        SHARED.get_or_init(|| {
            let certificates = Certificates::new().unwrap();
            let front = TlsFront::with_login(&certificates, registry().port(), USER, PASSWORD).unwrap();
            Self { certificates, front }
        })
    }

    /// What goes into `schemas.registry`, by either scheme and whichever name of this machine.
    fn url(&self, scheme: &str, host: &str) -> String {
        let url = registry().url();
        let path = url.rsplit_once(&format!(":{}", registry().port())).unwrap().1;
        format!("{scheme}://{host}:{}{path}", self.front.port())
    }

    fn trusting(&self, authority: &str) -> String {
        format!("ca_file = \"{}\"\n", self.certificates.file(authority).display())
    }
}

/// The keys of a login, with the password in a file.
fn login(product: &Product, password: &str) -> String {
    let file = product.file("password", format!("{password}\n"));
    format!("username = \"{USER}\"\npassword_file = \"{}\"\n", file.display())
}

fn check(product: &Product, url: &str, more: &str) -> Ended {
    let ended = product.run(["schemas", "check", "--config", &config(product, url, more)]);
    assert!(!ended.err.contains(PASSWORD) && !ended.out.contains(PASSWORD), "{ended:?}");
    ended
}

#[test]
fn records_get_their_ids_over_tls_and_a_login_and_no_password_is_shown() {
    let (secured, product) = (Secured::shared(), Product::new());
    let url = secured.url("https", "127.0.0.1");
    let config = config(&product, &url, &(secured.trusting("ca.pem") + &login(&product, PASSWORD)));
    let log = product.file("lines.json", "");
    let mut service = product
        .command(["up", "--log", "json", "--listen", "127.0.0.1:0", "--config", &config])
        .env("FRAMELINE_LOG", "trace")
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let note = product.file("note.md", "# Zeppelins\n\nHow an airship is moored.");
    let added = product.json(["add", "--wait", note.to_str().unwrap(), "--config", &config]);
    assert_eq!(added["counts"]["done"], 1, "{added}");
    service.kill().unwrap();
    service.wait().unwrap();
    let (checked, shown) =
        (product.run(["doctor", "--config", &config]), product.run(["config", "show", "--config", &config]));
    assert!(checked.out.contains(&format!("{url} has all of this version")), "{checked:?}");
    let encoded = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    for said in [fs::read_to_string(&log).unwrap(), checked.out, checked.err, shown.out, shown.err] {
        assert!(!said.contains(PASSWORD) && !said.contains(&encoded), "a password is shown");
    }
}

#[test]
fn what_cannot_work_is_told_with_the_key_to_look_at() {
    let (secured, product) = (Secured::shared(), Product::new());
    let url = secured.url("https", "127.0.0.1");
    let (trusting, mistrusting) = (secured.trusting("ca.pem"), secured.trusting("other-ca.pem"));
    let (right, wrong) = (login(&product, PASSWORD), format!("username = \"{USER}\"\npassword = \"wr0ng\"\n"));
    let plain = registry().url().replace("http://", "https://");
    for (url, more, word) in [
        (&url, trusting.clone() + &wrong, "check schemas.username and the password"),
        (&url, trusting.clone(), "check schemas.username and the password"),
        (&url, mistrusting + &right, "check schemas.ca_file"),
        (&url, right.clone(), "check schemas.ca_file"),
        (
            &secured.url("https", "localhost"),
            trusting.clone() + &right,
            "certificate is for the name in schemas.registry",
        ),
        (&secured.url("http", "127.0.0.1"), right.clone(), "schemas.registry, which begins with http://"),
        (&plain, trusting + &right, "schemas.registry, which begins with https://"),
        (&url, "ca_file = \"/no/such.pem\"\n".to_owned() + &right, "schemas.ca_file: /no/such.pem cannot be read"),
    ] {
        let ended = check(&product, url, &more);
        assert_eq!(ended.status, Some(1), "{word}: {ended:?}");
        assert!(ended.err.contains(word) && !ended.err.contains("wr0ng"), "`{word}` is missing in: {ended:?}");
    }
    let nothing = product.file("empty.pem", "");
    let ended = check(&product, &url, &format!("ca_file = \"{}\"\n{right}", nothing.display()));
    assert!(ended.err.contains("has no certificate in PEM"), "{ended:?}");
}

#[test]
fn a_service_that_is_not_let_in_waits_and_says_which_key_to_look_at() {
    let (secured, product) = (Secured::shared(), Product::new());
    let more = secured.trusting("ca.pem") + &format!("username = \"{USER}\"\npassword = \"wr0ng\"\n");
    let config = config(&product, &secured.url("https", "127.0.0.1"), &more);
    let log = product.file("lines.json", "");
    let mut service = product
        .command(["up", "--log", "json", "--listen", "127.0.0.1:0", "--config", &config])
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let line = until("it says so", || {
        let text = fs::read_to_string(&log).unwrap();
        let read = |line: &str| serde_json::from_str::<Value>(line).ok();
        text.lines().filter_map(read).find(|line| line["message"] == "stages wait until it answers")
    });
    assert!(line["error"].as_str().unwrap().contains("check schemas.username and the password"), "{line}");
    assert!(!line.to_string().contains("wr0ng"), "{line}");
    service.kill().unwrap();
    service.wait().unwrap();
}

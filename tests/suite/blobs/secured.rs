//! S3 over TLS, with a certificate by an authority that the system does not know.

use std::path::Path;
use std::sync::OnceLock;

use frameline_stores::blobs::{Blobs, BucketSettings};
use frameline_tests::s3::{S3, SECRET_ACCESS_KEY};
use frameline_tests::tls::Certificates;
use frameline_tests::tls_front::TlsFront;

use super::product::{blobs_finding, config, login};
use super::s3::troubles;
use crate::process::{Product, Running};

/// The shared server behind a front.
struct Secured {
    certificates: Certificates,
    front: TlsFront,
}

impl Secured {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Secured> = OnceLock::new();
        SHARED.get_or_init(|| {
            let certificates = Certificates::new().unwrap();
            let front = TlsFront::start(&certificates, S3::shared().port()).unwrap();
            Self { certificates, front }
        })
    }

    /// A prefix of the test's own, by whichever name of this machine.
    fn settings(&self, host: &str, authority: Option<&str>) -> BucketSettings {
        BucketSettings {
            endpoint: Some(format!("https://{host}:{}", self.front.port())),
            allow_http: false,
            ca_file: authority.map(|name| self.certificates.file(name)),
            retries: 0,
            ..S3::shared().settings()
        }
    }
}

/// Where the authority's certificate is given.
pub(super) struct Side {
    blobs: Blobs,
}

impl super::Side for Side {
    fn open() -> Self {
        Self { blobs: Blobs::bucket(&Secured::shared().settings("127.0.0.1", Some("ca.pem"))).unwrap() }
    }

    fn blobs(&self) -> &Blobs {
        &self.blobs
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_for_which_nobody_vouches_is_refused_with_the_key_to_look_at() {
    let at = |host: &str, authority: Option<&str>| Blobs::bucket(&Secured::shared().settings(host, authority)).unwrap();
    for blobs in [at("127.0.0.1", None), at("127.0.0.1", Some("other-ca.pem")), at("localhost", Some("ca.pem"))] {
        for text in troubles(&blobs).await {
            let words = ["nobody that is trusted vouches for it", "blobs.ca_file", "blobs.endpoint"];
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }
}

#[test]
fn the_product_trusts_an_authority_by_its_file_and_says_what_is_wrong_with_one() {
    let (secured, product) = (Secured::shared(), Product::new());
    let settings = secured.settings("127.0.0.1", None);
    let login = login(&product, SECRET_ACCESS_KEY);
    let with = |authority: &Path| {
        let more = format!("ca_file = \"{}\"\n{login}", authority.display());
        config(&product, &settings, &more)
    };
    let up = |config: &str| product.run(["up", "--listen", "127.0.0.1:0", "--config", config]);
    up(&config(&product, &settings, &login)).refuses(&["vouches for it", "blobs.ca_file"]);
    up(&with(Path::new("/no/such.pem"))).refuses(&["blobs.ca_file: /no/such.pem cannot be read"]);
    up(&with(&product.file("empty.pem", ""))).refuses(&["empty.pem has no certificate in PEM"]);

    let file = with(&secured.certificates.file("ca.pem"));
    let mut service = Running::start(product.command(["up", "--json", "--listen", "127.0.0.1:0", "--config", &file]));
    let finding = blobs_finding(&product.run(["doctor", "--json", "--config", &file]).out);
    assert_eq!(finding["severity"], "ok", "{finding}");
    assert_eq!(service.stop(), Some(0));
}

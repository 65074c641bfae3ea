//! Why a registry does not answer, where no patience helps: which key to look at. Plain values.

/// What to look at, by the reason that its client gave.
pub(crate) fn advice(url: &str, reason: &str) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    match url.starts_with("https://") {
        true if says(&["certificate verify failed"]) => Some(
            "nobody that is trusted vouches for it: check schemas.ca_file, and that its certificate is for the name in \
             schemas.registry",
        ),
        true if says(&["wrong version number", "packet length too long", "record overflow"]) => {
            Some("it does not speak TLS there: check schemas.registry, which begins with https://")
        }
        // Whoever is just starting may hang up, too.
        false if says(&["connection closed", "Connection reset", "invalid HTTP version"]) => {
            Some("it may want TLS there: check schemas.registry, which begins with http://")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_has_no_advice_and_the_rest_names_its_key() {
        let verify = "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed";
        assert!(advice("https://registry", verify).is_some_and(|advice| advice.contains("schemas.ca_file")));
        let version = "error:0A00010B:SSL routines:ssl3_get_record:wrong version number";
        assert!(
            advice("https://registry", version).is_some_and(|advice| advice.contains("which begins with https://"))
        );
        let closed = "connection closed before message completed";
        assert!(advice("http://registry", closed).is_some_and(|advice| advice.contains("which begins with http://")));
        assert_eq!(advice("https://registry", closed), None);
        assert_eq!(advice("http://registry", "Connection refused (os error 111)"), None);
    }
}

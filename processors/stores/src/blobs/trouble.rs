//! What goes wrong with a bucket, told so that whoever reads it knows what to change.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

/// How a provider's client begins to tell an answer that is no good one.
const ANSWERED: &str = "Server returned non-2xx status code: ";
/// How one that began well and ended otherwise.
const ANSWERED_LATE: &str = "Server returned error response: ";
/// Answers that ask for fewer requests; so does the status 429.
const TOO_MUCH: [&str; 5] = ["SlowDown", "SlowDownRead", "SlowDownWrite", "ServerBusy", "TooManyRequests"];
/// Answers that say that all of the bucket is missing, rather than one object.
const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];
/// Answers that say that one object is missing.
const NO_OBJECT: [&str; 2] = ["NoSuchKey", "BlobNotFound"];
/// Answers that say that the bucket is somewhere else.
const ELSEWHERE: [&str; 3] =
    ["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"];
/// Where a machine of a provider is told who it is.
const MACHINE: [&str; 3] = ["169.254.169.254", "169.254.170.2", "metadata.google.internal"];
/// What TLS says of a server for which nobody vouches, or who goes by another name.
const MISTRUSTED: &str = "certificate verify failed";
/// Characters of a provider's own words, at most.
const WORDS: usize = 300;

/// Whether an object is missing, and neither the bucket nor all that was thought to be there: whatever stands before a
/// server that is gone answers 404, too.
pub(super) fn is_plainly_missing(error: &object_store::Error) -> bool {
    let says_so = |told: Told| told.is_bare || NO_OBJECT.contains(&told.code.as_str());
    matches!(error, object_store::Error::NotFound { .. }) && says_so(Told::of(error))
}

/// What happened to a bucket.
pub(super) struct Trouble {
    /// With what to do. No secret is in it: requests are signed in their headers.
    pub(super) reason: String,
    pub(super) kind: Kind,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To wait until it is over.
    Passing,
    /// To ask less at the same time.
    Busy,
    /// Waiting alone brings nothing.
    Refusal,
}

/// What an error means.
pub(super) fn of(error: &object_store::Error) -> Trouble {
    let told = Told::of(error);
    let words = &told.words;
    let refusal = |reason: String| Trouble { reason, kind: Kind::Refusal };
    let passing = |reason: String| Trouble { reason, kind: Kind::Passing };
    if told.is_busy() {
        return Trouble { reason: format!("it asks for fewer requests ({words})"), kind: Kind::Busy };
    }
    if NO_BUCKET.contains(&told.code.as_str()) {
        return refusal(format!("there is no such bucket: make it, or see blobs.url ({words})"));
    }
    if told.is_about_machine {
        return refusal(format!(
            "nothing says who we are: set blobs.access_key_id and blobs.secret_access_key_file, or what the provider's \
             own tools read from the environment ({words})"
        ));
    }
    if told.is_mistrusted {
        return refusal(format!(
            "nobody that is trusted vouches for it: see blobs.ca_file, and whether its certificate is for the name in \
             blobs.endpoint ({words})"
        ));
    }
    if told.is_elsewhere() {
        return refusal(format!("it is in another region: see blobs.region ({words})"));
    }
    match (told.status, told.kind) {
        (Some(401 | 403), _) => refusal(format!(
            "it does not let us in: see blobs.access_key_id and blobs.secret_access_key_file, or the role that stands in \
             for them, and what they may do there, s3:ListBucket included ({words})"
        )),
        (Some(404), _) => passing(format!("what answers there is no bucket: see blobs.endpoint ({words})")),
        (_, Some(HttpErrorKind::Timeout)) => passing(format!(
            "it gives no answer in time: see blobs.endpoint, blobs.connect_timeout and blobs.timeout ({words})"
        )),
        (_, Some(HttpErrorKind::Connect)) => passing(format!("it cannot be reached: see blobs.endpoint ({words})")),
        _ => passing(words.clone()),
    }
}

/// What an error says, with all that it came from.
struct Told {
    /// How the request failed, where there was no answer.
    kind: Option<HttpErrorKind>,
    /// Of the answer.
    status: Option<u16>,
    /// The provider's name of the trouble.
    code: String,
    /// In short.
    words: String,
    /// Whether the answer has no body, as every one to HEAD.
    is_bare: bool,
    /// Whether the machine was asked who we are.
    is_about_machine: bool,
    /// Whether its certificate is not accepted.
    is_mistrusted: bool,
}

impl Told {
    fn of(error: &object_store::Error) -> Self {
        let (mut kind, mut innermost): (_, &dyn Error) = (None, error);
        let (mut is_about_machine, mut mistrust) = (false, None);
        while let Some(source) = innermost.source() {
            innermost = source;
            kind = innermost.downcast_ref::<HttpError>().map(HttpError::kind).or(kind);
            let text = innermost.to_string();
            is_about_machine |= MACHINE.iter().any(|machine| text.contains(machine));
            mistrust = mistrust.or_else(|| text.contains(MISTRUSTED).then_some(text));
        }
        let is_mistrusted = mistrust.is_some();
        // Why it is not accepted is told by the outer one of TLS's own errors alone.
        let text = mistrust.unwrap_or_else(|| innermost.to_string());
        let answer = text.strip_prefix(ANSWERED).or(text.strip_prefix(ANSWERED_LATE)).unwrap_or_default();
        let status = answer.get(..3).and_then(|status| status.parse().ok());
        let is_bare = answer.ends_with(": ");
        let code = element(answer, "Code").unwrap_or_default().to_owned();
        let words = match element(answer, "Message") {
            Some(message) => format!("{code}: {message}"),
            None if status.is_some() => answer.to_owned(),
            None => text,
        };
        let words = words.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(WORDS).collect();
        Self { kind, status, code, words, is_bare, is_about_machine, is_mistrusted }
    }

    fn is_busy(&self) -> bool {
        match self.status {
            Some(429) => true,
            // Where nothing more is said it is S3; what stands before a server that is gone says more.
            Some(503) if self.is_bare => true,
            _ => TOO_MUCH.contains(&self.code.as_str()),
        }
    }

    fn is_elsewhere(&self) -> bool {
        ELSEWHERE.contains(&self.code.as_str())
            || matches!(self.status, Some(300..=399))
            || self.words.starts_with("Received redirect without LOCATION")
    }
}

/// What stands in the first element of this name. Only for people: nothing is decided by what is inside but codes.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = text.split_once(&format!("<{name}>"))?;
    behind.split_once("</").map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Inner(String);

    #[derive(Debug, thiserror::Error)]
    #[error("performing GET {0}")]
    struct Outer(String, #[source] Inner);

    fn error(url: &str, inner: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: Box::new(Outer(url.to_owned(), Inner(inner.to_owned()))) }
    }

    #[test]
    fn each_trouble_names_the_key_to_look_at() {
        let xml = |status: &str, code: &str| {
            format!("{ANSWERED}{status}: <?xml?>\n<Error><Code>{code}</Code><Message>words</Message></Error>")
        };
        for (inner, words) in [
            (xml("404 Not Found", "NoSuchBucket"), ["blobs.url", "NoSuchBucket: words"]),
            (xml("404 Not Found", "ContainerNotFound"), ["blobs.url", "ContainerNotFound"]),
            (xml("403 Forbidden", "SignatureDoesNotMatch"), ["blobs.secret_access_key_file", "SignatureDoesNotMatch"]),
            (xml("403 Forbidden", "AccessDenied"), ["what they may do", "AccessDenied"]),
            (xml("400 Bad Request", "AuthorizationHeaderMalformed"), ["blobs.region", "words"]),
            (xml("301 Moved Permanently", "PermanentRedirect"), ["blobs.region", "words"]),
            (format!("{ANSWERED}503 Service Unavailable: <html>no server</html>"), ["503", "no server"]),
            (format!("{ANSWERED}404 Not Found: default backend - 404"), ["blobs.endpoint", "default backend"]),
        ] {
            let Trouble { reason, kind } = of(&error("http://127.0.0.1/b/k", &inner));
            assert!(words.iter().all(|word| reason.contains(word)) && !reason.contains("<Code>"), "{reason}");
            assert_eq!(kind == Kind::Refusal, inner.contains("<Code>"), "{reason}");
        }
    }

    #[test]
    fn whoever_asks_for_fewer_requests_is_busy() {
        for inner in [
            format!("{ANSWERED}503 Service Unavailable: <Error><Code>SlowDown</Code><Message>words</Message></Error>"),
            format!("{ANSWERED}503 Service Unavailable: <Error><Code>ServerBusy</Code></Error>"),
            format!("{ANSWERED}503 Service Unavailable: "),
            format!("{ANSWERED}429 Too Many Requests: "),
            format!("{ANSWERED_LATE}<Error><Code>SlowDown</Code><Message>words</Message></Error>"),
        ] {
            let Trouble { reason, kind } = of(&error("http://127.0.0.1/b/k", &inner));
            assert_eq!(kind, Kind::Busy, "{reason}");
        }
    }

    #[test]
    fn a_machine_that_has_no_role_is_told_as_a_missing_login() {
        let told = of(&error("http://169.254.169.254/latest/api/token", "timed out")).reason;
        assert!(told.contains("blobs.access_key_id") && told.contains("the environment"), "{told}");
    }

    #[test]
    fn a_server_for_which_nobody_vouches_is_told_with_the_reason() {
        let told = of(&error("https://127.0.0.1/b/k", "certificate verify failed (self-signed certificate)"));
        assert_eq!(told.kind, Kind::Refusal, "{}", told.reason);
        let words = ["blobs.ca_file", "blobs.endpoint", "(self-signed certificate)"];
        assert!(words.iter().all(|word| told.reason.contains(word)), "{}", told.reason);
    }

    #[test]
    fn an_object_is_missing_only_where_its_bucket_is_there() {
        let missing = |body: &str| {
            let source = Box::new(Inner(format!("{ANSWERED}404 Not Found: {body}")));
            is_plainly_missing(&object_store::Error::NotFound { path: "k".to_owned(), source })
        };
        let with_code = |code: &str| missing(&format!("<Error><Code>{code}</Code></Error>"));
        assert!(with_code("NoSuchKey") && with_code("BlobNotFound") && missing(""));
        assert!(!with_code("NoSuchBucket") && !with_code("ContainerNotFound") && !missing("default backend - 404"));
    }
}

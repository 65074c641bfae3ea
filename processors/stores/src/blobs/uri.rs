//! A blob's uri: `blob:AREA/ab/abcdef….png`.

use std::fmt;

use super::BlobsError;

const SCHEME: &str = "blob:";
/// Two letters of the hash make a folder, so that no folder holds more than a 256th of its area.
const SHARD_LETTERS: usize = 2;

/// A uri whose parts are known to be plain names: it cannot lead out of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uri {
    area: String,
    name: String,
}

impl Uri {
    /// The uri of what has this hash. An empty extension stands for none.
    pub(super) fn new(area: &str, hash: &str, extension: &str) -> Result<Self, BlobsError> {
        let name = if extension.is_empty() { hash.to_owned() } else { format!("{hash}.{extension}") };
        let uri = Self { area: area.to_owned(), name };
        uri.check().map_err(|reason| BlobsError::Invalid { uri: uri.to_string(), reason })?;
        Ok(uri)
    }

    /// Reads what [`fmt::Display`] writes.
    pub(super) fn parse(text: &str) -> Result<Self, BlobsError> {
        let invalid = |reason: String| BlobsError::Invalid { uri: text.to_owned(), reason };
        let path = text.strip_prefix(SCHEME).ok_or_else(|| invalid(format!("it does not begin with {SCHEME}")))?;
        let &[area, shard, name] = path.split('/').collect::<Vec<_>>().as_slice() else {
            return Err(invalid("it has not the shape blob:AREA/ab/abcdef".to_owned()));
        };
        let uri = Self { area: area.to_owned(), name: name.to_owned() };
        uri.check().map_err(invalid)?;
        if shard != uri.shard() {
            return Err(invalid(format!("{shard} is not how {name} begins")));
        }
        Ok(uri)
    }

    /// Where it lies below the store's root.
    pub(super) fn path(&self) -> String {
        format!("{}/{}/{}", self.area, self.shard(), self.name)
    }

    fn shard(&self) -> &str {
        self.name.get(..SHARD_LETTERS).unwrap_or_default()
    }

    fn check(&self) -> Result<(), String> {
        for (what, word) in [("area", &self.area), ("name", &self.name)] {
            let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
            if word.starts_with('.') || word.contains("..") || !word.bytes().all(is_plain) {
                return Err(format!("the {what} `{word}` has more than letters, digits and single . _ -"));
            }
            if word.len() <= SHARD_LETTERS || word.len() > 200 {
                return Err(format!("the {what} `{word}` has {} letters, and must have 3 to 200", word.len()));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}", self.path())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uri_spreads_its_area_over_folders() {
        let uri = Uri::new("thumbnails", "abcdef", "webp").unwrap();
        assert_eq!(uri.to_string(), "blob:thumbnails/ab/abcdef.webp");
        assert_eq!(uri.path(), "thumbnails/ab/abcdef.webp");
        assert_eq!(Uri::new("files", "abcdef", "").unwrap().to_string(), "blob:files/ab/abcdef");
    }

    #[test]
    fn a_uri_that_climbs_out_or_is_none_is_refused() {
        for text in [
            "blob:../ab/abcdef",
            "blob:files/ab/..",
            "blob:files/../../etc/passwd",
            "blob:files/ab/abc/../../../x",
            "blob:files/..%2f/..%2fabc",
            "blob:/etc/passwd",
            "blob:files/xx/abcdef",
            "blob:files/ab/abcdef#1",
            "blob:files/ab/ab\0def",
            "blob:.files/ab/abcdef",
            "file:///etc/passwd",
            "",
        ] {
            assert!(matches!(Uri::parse(text), Err(BlobsError::Invalid { .. })), "{text:?}");
        }
        assert!(Uri::new("files", "../../x", "").is_err());
        assert!(Uri::new("files", "ab", "").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_uri_of_plain_names_or_refused(text in "(blob:)?[a-c./#%\\PC]{0,24}") {
            if let Ok(uri) = Uri::parse(&text) {
                prop_assert_eq!(uri.to_string(), text);
                prop_assert!(!uri.path().contains(".."));
                prop_assert_eq!(uri.path().matches('/').count(), 2);
            }
        }
    }
}

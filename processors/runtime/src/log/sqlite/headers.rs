//! Headers as one blob: for each, the length of the name, the name, the length of the value, the value.
//!
//! Lengths are four bytes, little-endian. No headers are no bytes.

use bytes::{Buf, Bytes};
use thiserror::Error;

use crate::record::Headers;

/// Why a blob is no headers.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum HeadersError {
    /// A length reaches behind the end.
    #[error("headers end {missing} bytes too early")]
    Truncated {
        /// How many bytes are not there.
        missing: usize,
    },
    /// A name is not UTF-8.
    #[error("a header's name is not UTF-8")]
    Name,
}

/// The blob of these headers.
pub(super) fn encode(headers: &Headers) -> Vec<u8> {
    let mut blob = Vec::with_capacity(headers.size_bytes() + headers.len() * 2 * size_of::<u32>());
    for (name, value) in headers.iter() {
        put(&mut blob, name.as_bytes());
        put(&mut blob, value);
    }
    blob
}

fn put(blob: &mut Vec<u8>, bytes: &[u8]) {
    // A topic's largest message keeps every part far below four gigabytes.
    blob.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    blob.extend_from_slice(bytes);
}

/// The headers of a blob; their values share its memory.
pub(super) fn decode(blob: Vec<u8>) -> Result<Headers, HeadersError> {
    let mut rest = Bytes::from(blob);
    let mut headers = Headers::new();
    while !rest.is_empty() {
        let name = take(&mut rest)?;
        let name = std::str::from_utf8(&name).map_err(|_| HeadersError::Name)?.to_owned();
        headers.push(name, take(&mut rest)?);
    }
    Ok(headers)
}

fn take(rest: &mut Bytes) -> Result<Bytes, HeadersError> {
    let length = rest
        .try_get_u32_le()
        .map_err(|short| HeadersError::Truncated { missing: short.requested - short.available })?;
    let length = length as usize;
    if length > rest.len() {
        return Err(HeadersError::Truncated { missing: length - rest.len() });
    }
    Ok(rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(pairs in vec((".*", vec(any::<u8>(), 0..40)), 0..6)) {
            let mut headers = Headers::new();
            for (name, value) in pairs {
                headers.push(name, value);
            }
            prop_assert_eq!(decode(encode(&headers)), Ok(headers));
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(blob in vec(any::<u8>(), 0..64)) {
            if let Ok(headers) = decode(blob.clone()) {
                prop_assert_eq!(encode(&headers), blob);
            }
        }

        #[test]
        fn a_blob_that_was_cut_is_an_error(name in "[a-z]{1,9}", value in vec(any::<u8>(), 1..40), cut in 1_usize..10) {
            let mut headers = Headers::new();
            headers.push(name, value);
            let mut blob = encode(&headers);
            blob.truncate(blob.len() - cut.min(blob.len() - 1));
            prop_assert!(decode(blob).is_err());
        }
    }
}

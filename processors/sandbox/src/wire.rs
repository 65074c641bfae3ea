//! The messages between pool and worker: two lengths, a header in JSON, a body of raw bytes.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes in front of each message: the header's and the body's length, each a `u64` in little-endian.
pub(crate) const PREFIX_BYTES: usize = 16;

/// The two lengths as they are written.
pub(crate) fn prefix(header: &[u8], body: &[u8]) -> [u8; PREFIX_BYTES] {
    let length = |bytes: &[u8]| bytes.len() as u128;
    (length(header) | length(body) << 64).to_le_bytes()
}

/// The header's and the body's length, where both together are not longer than `limit_bytes`.
pub(crate) fn lengths(prefix: [u8; PREFIX_BYTES], limit_bytes: u64) -> io::Result<(usize, usize)> {
    let both = u128::from_le_bytes(prefix);
    let (header, body) = (both as u64, (both >> 64) as u64);
    match header.checked_add(body) {
        Some(sum) if sum <= limit_bytes => Ok((header as usize, body as usize)),
        _ => Err(invalid(format!("it is longer than {} MiB", limit_bytes >> 20))),
    }
}

/// Reads a message; `None` where the other side has closed the pipe between messages.
pub(crate) fn read<T: DeserializeOwned>(pipe: &mut impl Read) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut prefix = [0; PREFIX_BYTES];
    match pipe.read_exact(&mut prefix) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let (header_length, body_length) = lengths(prefix, u64::MAX)?;
    let mut header = vec![0; header_length];
    pipe.read_exact(&mut header)?;
    let mut body = vec![0; body_length];
    pipe.read_exact(&mut body)?;
    Ok(Some((parse(&header)?, body)))
}

/// Writes a message.
pub(crate) fn write(pipe: &mut impl Write, header: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    pipe.write_all(&prefix(&header, body))?;
    pipe.write_all(&header)?;
    pipe.write_all(body)?;
    pipe.flush()
}

/// Reads a header.
pub(crate) fn parse<T: DeserializeOwned>(header: &[u8]) -> io::Result<T> {
    serde_json::from_slice(header).map_err(|error| invalid(error.to_string()))
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let mut pipe = Vec::new();
        write(&mut pipe, &"question", b"body").unwrap();
        write(&mut pipe, &"second", b"").unwrap();
        let mut pipe = pipe.as_slice();
        assert_eq!(read::<String>(&mut pipe).unwrap(), Some(("question".to_owned(), b"body".to_vec())));
        assert_eq!(read::<String>(&mut pipe).unwrap(), Some(("second".to_owned(), Vec::new())));
        assert_eq!(read::<String>(&mut pipe).unwrap(), None);
    }

    #[test]
    fn lengths_that_overflow_or_exceed_the_limit_are_refused() {
        assert_eq!(lengths(prefix(b"ab", b"c"), 3).unwrap(), (2, 1));
        assert!(lengths(prefix(b"ab", b"cd"), 3).is_err());
        assert!(lengths([0xff; PREFIX_BYTES], u64::MAX).is_err());
    }
}

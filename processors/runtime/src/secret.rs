//! What a client logs in with: taken from the configuration, the environment or a file, and never shown.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

/// Stands for a secret wherever it would be shown.
pub const HIDDEN: &str = "***";

/// A text that neither `Debug` nor serialization shows. Empty where there is none.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What the file holds, without the line break at its end.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The text, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { HIDDEN }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!((format!("{secret:?}").as_str(), secret.reveal()), (HIDDEN, "hunter2"));
        assert_eq!(format!("{:?}", Secret::default()), "");
    }

    #[test]
    fn the_line_break_at_the_end_of_a_file_is_not_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (content, text) in [("hunter2\n", "hunter2"), ("hunter2\r\n", "hunter2"), (" two words ", " two words ")] {
            fs::write(&file, content).unwrap();
            assert_eq!(Secret::of_file(&file).unwrap().reveal(), text);
        }
        assert!(Secret::of_file(&folder.path().join("none")).is_err());
    }
}

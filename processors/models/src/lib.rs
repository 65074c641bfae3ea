//! The models that the product ships, bundled into the binary so that one file is the whole product.
//!
//! `files/manifest.json` says of each where it comes from and what its bytes must sum to. A file is checked
//! once, when it is first asked for; bytes that sum to something else are refused.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::sync::{LazyLock, OnceLock};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokenizers::Tokenizer;

/// Texts to vectors of 384 values.
pub const TEXT_MODEL: &str = "all-MiniLM-L6-v2";
/// Texts to the tokens that [`TEXT_MODEL`] takes.
pub const TEXT_TOKENIZER: &str = "all-MiniLM-L6-v2-tokenizer";
/// Pictures to vectors of 1,280 values.
pub const IMAGE_MODEL: &str = "efficientnet-lite0";

/// What the manifest says of one file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is asked for by.
    pub name: String,
    /// The file beside the manifest.
    pub file: String,
    /// Its licence, by SPDX.
    pub licence: String,
    /// The package that it was taken from.
    pub source: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// How many values its vectors have; none where it makes no vectors.
    pub dimensions: Option<usize>,
    /// The shape and meaning of what goes in.
    pub input: String,
}

/// Why a bundled file is not handed out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelsError {
    /// The manifest does not name it, or the binary does not carry its file.
    #[error("no model {0} is bundled")]
    Unknown(String),
    /// The manifest is not what it should be.
    #[error("the models' manifest.json cannot be read: {0}")]
    Manifest(String),
    /// The bytes are not the ones that the manifest means.
    #[error("the sha256 of {file} is {found}, the manifest says {expected}: the file is damaged or was exchanged")]
    Checksum {
        /// The file.
        file: String,
        /// What the manifest says.
        expected: String,
        /// What the bytes sum to.
        found: String,
    },
    /// The tokenizer's file is no tokenizer.
    #[error("the tokenizer cannot be read: {0}")]
    Tokenizer(String),
}

struct Bundled {
    file: &'static str,
    bytes: &'static [u8],
    verdict: OnceLock<Result<(), ModelsError>>,
}

macro_rules! bundled {
    ($($file:literal),* $(,)?) => {
        [$(Bundled {
            file: $file,
            bytes: include_bytes!(concat!("../files/", $file)),
            verdict: OnceLock::new(),
        }),*]
    };
}

static BUNDLED: [Bundled; 3] =
    bundled!["all-MiniLM-L6-v2.int8.onnx", "all-MiniLM-L6-v2.tokenizer.json", "efficientnet-lite0.onnx"];

static MANIFEST: LazyLock<Result<Vec<Entry>, ModelsError>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../files/manifest.json"))
        .map_err(|error| ModelsError::Manifest(error.to_string()))
});

/// Everything that is bundled.
pub fn manifest() -> Result<&'static [Entry], ModelsError> {
    MANIFEST.as_deref().map_err(Clone::clone)
}

/// What the manifest says of `name`.
pub fn entry(name: &str) -> Result<&'static Entry, ModelsError> {
    manifest()?.iter().find(|entry| entry.name == name).ok_or_else(|| ModelsError::Unknown(name.to_owned()))
}

/// The bytes of `name`, checked against the manifest.
pub fn load(name: &str) -> Result<&'static [u8], ModelsError> {
    let entry = entry(name)?;
    let bundled = BUNDLED.iter().find(|bundled| bundled.file == entry.file);
    let bundled = bundled.ok_or_else(|| ModelsError::Unknown(name.to_owned()))?;
    bundled.verdict.get_or_init(|| verify(entry, bundled.bytes)).clone()?;
    Ok(bundled.bytes)
}

/// The tokenizer of [`TEXT_MODEL`], which neither truncates nor pads: it counts the tokens that there are, and
/// whoever runs the model cuts to the length of its plan.
pub fn tokenizer() -> Result<Tokenizer, ModelsError> {
    let fail = |error: tokenizers::Error| ModelsError::Tokenizer(error.to_string());
    let mut tokenizer = Tokenizer::from_bytes(load(TEXT_TOKENIZER)?).map_err(fail)?;
    tokenizer.with_truncation(None).map_err(fail)?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

fn verify(entry: &Entry, bytes: &[u8]) -> Result<(), ModelsError> {
    let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found == entry.sha256 {
        return Ok(());
    }
    Err(ModelsError::Checksum { file: entry.file.clone(), expected: entry.sha256.clone(), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_manifest_is_bundled_with_the_bytes_it_names() {
        let entries = manifest().unwrap();
        assert_eq!(entries.len(), BUNDLED.len());
        for entry in entries {
            assert!(!load(&entry.name).unwrap().is_empty(), "{}", entry.name);
        }
        assert_eq!(entry(TEXT_MODEL).unwrap().dimensions, Some(384));
        assert_eq!(entry(IMAGE_MODEL).unwrap().dimensions, Some(1_280));
    }

    #[test]
    fn changed_bytes_are_refused_with_both_sums() {
        let entry = entry(TEXT_TOKENIZER).unwrap();
        let mut bytes = load(TEXT_TOKENIZER).unwrap().to_vec();
        bytes[1_000] ^= 1;
        let error = verify(entry, &bytes).unwrap_err();
        let ModelsError::Checksum { expected, found, .. } = &error else { panic!("{error}") };
        assert_ne!(expected, found);
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains(found) && text.contains(&entry.file), "{text}");
    }

    #[test]
    fn a_name_that_is_not_bundled_is_refused() {
        assert_eq!(load("clip"), Err(ModelsError::Unknown("clip".to_owned())));
    }

    #[test]
    fn the_tokenizer_counts_all_tokens_of_a_long_text() {
        let tokenizer = tokenizer().unwrap();
        assert_eq!(tokenizer.encode("sign in", true).unwrap().len(), 4);
        assert_eq!(tokenizer.encode("word ".repeat(500), false).unwrap().len(), 500);
    }
}

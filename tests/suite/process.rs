//! The product as its users have it: the binary, started on a data directory of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use frameline_tests::product::command;
pub(crate) use frameline_tests::product::{Running, until};
use serde_json::Value;
use tempfile::TempDir;

/// The head of a PNG, and nothing behind it: opening it fails for good.
pub(crate) const BROKEN_PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0";

/// The binary and a data directory.
pub(crate) struct Product {
    folder: TempDir,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: Option<i32>,
    /// What it printed.
    pub(crate) out: String,
    /// What it said on standard error.
    pub(crate) err: String,
}

impl Product {
    /// A fresh data directory.
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A place for files of the test's own.
    pub(crate) fn file(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join("files").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The binary with these arguments, and nothing of the configuration around the test.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = command(arguments);
        command.env("FRAMELINE_DATA", self.data());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// Runs a command with `--json` to its end, which has to be good, and reads what it printed.
    pub(crate) fn json<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Value {
        let ended = Ended::of(self.command(arguments).arg("--json").output().unwrap());
        assert_eq!(ended.status, Some(0), "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    /// Starts all stages, and waits until they are ready.
    pub(crate) fn up(&self) -> Running {
        Running::start(self.command(["up", "--json", "--listen", "127.0.0.1:0"]))
    }

    /// What is found for these words: file names and scores, best first.
    pub(crate) fn found(&self, words: &str) -> Vec<String> {
        let hits = self.json(["search", words]);
        let file = |hit: &Value| hit["file"].as_str().unwrap().to_owned();
        hits["hits"].as_array().unwrap().iter().map(file).collect()
    }
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// It failed, and its words have all of these in them.
    #[track_caller]
    pub(crate) fn refuses(&self, words: &[&str]) {
        assert_eq!(self.status, Some(1), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing in: {}", self.err);
        }
        assert!(self.err.contains("help: "), "no word of what to do next: {}", self.err);
        assert!(!self.err.contains("panicked") && !self.err.contains("stack backtrace"), "{}", self.err);
    }
}

/// The samples that the repository ships.
pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

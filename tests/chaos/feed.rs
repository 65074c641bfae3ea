//! Whoever brings files in: goes on until each input is taken, whatever fails meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use frameline_runtime::log::Log;
use frameline_runtime::{Headers, Output};
use tokio::runtime::Runtime;

use crate::fleet::Launch;
use crate::input::Input;

/// How long one input may take, with everything that goes wrong.
const PATIENCE: Duration = Duration::from_secs(180);
const WAIT: Duration = Duration::from_millis(300);

/// In front of the keys of records that are none.
pub(crate) const POISON: &str = "poison-";

/// Brings inputs in.
#[derive(Clone)]
pub(crate) struct Feeder {
    pub(crate) launch: Arc<Launch>,
    /// Where the files are; their ids follow from it, so every run has the same.
    pub(crate) files: PathBuf,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) runtime: Arc<Runtime>,
    /// Held while something is brought in.
    pub(crate) feeding: Arc<Mutex<()>>,
}

impl Feeder {
    /// Brings them in, one after the other.
    pub(crate) fn feed(&self, inputs: &[Input]) -> Result<()> {
        inputs.iter().try_for_each(|input| self.bring(input))
    }

    fn bring(&self, input: &Input) -> Result<()> {
        match input {
            Input::Add(contents) => {
                let mut paths = Vec::new();
                for content in contents {
                    let path = self.files.join(content.file.path());
                    fs::write(&path, content.bytes()?)?;
                    paths.push(path);
                }
                self.patiently("add", || self.command("add", &paths))
            }
            Input::Delete(file) => self.patiently("delete", || self.command("delete", &[self.files.join(file.path())])),
            Input::Poison { topic, number } => {
                let output = Output {
                    topic: Arc::from(*topic),
                    key: Some(format!("{POISON}{number}").into()),
                    value: Some(vec![0xff; 40].into()),
                    headers: Headers::new(),
                };
                self.patiently("poison", || Ok(self.runtime.block_on(self.log.append(vec![output.clone()]))?))
            }
        }
    }

    fn command(&self, command: &str, paths: &[PathBuf]) -> Result<()> {
        let paths: Vec<&str> = paths.iter().map(PathBuf::as_path).filter_map(Path::to_str).collect();
        let output = self.launch.command(&[command]).args(&paths).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command} {}: {}", paths.join(" "), said.trim());
        Ok(())
    }

    fn patiently(&self, what: &str, mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        loop {
            let attempted = {
                let _one = self.feeding.lock().unwrap_or_else(PoisonError::into_inner);
                attempt()
            };
            match attempted {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > PATIENCE => {
                    bail!("{what} was not taken in {PATIENCE:?}; last: {error:#}")
                }
                Err(_) => thread::sleep(WAIT),
            }
        }
    }
}

//! Progress on standard error: a bar that is drawn over itself on a terminal, a plain line now and then elsewhere.

use std::time::{Duration, Instant};

use frameline_runtime::driver::Status;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::{self, Output};

/// Plain lines come no closer than this.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// How far something has come.
pub(crate) struct Progress {
    shown: Shown,
    total: Option<usize>,
}

enum Shown {
    Bar(ProgressBar),
    Lines { told: String, at: Instant },
    Nothing,
}

impl Progress {
    /// Begins; nothing is shown to programs. Without a total it only counts.
    pub(crate) fn start(output: Output, total: Option<usize>) -> Self {
        let shown = if output.json {
            Shown::Nothing
        } else if output.draws() {
            let template = match total {
                Some(_) => "{bar:30} {pos} of {len}  {elapsed}  {wide_msg}",
                None => "{spinner} {pos}  {wide_msg}",
            };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar =
                total.map_or_else(ProgressBar::no_length, |total| ProgressBar::new(total as u64)).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(250));
            Shown::Bar(bar)
        } else {
            Shown::Lines { told: String::new(), at: Instant::now() }
        };
        Self { shown, total }
    }

    /// Shows that `done` parts are done, and `text` beside it.
    pub(crate) fn set(&mut self, done: usize, text: &str) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(done as u64);
                bar.set_message(output::one_line(text));
            }
            Shown::Lines { told, at } => {
                let text = output::one_line(text);
                let line = match self.total {
                    Some(total) => format!("{done} of {total}  {text}"),
                    None => format!("{done}  {text}"),
                };
                if at.elapsed() >= BETWEEN_LINES && line != *told {
                    output::note(&line);
                    *told = line;
                    *at = Instant::now();
                }
            }
            Shown::Nothing => {}
        }
    }
}

/// What each stage has done, while it works: a line a stage.
pub(crate) struct StageLines {
    shown: Vec<(String, Option<ProgressBar>)>,
    at: Option<Instant>,
    is_shown: bool,
    _bars: MultiProgress,
}

impl StageLines {
    /// Begins, with as many stages.
    pub(crate) fn start(output: Output, stages: usize) -> Self {
        let bars = MultiProgress::new();
        let bar = || {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bars.add(bar)
        };
        let shown = (0..stages).map(|_| (String::new(), output.draws().then(bar))).collect();
        Self { shown, at: None, is_shown: !output.json, _bars: bars }
    }

    /// Shows what has changed; a plain line not too often.
    pub(crate) fn set(&mut self, stages: &[Status]) {
        if self.at.is_none_or(|at| at.elapsed() >= BETWEEN_LINES) || self.shown.iter().any(|(_, bar)| bar.is_some()) {
            self.show(stages);
        }
    }

    /// Shows how it ended.
    pub(crate) fn finish(mut self, stages: &[Status]) {
        self.show(stages);
        for (line, bar) in &self.shown {
            if let Some(bar) = bar {
                bar.finish_with_message(line.clone());
            }
        }
    }

    fn show(&mut self, stages: &[Status]) {
        if !self.is_shown {
            return;
        }
        self.at = Some(Instant::now());
        for ((told, bar), status) in self.shown.iter_mut().zip(stages) {
            let now = status.snapshot();
            if now.done + now.skipped + now.failed == 0 {
                continue;
            }
            let line = format!("{:9} {:5} done {:4} skipped {:4} failed", now.stage, now.done, now.skipped, now.failed);
            match bar {
                Some(bar) => {
                    bar.set_message(line.clone());
                    bar.tick();
                }
                None if line != *told => output::note(&line),
                None => {}
            }
            *told = line;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

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

/// Plain lines of many files come at these shares of them.
const STEP_PERCENT: usize = 25;

/// What each stage has done, while it works: on a terminal a line a stage that is drawn over itself; elsewhere a line
/// for each step of the whole, and one a stage at the end.
pub(crate) struct StageLines {
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    told_percent: usize,
    is_shown: bool,
}

impl StageLines {
    /// Begins, with as many stages.
    pub(crate) fn start(output: Output, stages: usize) -> Self {
        let drawn = || {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let all = MultiProgress::new();
            let bars = (0..stages).map(|_| all.add(ProgressBar::new_spinner().with_style(style.clone()))).collect();
            (all, bars)
        };
        Self { bars: output.draws().then(drawn), told_percent: 0, is_shown: !output.json }
    }

    /// Shows how far the stages are, and that `done` of `total` files are through.
    pub(crate) fn set(&mut self, stages: &[Status], done: usize, total: usize) {
        if let Some((_, bars)) = &self.bars {
            for (bar, line) in bars.iter().zip(stages.iter().map(line)) {
                bar.set_message(line.unwrap_or_default());
                bar.tick();
            }
        } else if self.is_shown
            && let Some(percent) = step(self.told_percent, done, total)
        {
            self.told_percent = percent;
            output::note(format!("{percent:3} %  {done} of {total} files"));
        }
    }

    /// Shows how it ended.
    pub(crate) fn finish(self, stages: &[Status]) {
        let lines = stages.iter().map(line);
        match &self.bars {
            Some((_, bars)) => {
                bars.iter().zip(lines).for_each(|(bar, line)| bar.finish_with_message(line.unwrap_or_default()))
            }
            None if self.is_shown => lines.flatten().for_each(output::note),
            None => {}
        }
    }
}

/// The next step to tell of, where `done` of `total` has come to one beyond `told`; the whole is told otherwise.
fn step(told: usize, done: usize, total: usize) -> Option<usize> {
    let percent = (done * 100).checked_div(total)? / STEP_PERCENT * STEP_PERCENT;
    (percent > told && percent < 100).then_some(percent)
}

/// What a stage has done; none of one that has not begun.
fn line(status: &Status) -> Option<String> {
    let now = status.snapshot();
    let has_begun = now.done + now.skipped + now.failed > 0;
    let text = || format!("{:9} {:5} done {:4} skipped {:4} failed", now.stage, now.done, now.skipped, now.failed);
    has_begun.then(text)
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_told_once_and_the_whole_is_left_to_the_end() {
        let mut told = 0;
        let mut steps = Vec::new();
        for done in 0..=27 {
            if let Some(percent) = step(told, done, 27) {
                told = percent;
                steps.push((done, percent));
            }
        }
        assert_eq!(steps, [(7, 25), (14, 50), (21, 75)]);
        assert_eq!(step(0, 0, 0), None);
    }
}

//! `frameline dlq redrive STAGE`.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use frameline_runtime::dead_letter::letter::{Letter, PutBack};
use frameline_runtime::dead_letter::redrive::{Filter, Rules, Verdict};
use frameline_runtime::moment::now_ms;
use serde::Serialize;

use super::super::Context;
use super::super::feed::{Feed, until_interrupted};
use super::super::replay::per_second;
use super::super::source::{LISTED, NAMED};
use super::{DeadLetters, filter};
use crate::audit::audited;
use crate::cli::DlqRedrive;
use crate::output::{Table, count};

#[derive(Debug, Serialize)]
struct Report {
    stage: &'static str,
    letters: u64,
    redrive: u64,
    left_out: BTreeMap<&'static str, u64>,
    named: Vec<LeftOut>,
    rate: u32,
    put_back: u64,
    executed: bool,
}

/// A letter that is not put back.
#[derive(Debug, Serialize)]
struct LeftOut {
    at: String,
    why: &'static str,
    reason: String,
    file: Option<String>,
}

pub(super) async fn run(context: Context, command: DlqRedrive) -> Result<()> {
    let filter = filter(&context, &command.letters).await?;
    let letters = DeadLetters::open(&context, command.stage).await?;
    let rules =
        Rules { reads: command.stage.reads(), redriven: &letters.redriven, most_redrives: command.most_redrives };
    let mut report = Report::new(&command);
    let planned = letters.each(async |letter, newest| {
        if filter.fits(&letter) {
            report.add(&letter, rules.judge(&letter, newest));
        }
        Ok(())
    });
    planned.await?;
    report.redrive = report.redrive.min(command.limit.unwrap_or(u64::MAX));
    if command.pace.execute && report.redrive > 0 {
        let again = "asked again, it goes on where it stopped";
        let work = until_interrupted(again, put_back(&context, &command, &filter, &letters, &rules, report.redrive));
        report.put_back = audited(letters.source.log.as_ref(), &report, work).await?;
        report.executed = true;
    }
    context.output.print(&report)
}

/// Puts `most` of the letters back.
async fn put_back(
    context: &Context,
    command: &DlqRedrive,
    filter: &Filter,
    letters: &DeadLetters,
    rules: &Rules<'_>,
    most: u64,
) -> Result<u64> {
    let stage = command.stage.as_str();
    let mut feed = Feed::new(letters.source.log.as_ref(), command.pace.rate, most, context.output);
    let mut left = most;
    letters
        .each(async |letter, newest| {
            if left > 0 && filter.fits(&letter) && rules.judge(&letter, newest) == Verdict::Redrive {
                left -= 1;
                let PutBack { back, mark, mut progress } = letter.put_back(stage, now_ms())?;
                letters.source.wire.open().await?;
                letters.source.wire.address(progress.as_mut_slice())?;
                feed.push([back, mark].into_iter().chain(progress)).await?;
            }
            Ok(())
        })
        .await?;
    feed.finish().await
}

/// The verdict's name, for counting.
fn why(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Redrive => "redrive",
        Verdict::Redriven => "redriven",
        Verdict::Superseded { .. } => "superseded",
        Verdict::Exhausted { .. } => "exhausted",
        Verdict::Unread { .. } => "unread",
    }
}

impl Report {
    fn new(command: &DlqRedrive) -> Self {
        Self {
            stage: command.stage.as_str(),
            letters: 0,
            redrive: 0,
            left_out: BTreeMap::new(),
            named: Vec::new(),
            rate: command.pace.rate,
            put_back: 0,
            executed: false,
        }
    }

    fn add(&mut self, letter: &Letter, verdict: Verdict) {
        self.letters += 1;
        if verdict == Verdict::Redrive {
            self.redrive += 1;
            return;
        }
        *self.left_out.entry(why(&verdict)).or_default() += 1;
        // What went back before needs no more attention.
        if verdict != Verdict::Redriven && self.named.len() < NAMED {
            let file = letter.subject.as_ref().map(|subject| subject.head.file_name.clone());
            let (at, reason) = (letter.place.to_string(), verdict.to_string());
            self.named.push(LeftOut { at, why: why(&verdict), reason, file });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.named.is_empty() {
            let mut table = Table::new(["left out", "why", "file"]);
            for LeftOut { at, reason, file, .. } in self.named.iter().take(LISTED) {
                table.row([at.clone(), reason.clone(), file.clone().unwrap_or_default()]);
            }
            writeln!(formatter, "{table}")?;
            let more = self.named.len().saturating_sub(LISTED);
            if more > 0 {
                writeln!(formatter, "and {more} more; --json names them")?;
            }
            writeln!(formatter)?;
        }
        if let Some(redriven) = self.left_out.get("redriven") {
            writeln!(formatter, "left out: {redriven} that were redriven before")?;
        }
        let letters = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX), "dead letter");
        let stage = self.stage;
        match (self.executed, self.redrive) {
            (_, 0) => write!(formatter, "nothing of {stage} is to be put back"),
            (true, _) => write!(formatter, "{} put back for {stage}", letters(self.put_back)),
            (false, _) => write!(
                formatter,
                "{} would be put back for {stage}, {}; --execute does it",
                letters(self.redrive),
                per_second(self.rate)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_redrive_is_kept() {
        let left_out = LeftOut {
            at: "0:12".to_owned(),
            why: "superseded",
            reason: Verdict::Superseded { by: 2 }.to_string(),
            file: Some("/d/a.svg".to_owned()),
        };
        let report = Report {
            stage: "render",
            letters: 4,
            redrive: 2,
            left_out: BTreeMap::from([("redriven", 1), ("superseded", 1)]),
            named: vec![left_out],
            rate: 200,
            put_back: 0,
            executed: false,
        };
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("dlq redrive"));
        let text = report.to_string();
        assert!(text.contains("0:12      revision 2 of its file has taken its place  /d/a.svg"), "{text}");
        assert!(text.ends_with("2 dead letters would be put back for render, at most 200 a second; --execute does it"));
    }
}

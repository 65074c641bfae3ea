//! `frameline dlq list STAGE`.

use std::fmt;

use anyhow::Result;
use frameline_runtime::dead_letter::redrive::Groups;
use serde::Serialize;

use super::super::Context;
use super::{DeadLetters, filter};
use crate::cli::DlqList;
use crate::output::{Table, count};
use crate::times;

#[derive(Debug, Serialize)]
struct Report {
    stage: &'static str,
    letters: u64,
    redriven: u64,
    groups: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    class: &'static str,
    code: String,
    error: String,
    letters: u64,
    most_redrives: u32,
    first_at_ms: i64,
    last_at_ms: i64,
    last: String,
    example: String,
}

pub(super) async fn run(context: Context, command: DlqList) -> Result<()> {
    let filter = filter(&context, &command.letters).await?;
    let letters = DeadLetters::open(&context, command.stage).await?;
    let (mut groups, mut redriven) = (Groups::default(), 0);
    letters
        .each(async |letter, _| {
            if filter.fits(&letter) {
                match letters.redriven.contains(&letter.place) {
                    true => redriven += 1,
                    false => groups.add(&letter),
                }
            }
            Ok(())
        })
        .await?;
    context.output.print(&Report::of(command.stage.as_str(), &groups, redriven))
}

impl Report {
    fn of(stage: &'static str, groups: &Groups, redriven: u64) -> Self {
        let groups: Vec<Row> = groups
            .largest_first()
            .into_iter()
            .map(|(class, code, error, group)| Row {
                class,
                code: code.to_owned(),
                error: error.to_owned(),
                letters: group.letters,
                most_redrives: group.most_redrives,
                first_at_ms: group.first_at_ms,
                last_at_ms: group.last_at_ms,
                last: group.last.to_string(),
                example: group.example.clone(),
            })
            .collect();
        Self { stage, letters: groups.iter().map(|group| group.letters).sum(), redriven, groups }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, letters, redriven, groups } = self;
        if let Some(largest) = groups.first() {
            let mut table = Table::new(["letters", "class", "code", "redrives", "first", "last", "at", "error"]);
            for row in groups {
                table.row([
                    row.letters.to_string(),
                    row.class.to_owned(),
                    row.code.clone(),
                    row.most_redrives.to_string(),
                    times::moment(row.first_at_ms),
                    times::moment(row.last_at_ms),
                    row.last.clone(),
                    row.error.clone(),
                ]);
            }
            writeln!(formatter, "{table}\n")?;
            writeln!(formatter, "`frameline dlq show {stage} {}` shows the last of the largest group", largest.last)?;
            writeln!(formatter, "`frameline dlq redrive {stage}` plans to put them back\n")?;
        }
        write!(formatter, "{} of {stage}", count(usize::try_from(*letters).unwrap_or(usize::MAX), "dead letter"))?;
        if *redriven > 0 {
            write!(formatter, "; {redriven} more were redriven")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_list_is_kept() {
        let row = Row {
            class: "permanent",
            code: "blob".to_owned(),
            error: "there is no blob …".to_owned(),
            letters: 3,
            most_redrives: 1,
            first_at_ms: 1_700_000_000_000,
            last_at_ms: 1_700_000_005_000,
            last: "0:12".to_owned(),
            example: "there is no blob scenes/1f".to_owned(),
        };
        let report = Report { stage: "render", letters: 3, redriven: 2, groups: vec![row] };
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("dlq list"));
        let text = report.to_string();
        assert!(text.contains("2023-11-14T22:13:20Z  2023-11-14T22:13:25Z  0:12  there is no blob …"), "{text}");
        assert!(text.ends_with("3 dead letters of render; 2 more were redriven"), "{text}");
    }
}

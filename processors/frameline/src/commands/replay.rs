//! `frameline replay STAGE`: puts records of a stage's input back on it, while the stage runs.
//!
//! The topics are read twice: for the plan, and then to put back what the plan says, up to the offsets that the
//! plan was made for. So nothing is kept in memory, and what is put back is not read again.

use std::fmt;

use anyhow::{Context as _, Result};
use frameline_runtime::log::scan::{self, Span};
use frameline_runtime::replay::{Plan, Selection, Verdict, copy_of};
use frameline_runtime::{Record, TopicPartition};
use serde::Serialize;
use uuid::Uuid;

use super::feed::{Feed, until_interrupted};
use super::source::{self, LISTED, Source};
use super::{Context, about};
use crate::audit::audited;
use crate::cli;
use crate::output::{Table, count, one_line};

#[derive(Debug, Serialize)]
struct Report {
    stage: &'static str,
    records: u64,
    left_out: LeftOut,
    file_count: usize,
    files: Vec<File>,
    partitions: Vec<Partition>,
    rate: u32,
    put_back: u64,
    executed: bool,
}

#[derive(Debug, Serialize)]
struct LeftOut {
    superseded: u64,
    copies: u64,
}

#[derive(Debug, Serialize)]
struct File {
    file_id: Uuid,
    file: String,
    revision: i64,
    records: u64,
}

#[derive(Debug, Serialize)]
struct Partition {
    topic: String,
    partition: i32,
    records: u64,
    first: i64,
    last: i64,
}

pub(super) async fn run(context: Context, command: cli::Replay) -> Result<()> {
    context.needs_data()?;
    let source = Source::open(&context).await?;
    let named = about::named(&context, &command.about).await?;
    let selection =
        Selection { file: named.file, job: named.job, since_ms: command.about.since, until_ms: command.about.until };
    let spans = spans(&context, command.stage.reads(), &selection).await?;

    let mut plan = Plan::default();
    let judged = judge_all(&source, &selection, spans.clone(), async |partition, record, verdict| {
        plan.add(partition, record.offset, &verdict);
        Ok(())
    });
    judged.await.with_context(|| format!("reading the input of {}", command.stage))?;
    let mut report = Report::of(command.stage.as_str(), command.pace, plan);
    if command.pace.execute && report.records > 0 {
        let put_back = async {
            let mut feed = Feed::new(source.log.as_ref(), command.pace.rate, report.records, context.output);
            let again = judge_all(&source, &selection, spans, async |partition, record, verdict| {
                if matches!(verdict, Verdict::Replay(_)) {
                    feed.push([copy_of(record, partition)]).await?;
                }
                Ok(())
            });
            again.await?;
            feed.finish().await
        };
        let again = "asked again, it puts all of it back, which is harmless";
        report.put_back = audited(source.log.as_ref(), &report, until_interrupted(again, put_back)).await?;
        report.executed = true;
    }
    context.output.print(&report)
}

/// What has to be read: all that the topics keep, less what cannot be meant.
async fn spans(context: &Context, reads: &[&str], selection: &Selection) -> Result<Vec<Span>> {
    let topics: Vec<String> = reads.iter().map(|topic| (*topic).to_owned()).collect();
    let mut spans = context.ports.log().await?.readable(&topics).await?;
    if let Some(file) = selection.file {
        spans = scan::of_key(spans, file.to_string().as_bytes());
    }
    if let Some(since_ms) = selection.since_ms {
        spans = source::since(context.ports.operate().await?.as_ref(), spans, since_ms).await?;
    }
    Ok(spans)
}

/// Tells `each` what becomes of each record of the spans.
async fn judge_all(
    source: &Source,
    selection: &Selection,
    spans: Vec<Span>,
    mut each: impl AsyncFnMut(&TopicPartition, &Record, Verdict) -> Result<()>,
) -> Result<()> {
    let mut scan = source.log.scan(spans).await?;
    while let Some(run) = scan.next().await? {
        let ids = source.learn(run.records.iter().filter(|record| selection.file_of(record).is_some())).await?;
        let newest = source.newest(run.records.iter().filter_map(|record| selection.file_of(record))).await?;
        for record in &run.records {
            let newest = selection.file_of(record).and_then(|file| newest.get(&file).copied());
            each(&run.partition, record, selection.judge(record, ids, newest)).await?;
        }
    }
    Ok(())
}

impl Report {
    fn of(stage: &'static str, pace: cli::Pace, plan: Plan) -> Self {
        let file = |(file_id, share): (Uuid, frameline_runtime::replay::Share)| File {
            file_id,
            file: share.name,
            revision: share.revision,
            records: share.records,
        };
        let partition = |(partition, extent): (TopicPartition, frameline_runtime::replay::Extent)| Partition {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            records: extent.records,
            first: extent.first,
            last: extent.last,
        };
        Self {
            stage,
            records: plan.records,
            left_out: LeftOut { superseded: plan.superseded, copies: plan.copies },
            file_count: plan.files.count(),
            files: plan.files.named().into_iter().map(file).collect(),
            partitions: plan.partitions.into_iter().map(partition).collect(),
            rate: pace.rate,
            put_back: 0,
            executed: false,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.records > 0 {
            let mut table = Table::new(["records", "revision", "file"]);
            for file in self.files.iter().take(LISTED) {
                table.row([file.records.to_string(), file.revision.to_string(), one_line(&file.file)]);
            }
            writeln!(formatter, "{table}")?;
            if self.file_count > LISTED {
                writeln!(formatter, "and {} more", count(self.file_count - LISTED, "file"))?;
            }
            let mut table = Table::new(["topic", "partition", "records", "offsets"]);
            for Partition { topic, partition, records, first, last } in &self.partitions {
                table.row([topic.clone(), partition.to_string(), records.to_string(), format!("{first} to {last}")]);
            }
            writeln!(formatter, "\n{table}\n")?;
        }
        let LeftOut { superseded, copies } = self.left_out;
        if superseded > 0 {
            writeln!(formatter, "left out: {superseded} of older revisions of their files")?;
        }
        if copies > 0 {
            writeln!(formatter, "left out: {copies} that an earlier replay had put there")?;
        }
        match (self.executed, self.records) {
            (_, 0) => formatter.write_str("no record of the stage's input is meant; nothing to do"),
            (true, _) => write!(formatter, "{} put back for {}", records(self.put_back), self.stage),
            (false, _) => write!(
                formatter,
                "{} would be put back for {}, {}; --execute does it",
                records(self.records),
                self.stage,
                per_second(self.rate)
            ),
        }
    }
}

pub(super) fn records(count: u64) -> String {
    self::count(usize::try_from(count).unwrap_or(usize::MAX), "record")
}

pub(super) fn per_second(rate: u32) -> String {
    if rate == 0 { "as fast as it goes".to_owned() } else { format!("at most {rate} a second") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_replay_is_kept() {
        let file = File { file_id: Uuid::nil(), file: "/d/a.svg".to_owned(), revision: 2, records: 3 };
        let partition = Partition { topic: "units".to_owned(), partition: 4, records: 3, first: 7, last: 31 };
        let report = Report {
            stage: "embed",
            records: 3,
            left_out: LeftOut { superseded: 2, copies: 1 },
            file_count: 1,
            files: vec![file],
            partitions: vec![partition],
            rate: 200,
            put_back: 0,
            executed: false,
        };
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("replay"));
        let text = report.to_string();
        assert!(text.contains("units  4          3        7 to 31"), "{text}");
        assert!(
            text.ends_with("3 records would be put back for embed, at most 200 a second; --execute does it"),
            "{text}"
        );
    }
}

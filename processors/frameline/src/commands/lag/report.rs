//! The lag as it is printed.

use std::fmt;
use std::slice;
use std::time::Duration;

use frameline_runtime::log::PartitionLag;
use frameline_runtime::log::operate::GroupMember;
use serde::Serialize;

use super::look::{Look, StageLook};
use super::pace::Pace;
use super::rebuild::Rebuild;
use crate::output::Table;
use crate::stages::Name;
use crate::times;

/// What is printed at one moment.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    stages: Vec<Row>,
    lag: i64,
    rebuild: Option<Rebuild>,
    #[serde(skip)]
    details: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    stage: Name,
    lag: i64,
    oldest_ms: Option<i64>,
    rate_per_s: Option<f64>,
    arriving_per_s: Option<f64>,
    drain_s: Option<f64>,
    members: Vec<String>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: i64,
    lag: i64,
    oldest_ms: Option<i64>,
    rate_per_s: Option<f64>,
    drain_s: Option<f64>,
    member: Option<String>,
}

impl Report {
    /// What a look shows; rates from the one before it. `details` prints partitions to people too.
    pub(super) fn of(look: &Look, earlier: Option<&Look>, rebuild: Option<Rebuild>, details: bool) -> Self {
        let row = |stage: &StageLook| {
            let before = earlier.and_then(|earlier| {
                let same = earlier.stages.iter().find(|other| other.name == stage.name)?;
                Some((same.partitions.as_slice(), look.at - earlier.at))
            });
            Row::of(stage, before)
        };
        Self { stages: look.stages.iter().map(row).collect(), lag: look.lag(), rebuild, details }
    }
}

impl Row {
    /// `before` is where it was, and how long ago.
    fn of(stage: &StageLook, before: Option<(&[PartitionLag], Duration)>) -> Self {
        let pace = before.map(|(before, took)| Pace::between(before, &stage.partitions, took));
        let pace_of = |place: &PartitionLag| {
            let (before, took) = before?;
            let same = before.iter().find(|other| other.partition == place.partition)?;
            Some(Pace::between(slice::from_ref(same), slice::from_ref(place), took))
        };
        let partition =
            |(place, oldest_ms): (&PartitionLag, &Option<i64>)| Partition::of(stage, place, *oldest_ms, pace_of(place));
        Self {
            stage: stage.name,
            lag: stage.lag(),
            oldest_ms: stage.oldest_ms(),
            rate_per_s: pace.map(|pace| tenths(pace.rate_per_s)),
            arriving_per_s: pace.map(|pace| tenths(pace.arriving_per_s)),
            drain_s: pace.and_then(|pace| pace.drain_s).map(tenths),
            members: stage.members.iter().map(GroupMember::to_string).collect(),
            partitions: stage.partitions.iter().zip(&stage.waited_ms).map(partition).collect(),
        }
    }
}

impl Partition {
    fn of(stage: &StageLook, place: &PartitionLag, oldest_ms: Option<i64>, pace: Option<Pace>) -> Self {
        Self {
            topic: place.partition.topic.to_string(),
            partition: place.partition.partition,
            committed: place.committed,
            end: place.high,
            lag: place.records(),
            oldest_ms,
            rate_per_s: pace.map(|pace| tenths(pace.rate_per_s)),
            drain_s: pace.and_then(|pace| pace.drain_s).map(tenths),
            member: stage.owner(&place.partition).map(GroupMember::to_string),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["stage", "lag", "oldest", "rate", "drained in", "members"]);
        for row in &self.stages {
            table.row([
                row.stage.to_string(),
                row.lag.to_string(),
                waited(row.oldest_ms),
                per_second(row.rate_per_s),
                drained_in(row.lag, row.rate_per_s, row.drain_s),
                if row.members.is_empty() { "nobody".to_owned() } else { row.members.join(", ") },
            ]);
        }
        table.fmt(formatter)?;
        if let Some(rebuild) = &self.rebuild {
            write!(formatter, "\n\n{rebuild}")?;
        }
        if !self.details {
            return Ok(());
        }
        let mut table = Table::new(["partition", "committed", "end", "lag", "oldest", "rate", "drained in", "member"]);
        for partition in self.stages.iter().flat_map(|row| &row.partitions) {
            table.row([
                format!("{}/{}", partition.topic, partition.partition),
                partition.committed.map_or_else(|| "never".to_owned(), |offset| offset.to_string()),
                partition.end.to_string(),
                partition.lag.to_string(),
                waited(partition.oldest_ms),
                per_second(partition.rate_per_s),
                drained_in(partition.lag, partition.rate_per_s, partition.drain_s),
                partition.member.clone().unwrap_or_else(|| "nobody".to_owned()),
            ]);
        }
        write!(formatter, "\n\n{table}")
    }
}

fn waited(oldest_ms: Option<i64>) -> String {
    let ms = oldest_ms.and_then(|ms| u64::try_from(ms).ok());
    ms.map_or_else(|| "-".to_owned(), |ms| times::span(Duration::from_millis(ms)))
}

fn per_second(rate_per_s: Option<f64>) -> String {
    rate_per_s.map_or_else(|| "-".to_owned(), |rate| format!("{rate}/s"))
}

fn drained_in(lag: i64, rate_per_s: Option<f64>, drain_s: Option<f64>) -> String {
    match (lag, rate_per_s, drain_s) {
        (0, ..) | (_, None, _) => "-".to_owned(),
        (.., Some(seconds)) => times::span(Duration::from_secs_f64(seconds.clamp(0.0, 1e9).ceil())),
        (.., None) => "not at this rate".to_owned(),
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use frameline_runtime::TopicPartition;
    use serde_json::json;

    use super::*;
    use crate::output::documented;

    fn look(at: Instant, committed: Option<i64>, high: i64) -> Look {
        let partition = TopicPartition::new("files", 3);
        let member = GroupMember {
            instance: "identify-0".to_owned(),
            host: "10.0.0.7".to_owned(),
            partitions: vec![partition.clone()],
        };
        let stage = StageLook {
            name: Name::Identify,
            partitions: vec![PartitionLag { partition, committed, low: 0, high, has_map: false }],
            waited_ms: vec![Some(200_000)],
            members: vec![member],
        };
        Look { at, stages: vec![stage] }
    }

    #[test]
    fn the_shape_of_a_stage_is_kept() {
        let begun = Instant::now();
        let (earlier, later) = (look(begun, None, 40), look(begun + Duration::from_secs(2), Some(30), 44));
        let rebuild = Rebuild {
            index: "frameline-mini-384-lite-1280-2".to_owned(),
            live: "frameline-mini-384-lite-1280-1".to_owned(),
            files: 27,
            records: 1,
        };
        let report = Report::of(&later, Some(&earlier), Some(rebuild), true);
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("lag"));
        let text = report.to_string();
        assert!(text.contains("identify  14   3m 20s  15/s  2s          identify-0 (10.0.0.7)"), "{text}");
        assert!(text.contains("27 files and 1 record are left before frameline-mini-384-lite-1280-2"), "{text}");
        assert!(
            text.contains("files/3    30         44   14   3m 20s  15/s  2s          identify-0 (10.0.0.7)"),
            "{text}"
        );
    }

    #[test]
    fn a_partition_that_stands_is_told_from_one_that_goes() {
        let begun = Instant::now();
        let of = |at, committed: [i64; 2]| {
            let mut look = look(at, None, 100);
            let place = |(number, committed)| {
                let partition = TopicPartition::new("files", number);
                PartitionLag { partition, committed: Some(committed), low: 0, high: 100, has_map: false }
            };
            look.stages[0].partitions = (0..).zip(committed).map(place).collect();
            look.stages[0].waited_ms = vec![None; 2];
            look
        };
        let (earlier, later) = (of(begun, [0, 40]), of(begun + Duration::from_secs(1), [20, 40]));
        let report = serde_json::to_value(Report::of(&later, Some(&earlier), None, true)).unwrap();
        let pace = |at: usize| {
            let row = &report["stages"][0]["partitions"][at];
            json!([row["rate_per_s"], row["drain_s"]])
        };
        assert_eq!([pace(0), pace(1)], [json!([20.0, 4.0]), json!([0.0, null])]);
    }

    #[test]
    fn a_single_look_knows_no_rates_and_one_without_progress_knows_no_end() {
        let begun = Instant::now();
        let text = Report::of(&look(begun, Some(30), 44), None, None, false).to_string();
        assert!(text.contains("identify  14   3m 20s  -     -") && !text.contains("files/3"), "{text}");
        let (earlier, later) = (look(begun, Some(30), 44), look(begun + Duration::from_secs(1), Some(30), 44));
        assert!(Report::of(&later, Some(&earlier), None, false).to_string().contains("not at this rate"));
    }
}

//! The plan of a rewind, and what became of it.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use frameline_runtime::log::operate::GroupMember;
use frameline_runtime::moment::now_ms;
use frameline_runtime::rewind::{Clamp, Step};
use serde::Serialize;

use crate::kubernetes::{Place, Stand};
use crate::output::Table;
use crate::stages::{Feed, Name};
use crate::times;

/// What is moved where, what that makes others do, and whether it is done.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    stage: Name,
    executed: bool,
    members: Vec<String>,
    moves: Vec<Row>,
    again: i64,
    passed: i64,
    feeds: Vec<Feed>,
    backup: Option<String>,
    /// What is held still meanwhile, on Kubernetes.
    held: Option<Held>,
}

#[derive(Debug, Serialize)]
struct Held {
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    stand: Stand,
}

/// What became of a Deployment that was held.
#[derive(Debug, Serialize)]
pub(super) struct LetGo {
    #[serde(flatten)]
    pub(super) place: Place,
    pub(super) before: Stand,
    pub(super) after: Stand,
    pub(super) executed: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    topic: String,
    partition: i32,
    from: i64,
    to: i64,
    clamped: Option<&'static str>,
    wanted: Option<i64>,
    again: i64,
    oldest_at_ms: Option<i64>,
}

impl Report {
    /// A plan; `written_at` says step by step how old the first record is that it leads to.
    pub(super) fn new(stage: Name, steps: &[Step], written_at: Vec<Option<i64>>, members: &[GroupMember]) -> Self {
        let row = |(step, oldest_at_ms): (&Step, Option<i64>)| Row {
            topic: step.partition.topic.to_string(),
            partition: step.partition.partition,
            from: step.from,
            to: step.to,
            clamped: step.clamp.map(|clamp| match clamp {
                Clamp::Retention { .. } => "retention",
                Clamp::End { .. } => "end",
            }),
            wanted: step.clamp.and_then(|clamp| match clamp {
                Clamp::Retention { wanted } => wanted,
                Clamp::End { wanted } => Some(wanted),
            }),
            again: step.again(),
            oldest_at_ms: oldest_at_ms.filter(|_| step.again() > 0),
        };
        let again = steps.iter().map(Step::again).sum();
        Self {
            stage,
            executed: false,
            members: members.iter().map(GroupMember::to_string).collect(),
            moves: steps.iter().zip(written_at).map(row).collect(),
            again,
            passed: steps.iter().map(Step::passed).sum(),
            feeds: if steps.iter().any(|step| step.to <= step.from) { stage.feeds() } else { Vec::new() },
            backup: None,
            held: None,
        }
    }

    /// This Deployment is held still meanwhile.
    pub(super) fn hold(&mut self, place: &Place, stand: Stand) {
        self.held = Some(Held { place: place.clone(), stand });
    }

    /// Whether the Deployment is held already.
    pub(super) fn is_held(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.stand.before.is_some())
    }

    /// Where it was before, once it was moved.
    pub(super) fn backup(&self) -> Option<&str> {
        self.backup.as_deref()
    }

    /// It is done, where there was anything to do; the offsets from before are in this file.
    pub(super) fn executed(mut self, backup: &Path) -> Self {
        if !self.moves.is_empty() {
            self.backup = Some(backup.display().to_string());
            self.executed = true;
        }
        self
    }

    fn summary(&self) -> String {
        let (stage, moved) = (self.stage, self.moves.len());
        let mut parts = Vec::new();
        if self.again > 0 {
            parts.push(format!("{} to be done again", self.again));
        }
        if self.moves.iter().any(|row| row.from == row.to) {
            parts.push("those that were finished above to be done again".to_owned());
        }
        if self.passed > 0 {
            parts.push(format!("{} to be passed over, as done before", self.passed));
        }
        let partitions = if moved == 1 { "partition" } else { "partitions" };
        format!("{stage}: {moved} {partitions} to move, records: {}", parts.join(", "))
    }
}

impl Row {
    fn why(&self, clamped: &str) -> String {
        let Self { topic, partition, to, .. } = self;
        match (clamped, self.wanted) {
            ("end", Some(wanted)) => format!("{topic}/{partition} to its end, {to}, and not to {wanted}"),
            (_, Some(wanted)) => {
                format!("{topic}/{partition} to {to} and not to {wanted}: retention has deleted what is before it")
            }
            (_, None) => format!("{topic}/{partition} to {to}: retention has deleted what is before it"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.moves.is_empty() {
            write!(formatter, "{} is there already; nothing to move", self.stage)?;
            let held = self.held.as_ref().and_then(|held| Some((held, held.stand.before?)));
            return held.map_or(Ok(()), |(Held { place, stand }, before)| {
                write!(formatter, "\n{}; with --execute it goes on with them", left(place, stand.replicas, before))
            });
        }
        writeln!(formatter, "{}\n", self.summary())?;
        let mut table = Table::new(["partition", "from", "to", "records", "oldest"]);
        for row in &self.moves {
            let records = match row.to.cmp(&row.from) {
                Ordering::Less => row.again.to_string(),
                Ordering::Equal => "finished above".to_owned(),
                Ordering::Greater => format!("+{}", row.to - row.from),
            };
            table.row([
                format!("{}/{}", row.topic, row.partition),
                row.from.to_string(),
                row.to.to_string(),
                records,
                row.oldest_at_ms.map_or_else(|| "-".to_owned(), ago),
            ]);
        }
        writeln!(formatter, "{table}\n")?;
        for row in &self.moves {
            if let Some(clamped) = row.clamped {
                writeln!(formatter, "clamped: {}", row.why(clamped))?;
            }
        }
        if !self.feeds.is_empty() {
            let feeds: Vec<String> = self.feeds.iter().map(Feed::to_string).collect();
            writeln!(formatter, "fed again: {}", feeds.join(", "))?;
        }
        match &self.held {
            Some(Held { place, stand: Stand { replicas, before: Some(before) } }) if !self.executed => {
                writeln!(formatter, "{}; once it is done it goes on with them", left(place, *replicas, *before))?;
            }
            Some(Held { place, stand: Stand { replicas, .. } }) if !self.executed => {
                let scaler = place
                    .scaled_object
                    .as_ref()
                    .map_or_else(String::new, |name| format!(", and the ScaledObject {name} is paused until then"));
                writeln!(formatter, "held still meanwhile: {place}, now at {replicas} replicas{scaler}")?;
            }
            None if !self.members.is_empty() => {
                writeln!(formatter, "in the way: {}; stop them first", self.members.join(", "))?;
            }
            _ => {}
        }
        match &self.backup {
            Some(backup) if self.executed => {
                writeln!(formatter, "done; where it was before is in {backup}")?;
                let first = if self.held.is_some() { "look" } else { "start it again, and look" };
                write!(
                    formatter,
                    "{first}: frameline lag {stage} --watch; or put it back: frameline rewind {stage} --undo {backup}",
                    stage = self.stage
                )
            }
            _ => formatter.write_str("nothing was moved; with --execute it is done"),
        }
    }
}

impl fmt::Display for LetGo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, before, after, executed } = self;
        match (executed, before.before) {
            (true, _) => write!(formatter, "{place} goes on with {} replicas", after.replicas),
            (false, Some(replicas)) => {
                write!(formatter, "{}; with --execute it goes on with them", left(place, before.replicas, replicas))
            }
            (false, None) => write!(formatter, "{place} is not held; it has {} replicas", before.replicas),
        }
    }
}

/// What somebody has left held.
fn left(place: &Place, replicas: i32, before: i32) -> String {
    format!("{place} is held at {replicas} replicas, and had {before}")
}

fn ago(at_ms: i64) -> String {
    let since_ms = now_ms().saturating_sub(at_ms);
    let since = Duration::from_millis(u64::try_from(since_ms).unwrap_or_default());
    format!("{} ({} ago)", times::moment(at_ms), times::span(since))
}

#[cfg(test)]
mod tests {
    use frameline_runtime::TopicPartition;

    use super::*;
    use crate::output::documented;

    fn step(from: i64, to: i64, clamp: Option<Clamp>) -> Step {
        Step { partition: TopicPartition::new("embeddings", 3), from, to, clamp }
    }

    fn member() -> GroupMember {
        GroupMember { instance: "index-0".to_owned(), host: "10.0.0.7".to_owned(), partitions: vec![] }
    }

    fn place() -> Place {
        let name = "frameline-index".to_owned();
        Place { namespace: "search".to_owned(), deployment: name.clone(), scaled_object: Some(name) }
    }

    #[test]
    fn what_was_left_held_tells_how_many_it_goes_on_with() {
        let (held, free) = (Stand { replicas: 0, before: Some(3) }, Stand { replicas: 3, before: None });
        let told = |before, after, executed| LetGo { place: place(), before, after, executed }.to_string();
        assert!(
            told(held, held, false).ends_with("held at 0 replicas, and had 3; with --execute it goes on with them")
        );
        assert!(told(held, free, true).ends_with("goes on with 3 replicas"));
        assert!(told(free, free, false).contains("is not held"));
    }

    #[test]
    fn the_shape_of_a_plan_is_kept() {
        let clamp = Some(Clamp::Retention { wanted: Some(7) });
        let mut report = Report::new(Name::Index, &[step(120, 40, clamp)], vec![Some(1_700_000_000_000)], &[member()]);
        let stops = report.to_string();
        assert!(stops.contains("in the way: index-0 (10.0.0.7)"), "{stops}");
        report.hold(&place(), Stand { replicas: 3, before: None });
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("rewind"));
        let text = report.to_string();
        for words in [
            "index: 1 partition to move, records: 80 to be done again",
            "embeddings/3  120   40  80       2023-11-14T22:13:20Z (",
            "clamped: embeddings/3 to 40 and not to 7: retention has deleted what is before it",
            "fed again: progress (jobs)",
            "held still meanwhile: the Deployment search/frameline-index, now at 3 replicas, and the ScaledObject",
            "nothing was moved; with --execute it is done",
        ] {
            assert!(text.contains(words), "`{words}` is missing in:\n{text}");
        }
    }

    #[test]
    fn going_forward_feeds_nobody_and_what_was_done_says_how_to_undo_it() {
        let report = Report::new(Name::Index, &[step(40, 120, None)], vec![Some(5)], &[]);
        let text = report.executed(Path::new("/b/index.csv")).to_string();
        assert!(text.contains("80 to be passed over, as done before") && text.contains("+80"), "{text}");
        assert!(!text.contains("fed again"), "{text}");
        assert!(text.ends_with("frameline rewind index --undo /b/index.csv"), "{text}");
    }

    #[test]
    fn a_stage_that_is_there_already_is_not_moved() {
        let mut report = Report::new(Name::Render, &[], vec![], &[]);
        assert_eq!(report.to_string(), "render is there already; nothing to move");
        report.hold(&place(), Stand { replicas: 0, before: Some(3) });
        let text = report.to_string();
        assert!(text.ends_with("held at 0 replicas, and had 3; with --execute it goes on with them"), "{text}");
        report.hold(&place(), Stand { replicas: 3, before: None });
        assert_eq!(report.to_string(), "render is there already; nothing to move");
    }
}

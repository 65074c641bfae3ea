//! The log: whether it answers, has its topics, and whether the stages come along.

use std::time::Duration;

use anyhow::Result;
use frameline_runtime::TopicPartition;
use frameline_runtime::log::PartitionLag;
use frameline_runtime::log::operate::Operate;
use frameline_runtime::metric::PROMISE;
use frameline_runtime::moment::now_ms;
use frameline_topics::Change;

use super::{Context, Finding};
use crate::commands::dlq;
use crate::commands::lag::{Look, StageLook};
use crate::config::LogKind;
use crate::output::count;
use crate::ports::topics;
use crate::stages::Name;
use crate::times;

/// Between two looks at stages that have work before them.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// A record that waits for half of what is promised of a file is worth a look.
const LONG_WAIT_MS: i64 = PROMISE.as_millis() as i64 / 2;
/// Clocks that differ by less are as equal as clocks are.
const CLOCK_SLACK_MS: i64 = 2_000;
const DAY_MS: i64 = 86_400_000;

/// All of it, as far as the log answers.
pub(super) async fn all(context: &Context, has_data: bool) -> Vec<Finding> {
    if !has_data && context.loaded.config.log.kind == LogKind::Embedded {
        return Vec::new();
    }
    let reached = async {
        let log = context.ports.operate().await?;
        let about = log.about().await?;
        anyhow::Ok((log, about))
    };
    let (log, about) = match reached.await {
        Ok(reached) => reached,
        Err(error) => return vec![Finding::error("log", format!("{error:#}"), unreachable(context))],
    };
    let mut findings = vec![Finding::ok("log", about)];
    let missing = match of_topics(log.as_ref(), &mut findings).await {
        Ok(missing) => missing,
        Err(error) => return with(findings, Finding::error("topics", format!("{error:#}"), unreachable(context))),
    };
    if missing {
        return findings;
    }
    let log = log.as_ref();
    let held = super::transactions::look(context, log).await;
    let letters = letters(context).await;
    for result in [stages(log).await, held, Ok(letters), clock(log).await] {
        match result {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(Finding::error("log", format!("{error:#}"), unreachable(context))),
        }
    }
    findings
}

fn with(mut findings: Vec<Finding>, last: Finding) -> Vec<Finding> {
    findings.push(last);
    findings
}

fn unreachable(context: &Context) -> String {
    match context.loaded.config.log.kind {
        LogKind::Embedded => {
            "see to the file as it says; `frameline config show` tells where settings come from".to_owned()
        }
        LogKind::Kafka => format!(
            "see that the brokers are up, and that kafka.bootstrap_servers ({}) and kafka.properties are right",
            context.loaded.config.kafka.bootstrap_servers
        ),
    }
}

/// Whether topics are missing, without which there is nothing more to look at.
async fn of_topics(log: &dyn Operate, findings: &mut Vec<Finding>) -> Result<bool> {
    let changes = topics::changes(log).await?;
    let mut missing = Vec::new();
    for change in &changes {
        match change {
            Change::Create { topic, .. } => missing.push(topic.as_str()),
            Change::Refuse { topic, has, wants, reason } => {
                let what = format!("{topic} has {has} partitions, and {wants} were meant");
                findings.push(Finding::warning("topics", what, reason.clone()));
            }
        }
    }
    if !missing.is_empty() {
        let what = format!("the log lacks {}", missing.join(", "));
        findings.push(Finding::error("topics", what, "`frameline topics apply --execute` creates what is missing"));
    } else if changes.is_empty() {
        findings.push(Finding::ok("topics", "all are there, with their partitions"));
    }
    Ok(!missing.is_empty())
}

async fn stages(log: &dyn Operate) -> Result<Vec<Finding>> {
    let first = Look::take(log, &Name::ALL).await?;
    if first.lag() == 0 {
        return Ok(first.stages.iter().map(|stage| of_stage(stage, None)).collect());
    }
    tokio::time::sleep(BETWEEN_LOOKS).await;
    let second = Look::take(log, &Name::ALL).await?;
    Ok(first.stages.iter().zip(&second.stages).map(|(before, stage)| of_stage(stage, Some(before))).collect())
}

/// `before` is the same stage a moment ago, where it had work.
fn of_stage(stage: &StageLook, before: Option<&StageLook>) -> Finding {
    let (name, lag) = (stage.name, stage.lag());
    let waits = stage.oldest_ms().map_or_else(String::new, |ms| {
        let waited = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
        format!(", the oldest for {}", times::span(waited))
    });
    if let Some(lost) = stage.partitions.iter().find(|place| place.committed.is_some_and(|at| at < place.low)) {
        let (partition, at, low) = (&lost.partition, lost.committed.unwrap_or(lost.low), lost.low);
        let what = format!("{name} came to {partition} {at}, and retention has deleted what is before {low}");
        return Finding::error(
            "groups",
            what,
            "add the files again, and keep the topic longer than the stage may stand",
        );
    }
    if lag > 0 && stage.members.is_empty() {
        let what = format!("nobody works on {name}; records: {lag}{waits}");
        return Finding::warning("groups", what, format!("start it: `frameline up`, or `frameline run {name}`"));
    }
    let done = |stage: &StageLook| stage.partitions.iter().map(PartitionLag::position).sum::<i64>();
    let stands = before.is_some_and(|before| done(before) == done(stage));
    if lag > 0 && (stands || stage.oldest_ms() > Some(LONG_WAIT_MS)) {
        let how = if stands { "has finished nothing just now" } else { "is behind" };
        let remedy =
            format!("`frameline lag {name} --watch` shows its pace; /readyz and its log lines say why it waits");
        return Finding::warning("groups", format!("{name} {how}; records: {lag}{waits}"), remedy);
    }
    let who = match stage.members.len() {
        0 => "nobody, and nothing to do".to_owned(),
        members => format!("{}, records to do: {lag}", count(members, "member")),
    };
    Finding::ok("groups", format!("{name}: {who}"))
}

/// Those that wait for somebody. What they are is not known without the registry, and not whether a newer revision has
/// taken their places without the jobs: both are told of in their own findings.
async fn letters(context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in Name::ALL {
        match dlq::waiting(context, name, now_ms() - DAY_MS).await {
            Ok(0) => {}
            Ok(letters) => {
                let what = format!("{name} has {} of the last day", count(letters, "dead letter"));
                findings.push(Finding::warning("letters", what, format!("`frameline dlq list {name}` says why")));
            }
            Err(error) => {
                let what = format!("the dead letters of {name} cannot be counted: {error:#}");
                findings.push(Finding::warning("letters", what, "see to it as it says, and look again"));
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("letters", "no dead letter of the last day waits to be put back"));
    }
    findings
}

/// The brokers do not tell their time; but a record that was written later than now was written by another clock.
async fn clock(log: &dyn Operate) -> Result<Vec<Finding>> {
    let topics: Vec<String> = Name::ALL.iter().flat_map(|name| name.reads()).map(|topic| (*topic).to_owned()).collect();
    let lag = log.lag("frameline-doctor", &topics).await?;
    let partitions: Vec<TopicPartition> = lag.iter().map(|place| place.partition.clone()).collect();
    let offsets = log.offsets_at(&partitions, now_ms() + CLOCK_SLACK_MS).await?;
    Ok(vec![of_clock(&lag, &offsets)])
}

/// `offsets` are the first ones of the future, partition by partition.
fn of_clock(lag: &[PartitionLag], offsets: &[i64]) -> Finding {
    match lag.iter().zip(offsets).find(|(place, offset)| **offset < place.high) {
        None => Finding::ok("clock", "no record is from the future of this machine's clock"),
        Some((place, offset)) => Finding::warning(
            "clock",
            format!("{} {offset} was written in the future of this machine's clock", place.partition),
            "let all machines set their clocks from the same source (NTP)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use frameline_runtime::log::operate::GroupMember;

    use super::super::Severity;
    use super::*;

    fn stage(committed: i64, low: i64, waited_ms: i64, members: usize) -> StageLook {
        let partition = TopicPartition::new("frames", 0);
        let member = GroupMember { instance: "one".to_owned(), host: String::new(), partitions: vec![] };
        StageLook {
            name: Name::Render,
            partitions: vec![PartitionLag { partition, committed: Some(committed), low, high: 100, has_map: false }],
            waited_ms: vec![(committed < 100).then_some(waited_ms)],
            members: vec![member; members],
        }
    }

    fn found(stage: &StageLook, before: Option<&StageLook>, words: &str) -> Severity {
        let finding = of_stage(stage, before);
        assert!(finding.what.contains(words), "`{words}` is missing in: {}", finding.what);
        finding.severity
    }

    #[test]
    fn a_stage_that_nobody_works_on_is_told_with_what_waits() {
        assert_eq!(found(&stage(90, 0, 61_000, 0), None, "records: 10, the oldest for 1m 1s"), Severity::Warning);
        assert_eq!(found(&stage(100, 0, 0, 0), None, "nothing to do"), Severity::Ok);
    }

    #[test]
    fn a_stage_that_stands_is_told_from_one_that_goes() {
        let before = stage(80, 0, 5_000, 1);
        assert_eq!(found(&stage(80, 0, 5_000, 1), Some(&before), "has finished nothing just now"), Severity::Warning);
        assert_eq!(found(&stage(90, 0, 5_000, 1), Some(&before), "1 member, records to do: 10"), Severity::Ok);
        assert_eq!(found(&stage(90, 0, LONG_WAIT_MS + 1, 1), Some(&before), "is behind"), Severity::Warning);
    }

    #[test]
    fn records_that_were_deleted_before_they_were_done_are_an_error() {
        assert_eq!(found(&stage(5, 40, 0, 1), None, "retention has deleted what is before 40"), Severity::Error);
    }

    #[test]
    fn a_record_from_the_future_is_told_with_its_place() {
        let place = &stage(5, 0, 0, 1).partitions;
        assert_eq!(of_clock(place, &[100]).severity, Severity::Ok);
        let finding = of_clock(place, &[97]);
        assert!(finding.severity == Severity::Warning && finding.what.contains("frames/0 97"), "{finding:?}");
    }
}

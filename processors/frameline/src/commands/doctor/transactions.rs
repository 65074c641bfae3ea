//! Transactions that hang: whoever reads only what is committed stops at the first record of one, for as long as it is
//! neither committed nor aborted.
//!
//! A broker aborts what is open for longer than its owner asked for. Where it does not, its coordinator has lost it, and
//! no patience helps. A transaction that is at work holds its readers, too, for a moment: so the same one has to be there
//! at two looks, and has to be older than ours may become.

use std::time::Duration;

use anyhow::Result;
use frameline_runtime::log::operate::{Held, Operate};
use frameline_runtime::moment::now_ms;
use frameline_topics::Catalogue;

use super::{Context, Finding};
use crate::config::LogKind;
use crate::times;

/// Between the two looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How late a broker may be: it looks every ten seconds for what it has to abort.
const LATE: Duration = Duration::from_secs(10);

/// All of them in our topics; nothing on the embedded log, which has none.
pub(super) async fn look(context: &Context, log: &dyn Operate) -> Result<Vec<Finding>> {
    if context.loaded.config.log.kind != LogKind::Kafka {
        return Ok(Vec::new());
    }
    let topics: Vec<String> = Catalogue::shipped()?.topics.into_keys().collect();
    let first = log.held(&topics).await?;
    let mut hanging = Vec::new();
    if !first.is_empty() {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        let longest = context.loaded.config.kafka.settings().transaction_timeout() + LATE;
        hanging = hanging_of(&first, log.held(&topics).await?, longest, now_ms());
    }
    if hanging.is_empty() {
        return Ok(vec![Finding::ok("held", "no reader waits behind a transaction that hangs")]);
    }
    let servers = &context.loaded.config.kafka.bootstrap_servers;
    Ok(hanging.iter().map(|(held, age)| of(held, *age, servers)).collect())
}

/// Those that were there before and are older than any may be, with their ages.
fn hanging_of(before: &[Held], now: Vec<Held>, longest: Duration, now_ms: i64) -> Vec<(Held, Duration)> {
    let is_same = |one: &Held, other: &Held| one.partition == other.partition && one.stable == other.stable;
    let aged = |held: Held| {
        let age_ms = u64::try_from(now_ms - held.since_ms?).ok()?;
        Some((held, Duration::from_millis(age_ms)))
    };
    let stayed = now.into_iter().filter(|held| before.iter().any(|earlier| is_same(earlier, held)));
    stayed.filter_map(aged).filter(|(_, age)| *age > longest).collect()
}

fn of(held: &Held, age: Duration, servers: &str) -> Finding {
    let Held { partition, stable, high, .. } = held;
    let (topic, number) = (&partition.topic, partition.partition);
    let what = format!(
        "a transaction in {partition} has been open for {}: readers stop at {stable}, and the end is {high}",
        times::span(age)
    );
    let tool = format!("kafka-transactions.sh --bootstrap-server {servers}");
    let place = format!("--topic {topic} --partition {number}");
    let remedy = format!(
        "`{tool} find-hanging {place}` looks whether it hangs, `{tool} describe-producers {place}` whose it is; \
         `{tool} abort {place} --start-offset {stable}` ends it"
    );
    Finding::error("held", what, remedy)
}

#[cfg(test)]
mod tests {
    use frameline_runtime::TopicPartition;

    use super::*;

    fn held(stable: i64, since_ms: Option<i64>) -> Held {
        Held { partition: TopicPartition::new("files", 3), stable, high: 60, since_ms }
    }

    fn hanging(before: &[Held], now: Held) -> usize {
        hanging_of(before, vec![now], Duration::from_secs(30), 100_000).len()
    }

    #[test]
    fn only_one_that_stays_and_is_old_hangs() {
        assert_eq!(hanging(&[held(41, Some(60_000))], held(41, Some(60_000))), 1);
        assert_eq!(hanging(&[held(41, Some(80_000))], held(41, Some(80_000))), 0, "it may still be at work");
        assert_eq!(hanging(&[held(41, Some(60_000))], held(45, Some(60_000))), 0, "it is another one");
        assert_eq!(hanging(&[], held(41, Some(60_000))), 0, "it was not there before");
        assert_eq!(hanging(&[held(41, None)], held(41, None)), 0, "it is just ending");
    }

    #[test]
    fn it_is_told_with_its_place_and_the_way_to_end_it() {
        let Finding { what, remedy, .. } = of(&held(41, None), Duration::from_secs(61), "kafka-0:9092");
        assert_eq!(what, "a transaction in files/3 has been open for 1m 1s: readers stop at 41, and the end is 60");
        let abort =
            "kafka-transactions.sh --bootstrap-server kafka-0:9092 abort --topic files --partition 3 --start-offset 41";
        assert!(remedy.is_some_and(|remedy| remedy.contains(abort)));
    }
}

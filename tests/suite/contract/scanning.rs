//! Spans that are read to their ends.

use std::collections::BTreeMap;

use frameline_runtime::log::LogError;
use frameline_runtime::log::scan::{self, Run, Scan, Span};

use super::*;

async fn all_of(mut scan: Scan) -> Vec<Run> {
    let mut runs = Vec::new();
    while let Some(run) = scan.next().await.unwrap() {
        assert!(!run.records.is_empty());
        runs.push(run);
    }
    runs
}

fn records(runs: Vec<Run>) -> Vec<Record> {
    runs.into_iter().flat_map(|run| run.records).collect()
}

pub(super) async fn a_scan_gives_what_was_there_when_it_was_asked_for_and_nothing_else(fixture: &impl Fixture) {
    let (topic, other) = (fixture.fresh_topic(3).await, fixture.fresh_topic(1).await);
    let log = fixture.log().await;
    log.append([numbered(&topic, 0..3_000), numbered(&other, 0..5)].concat()).await.unwrap();
    let spans = log.readable(&[topic.clone(), other.clone()]).await.unwrap();
    log.append(numbered(&topic, 3_000..3_100)).await.unwrap();

    let runs = all_of(log.scan(spans.clone()).await.unwrap()).await;
    let mut last: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for run in &runs {
        for record in &run.records {
            let before = last.insert(run.partition.clone(), record.offset);
            assert!(before.is_none_or(|before| before < record.offset), "{} {}", run.partition, record.offset);
        }
    }
    let (of_topic, of_other): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| *run.partition.topic == *topic);
    assert_each_once(&records(of_topic), 3_000);
    assert_each_once(&records(of_other), 5);

    let of_key = scan::of_key(spans, b"key 7");
    assert_eq!(of_key.len(), 2, "one partition of each topic");
    let found = records(all_of(log.scan(of_key).await.unwrap()).await);
    assert_eq!(found.iter().filter(|record| record.key.as_deref() == Some(b"key 7")).count(), 150);
}

pub(super) async fn a_scan_reads_a_part_of_a_partition(fixture: &impl Fixture) {
    let topic = fixture.fresh_topic(2).await;
    let log = fixture.log().await;
    log.append(numbered(&topic, 0..200)).await.unwrap();
    let all = all_of(log.scan(log.readable(std::slice::from_ref(&topic)).await.unwrap()).await.unwrap()).await;
    let partition = TopicPartition::new(topic.as_str(), 1);
    let of_one: Vec<Record> = records(all.into_iter().filter(|run| run.partition == partition).collect());
    let (third, eighth) = (of_one[2].offset, of_one[7].offset);

    let part = |from, to| Span { partition: partition.clone(), from, to };
    let scanned = async |spans| records(all_of(log.scan(spans).await.unwrap()).await);
    assert_eq!(scanned(vec![part(third, eighth)]).await, of_one[2..7]);
    assert_eq!(scanned(vec![part(eighth, i64::MAX)]).await, of_one[7..], "it ends where the partition does");
    assert_eq!(scanned(vec![part(third, third)]).await, []);
    assert_eq!(scanned(vec![]).await, []);
    let nowhere = Span { partition: TopicPartition::new(unique("nowhere"), 0), from: 0, to: 1 };
    let refused = log.scan(vec![nowhere]).await.unwrap_err();
    assert!(matches!(refused, LogError::UnknownTopic(_)), "{refused}");
}

pub(super) async fn a_scan_is_read_in_pieces_and_may_be_left(fixture: &impl Fixture) {
    let topic = fixture.fresh_topic(1).await;
    let log = fixture.log().await;
    for batch in 0..10 {
        let padded = |number: usize| output(&topic, &format!("key {}", number % 20), format!("{number:<60000}"));
        log.append((20 * batch..20 * (batch + 1)).map(padded).collect()).await.unwrap();
    }
    let spans = log.readable(&[topic]).await.unwrap();
    let mut left = log.scan(spans.clone()).await.unwrap();
    let first = left.next().await.unwrap().unwrap();
    drop(left);
    let runs = all_of(log.scan(spans).await.unwrap()).await;
    assert_eq!(runs[0].records[0], first.records[0]);
    let largest = runs.iter().map(|run| run.records.iter().map(Record::size_bytes).sum::<usize>()).max().unwrap();
    assert!(largest < 1 << 20, "{largest} bytes at once of 12 MB");
    assert_eq!(records(runs).len(), 200);
}

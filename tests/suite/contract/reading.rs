//! What is read, in which order, and when.

use frameline_runtime::log::{LogError, NewTopic};
use frameline_runtime::{Position, TopicPartition};

use super::follower::{Follower, value_of};
use super::*;

/// A key of partition 0, and one of partition 1, among two.
const EVEN_KEY: &str = "21";
const ODD_KEY: &str = "abc";

pub(super) async fn records_of_a_partition_come_in_the_order_they_were_written(fixture: &impl Fixture) {
    let topic = fixture.fresh_topic(3).await;
    let log = fixture.log().await;
    log.append(numbered(&topic, 0..300)).await.unwrap();
    let mut follower = Follower::join(&log, fixture.patient(&unique("group"), "one", &topic)).await;
    for batch in 1..10 {
        log.append(numbered(&topic, 300 * batch..300 * (batch + 1))).await.unwrap();
    }
    follower.until("3,000 records", |follower| follower.records.len() >= 3_000).await;
    for partition in (0..3).map(|partition| TopicPartition::new(topic.as_str(), partition)) {
        let offsets: Vec<i64> =
            follower.records.iter().filter(|(other, _)| *other == partition).map(|(_, record)| record.offset).collect();
        assert!(offsets.is_sorted_by(|first, second| first < second), "{partition}: {offsets:?}");
        assert!(!offsets.is_empty(), "20 keys leave {partition} without a record");
    }
    let records: Vec<Record> = follower.records.into_iter().map(|(_, record)| record).collect();
    assert_each_once(&records, 3_000);
}

/// The hashes are those of Kafka's own `UtilsTest.testMurmur2`; its partitioner clears the sign and divides.
pub(super) async fn a_key_goes_to_the_partition_that_kafka_chooses(fixture: &impl Fixture) {
    let keys = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let topic = fixture.fresh_topic(12).await;
    let log = fixture.log().await;
    log.append(keys.iter().map(|(key, _)| output(&topic, key, *key)).collect()).await.unwrap();
    for (key, hash) in keys {
        let partition = TopicPartition::new(topic.as_str(), (hash & i32::MAX) % 12);
        let records = log.read(&partition, 0, 10).await.unwrap();
        assert!(records.iter().any(|record| value_of(record) == key), "{key} is not in {partition}");
    }
}

pub(super) async fn the_records_of_a_commit_become_visible_together(fixture: &impl Fixture) {
    let (source, target) = (fixture.fresh_topic(1).await, fixture.fresh_topic(1).await);
    let log = fixture.log().await;
    let mut writer = Follower::join(&log, fixture.patient(&unique("group"), "one", &source)).await;
    writer.until("its partition", |writer| writer.held.len() == 1).await;
    let commits = tokio::spawn({
        let target = target.clone();
        async move {
            for commit in 0..20 {
                writer.commit(numbered(&target, 50 * commit..50 * (commit + 1)), vec![]).await.unwrap();
            }
        }
    });
    let reader = fixture.log().await;
    let mut seen = 0;
    while seen < 1_000 {
        seen = wait_for_records(&reader, &target, seen + 1).await.len();
        assert!(seen.is_multiple_of(50), "{seen} records are a part of a commit");
    }
    commits.await.unwrap();
}

pub(super) async fn an_append_is_written_as_a_whole_or_not_at_all(fixture: &impl Fixture) {
    let topic = fixture.fresh_topic(2).await;
    let log = fixture.log().await;
    let refused =
        log.append(vec![output(&topic, EVEN_KEY, "fits"), output(&topic, ODD_KEY, "fits"), too_large(&topic)]);
    assert!(refused.await.is_err());
    assert_eq!(all_records(&log, &topic).await, []);
    log.append(vec![output(&topic, EVEN_KEY, "fits"), output(&topic, ODD_KEY, "fits")]).await.unwrap();
    assert_eq!(wait_for_records(&log, &topic, 2).await.len(), 2);
}

pub(super) async fn records_are_read_without_a_group(fixture: &impl Fixture) {
    let topic = fixture.fresh_topic(1).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let log = fixture.log().await;
    assert_eq!(log.read(&partition, 0, 10).await.unwrap(), []);
    let mut with_headers = output(&topic, "key", "9");
    with_headers.headers.push("name", "value");
    log.append(numbered(&topic, 0..9)).await.unwrap();
    log.append(vec![with_headers]).await.unwrap();

    let first = log.read(&partition, 0, 3).await.unwrap();
    assert_eq!(first.iter().map(value_of).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(first[0].key.as_deref(), Some(b"key 0".as_slice()));
    let rest = log.read(&partition, first[2].offset + 1, 100).await.unwrap();
    assert_eq!(rest.iter().map(value_of).collect::<Vec<_>>(), ["3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(rest[6].headers.text("name"), Some("value"));

    let beyond = log.read(&partition, 1_000, 1).await.unwrap_err();
    assert!(matches!(beyond, LogError::OffsetOutOfRange { offset: 1_000, low: 0, .. }), "{beyond}");
    let nowhere = log.read(&TopicPartition::new(unique("nowhere"), 0), 0, 1).await.unwrap_err();
    assert!(matches!(nowhere, LogError::UnknownTopic(_)), "{nowhere}");
}

pub(super) async fn the_end_of_a_partition_is_told_once_and_again_after_new_records(fixture: &impl Fixture) {
    let (topic, group) = (fixture.fresh_topic(1).await, unique("group"));
    let partition = TopicPartition::new(topic.as_str(), 0);
    let log = fixture.log().await;
    let mut follower = Follower::join(&log, fixture.patient(&group, "one", &topic)).await;
    follower.until("the end of an empty partition", |follower| follower.ends.len() == 1).await;
    for round in 1..4 {
        log.append(numbered(&topic, 0..5)).await.unwrap();
        follower.until("the records", |follower| follower.records.len() == 5 * round).await;
        follower.until("the next end", |follower| follower.ends.len() > round).await;
        let last = follower.records.last().map(|(_, record)| record.offset).unwrap();
        assert!(follower.end(&partition).unwrap() > last);
    }
    follower.catch_up();
    let ends: Vec<i64> = follower.ends.iter().map(|(_, end)| *end).collect();
    assert_eq!(ends.len(), 4, "an end was told twice: {ends:?}");
    assert!(ends.is_sorted_by(|first, second| first < second), "{ends:?}");

    let topics = [topic];
    let behind: i64 = log.lag(&group, &topics).await.unwrap().iter().map(|lag| lag.records()).sum();
    assert!(behind >= 15, "{behind}");
    let position = Position { partition: partition.clone(), offset: ends[3], metadata: String::new() };
    follower.commit(vec![], vec![position]).await.unwrap();
    let lag = log.lag(&group, &topics).await.unwrap();
    assert_eq!(lag.iter().map(|lag| (lag.committed, lag.records())).collect::<Vec<_>>(), [(Some(ends[3]), 0)]);
}

pub(super) async fn a_paused_partition_stops_and_goes_on_without_a_gap(fixture: &impl Fixture) {
    let topic = fixture.fresh_topic(2).await;
    let (paused, other) = (TopicPartition::new(topic.as_str(), 0), TopicPartition::new(topic.as_str(), 1));
    let log = fixture.log().await;
    let mut follower = Follower::join(&log, fixture.patient(&unique("group"), "one", &topic)).await;
    follower.until("both ends", |follower| follower.end(&paused).and(follower.end(&other)).is_some()).await;

    follower.session.member.pause(std::slice::from_ref(&paused));
    for round in 0..5 {
        let both = [EVEN_KEY, ODD_KEY].map(|key| output(&topic, key, round.to_string()));
        log.append(both.to_vec()).await.unwrap();
        follower.until("the other partition", |follower| follower.values(&other).len() > round).await;
    }
    assert_eq!(follower.values(&paused), Vec::<String>::new());

    follower.session.member.resume(std::slice::from_ref(&paused));
    follower.until("the paused records", |follower| follower.values(&paused).len() >= 5).await;
    assert_eq!(follower.values(&paused), ["0", "1", "2", "3", "4"]);
    assert_eq!(follower.values(&other), ["0", "1", "2", "3", "4"]);
}

pub(super) async fn a_slow_reader_keeps_its_partitions(fixture: &impl Fixture) {
    const RECORDS: usize = 1_000;
    let (topic, group) = (fixture.fresh_topic(2).await, unique("group"));
    let log = fixture.log().await;
    // More than any adapter may hold in memory for one member.
    for batch in 0..RECORDS / 50 {
        let padded = |number: usize| output(&topic, &format!("key {}", number % 20), format!("{number:<60000}"));
        log.append((50 * batch..50 * (batch + 1)).map(padded).collect()).await.unwrap();
    }
    let mut follower = Follower::join(&log, fixture.membership(&group, "one", &topic)).await;
    follower.until("both partitions", |follower| follower.held.len() == 2).await;

    // The time that passes without a look at the channel is what is checked here.
    tokio::time::sleep(fixture.session_timeout() * 2).await;
    assert!(follower.session.member.polled_ago() < fixture.session_timeout());
    let positions = follower.held.values().cloned().collect();
    follower.commit(vec![], positions).await.unwrap();

    follower.until("all records", |follower| follower.records.len() >= RECORDS).await;
    assert!(follower.revoked.is_empty() && follower.fenced.is_none(), "{follower:?}");
    let mut records: Vec<Record> = follower.records.into_iter().map(|(_, record)| record).collect();
    for record in &mut records {
        record.value = Some(value_of(record).trim_end().to_owned().into());
    }
    assert_each_once(&records, RECORDS);
}

pub(super) async fn a_topic_is_created_once_and_never_cut_anew(fixture: &impl Fixture) {
    let log = fixture.log().await;
    let wanted = topic(&unique("topic"), 3);
    log.create_topic(&wanted).await.unwrap();
    log.create_topic(&wanted).await.unwrap();
    let more = NewTopic { partitions: 4, ..wanted.clone() };
    assert!(matches!(log.create_topic(&more).await, Err(LogError::Refused(_))));
    let found = log.topics().await.unwrap().into_iter().find(|state| state.name == wanted.name).unwrap();
    assert_eq!(found.partitions, 3);
    assert!(matches!(log.lag("nobody", &[unique("nowhere")]).await, Err(LogError::UnknownTopic(_))));
}

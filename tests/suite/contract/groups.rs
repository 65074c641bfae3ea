//! Who may commit what.

use std::time::Instant;

use frameline_runtime::log::CommitError;
use frameline_runtime::{Position, TopicPartition};

use super::copier::{COPIED_BY, copy};
use super::follower::Follower;
use super::*;

fn position(partition: &TopicPartition, offset: i64, metadata: &str) -> Position {
    Position { partition: partition.clone(), offset, metadata: metadata.to_owned() }
}

pub(super) async fn a_refused_commit_leaves_nothing_and_the_member_goes_on(fixture: &impl Fixture) {
    let (source, target, group) = (fixture.fresh_topic(1).await, fixture.fresh_topic(1).await, unique("group"));
    let partition = TopicPartition::new(source.as_str(), 0);
    let log = fixture.log().await;
    log.append(numbered(&source, 0..3)).await.unwrap();
    let mut member = Follower::join(&log, fixture.patient(&group, "one", &source)).await;
    member.until("the records", |member| member.records.len() == 3).await;

    let outputs = vec![output(&target, "key", "fits"), too_large(&target)];
    let refused = member.commit(outputs, vec![position(&partition, 1, "")]).await.unwrap_err();
    assert!(matches!(&refused, CommitError::Refused { output: 1, topic, .. } if **topic == *target), "{refused}");
    assert_eq!(all_records(&log, &target).await, []);
    assert_eq!(log.lag(&group, std::slice::from_ref(&source)).await.unwrap()[0].committed, None);

    member.commit(vec![output(&target, "key", "fits")], vec![position(&partition, 1, "")]).await.unwrap();
    assert_eq!(wait_for_records(&log, &target, 1).await.len(), 1);
    assert_eq!(log.lag(&group, &[source]).await.unwrap()[0].committed, Some(1));
}

pub(super) async fn positions_and_their_metadata_are_there_for_the_next_member(fixture: &impl Fixture) {
    let (topic, group) = (fixture.fresh_topic(2).await, unique("group"));
    let [first, second] = [0, 1].map(|partition| TopicPartition::new(topic.as_str(), partition));
    let log = fixture.log().await;
    log.append(numbered(&topic, 0..100)).await.unwrap();
    let mut member = Follower::join(&log, fixture.patient(&group, "one", &topic)).await;
    member.until("all records", |member| member.records.len() == 100).await;
    let read = member.values(&first);
    let offset = member.records.iter().find(|(partition, _)| *partition == first).unwrap().1.offset + 1;
    let metadata = "AQID".repeat(1_000);
    member.commit(vec![], vec![position(&first, offset, &metadata)]).await.unwrap();
    member.session.member.leave().await;

    for instance in ["two", "one"] {
        let log = fixture.log().await;
        let mut next = Follower::join(&log, fixture.patient(&group, instance, &topic)).await;
        next.until("both partitions", |next| next.held.len() == 2).await;
        assert_eq!(next.held[&first], position(&first, offset, &metadata));
        assert_eq!(next.held[&second], position(&second, 0, ""));
        next.until("the rest", |next| next.records.len() >= 99).await;
        assert_eq!(next.values(&first), read[1..]);
        next.session.member.leave().await;
    }
}

pub(super) async fn a_second_member_of_the_same_name_fences_the_first(fixture: &impl Fixture) {
    let (source, target, group) = (fixture.fresh_topic(2).await, fixture.fresh_topic(1).await, unique("group"));
    let partition = TopicPartition::new(source.as_str(), 0);
    let mut first = Follower::join(&fixture.log().await, fixture.membership(&group, "one", &source)).await;
    first.until("both partitions", |first| first.held.len() == 2).await;
    let log = fixture.log().await;
    let mut second = Follower::join(&log, fixture.membership(&group, "one", &source)).await;
    second.until("both partitions", |second| second.held.len() == 2).await;

    let late = first.commit(vec![output(&target, "key", "late")], vec![position(&partition, 0, "late")]).await;
    assert!(matches!(late, Err(CommitError::Fenced(_))), "{late:?}");
    first.until("the news", |first| first.fenced.is_some()).await;
    first.until("the end of its events", |first| first.closed).await;
    assert_eq!(all_records(&log, &target).await, []);
    second.commit(vec![output(&target, "key", "mine")], vec![position(&partition, 0, "mine")]).await.unwrap();
}

/// Two members of a group of two partitions: the first had both, and is asked for the second one's share.
async fn first_and_second(fixture: &impl Fixture, group: &str, topic: &str) -> (Follower, Follower, TopicPartition) {
    let mut first = Follower::join(&fixture.log().await, fixture.patient(group, "one", topic)).await;
    first.until("both partitions", |first| first.held.len() == 2).await;
    let second = Follower::join(&fixture.log().await, fixture.patient(group, "two", topic)).await;
    first.until("the revocation", |first| !first.revoked.is_empty()).await;
    let partitions = first.revoked[0].partitions.clone();
    let [wanted] = partitions.as_slice() else { panic!("one of two is a fair share, and not {partitions:?}") };
    (first, second, wanted.clone())
}

pub(super) async fn a_revoked_partition_stays_until_it_is_let_go(fixture: &impl Fixture) {
    let (topic, group) = (fixture.fresh_topic(2).await, unique("group"));
    let (mut first, mut second, wanted) = first_and_second(fixture, &group, &topic).await;
    assert!(first.revoked[0].deadline > Instant::now(), "there is time to drain");
    first.commit(vec![], vec![position(&wanted, 0, "drained")]).await.unwrap();
    second.catch_up();
    assert!(second.held.is_empty(), "{second:?}");
    first.revoked.clear();
    second.until("its share", |second| !second.held.is_empty()).await;
    assert_eq!(second.held.into_values().collect::<Vec<_>>(), [position(&wanted, 0, "drained")]);
}

pub(super) async fn a_partition_that_stays_is_read_on_while_another_drains(fixture: &impl Fixture) {
    let (topic, group) = (fixture.fresh_topic(2).await, unique("group"));
    let (mut first, _second, wanted) = first_and_second(fixture, &group, &topic).await;
    let kept = first.held.keys().next().unwrap().clone();
    let log = fixture.log().await;
    log.append(numbered(&topic, 0..100)).await.unwrap();
    let written = log.read(&kept, 0, 100).await.unwrap().len();
    first.until("all records of what it keeps", |first| first.values(&kept).len() == written).await;
    assert!(written > 0 && Instant::now() < first.revoked[0].deadline, "it came while the other one drained");
    assert_eq!(first.values(&wanted), [""; 0], "nothing new comes of what is to be given back");
}

pub(super) async fn a_commit_for_a_partition_that_was_given_away_is_refused_as_a_whole(fixture: &impl Fixture) {
    let (topic, target, group) = (fixture.fresh_topic(2).await, fixture.fresh_topic(1).await, unique("group"));
    let (mut first, mut second, wanted) = first_and_second(fixture, &group, &topic).await;
    let kept = first.held.keys().next().unwrap().clone();
    first.revoked.clear();
    second.until("its share", |second| second.held.contains_key(&wanted)).await;

    let positions = vec![position(&kept, 0, "late"), position(&wanted, 0, "late")];
    let late = first.commit(vec![output(&target, "key", "late")], positions).await;
    assert!(matches!(late, Err(CommitError::Revoked(_))), "{late:?}");
    let log = fixture.log().await;
    assert_eq!(all_records(&log, &target).await, []);
    assert!(log.lag(&group, &[topic]).await.unwrap().iter().all(|lag| lag.committed.is_none()));

    first.commit(vec![], vec![position(&kept, 0, "")]).await.unwrap();
    second.commit(vec![], vec![position(&wanted, 0, "")]).await.unwrap();
}

pub(super) async fn a_member_that_leaves_makes_room_at_once(fixture: &impl Fixture) {
    let (topic, group) = (fixture.fresh_topic(2).await, unique("group"));
    let mut first = Follower::join(&fixture.log().await, fixture.patient(&group, "one", &topic)).await;
    first.until("both partitions", |first| first.held.len() == 2).await;
    let mut second = Follower::join(&fixture.log().await, fixture.patient(&group, "two", &topic)).await;
    first.until("the revocation", |first| !first.revoked.is_empty()).await;
    let left_at = Instant::now();
    first.session.member.leave().await;
    drop(first);
    second.until("everything", |second| second.held.len() == 2).await;
    assert!(left_at.elapsed() < Duration::from_secs(30), "it took {:?}", left_at.elapsed());
}

pub(super) async fn members_that_come_share_the_work_and_each_record_is_done_once(fixture: &impl Fixture) {
    const RECORDS: usize = 2_000;
    let (source, target, group) = (fixture.fresh_topic(6).await, fixture.fresh_topic(3).await, unique("group"));
    let log = fixture.log().await;
    let start = |log: &Arc<dyn Log>, instance: &str| {
        tokio::spawn(copy(Arc::clone(log), fixture.patient(&group, instance, &source), target.clone()))
    };
    let copied_by = |records: &[Record], instance: &str| {
        records.iter().filter(|record| record.headers.text(COPIED_BY) == Some(instance)).count()
    };

    log.append(numbered(&source, 0..500)).await.unwrap();
    let first = start(&fixture.log().await, "one");
    wait_for_records(&log, &target, 100).await;
    let second = start(&fixture.log().await, "two");
    let mut written = 500;
    let give_up = Instant::now() + PATIENCE;
    // The second one joins under load, and the load goes on until it has had its share.
    while written < RECORDS || copied_by(&all_records(&log, &target).await, "two") < 100 {
        assert!(Instant::now() < give_up, "the second member got no share");
        log.append(numbered(&source, written..written + 20)).await.unwrap();
        written += 20;
    }
    let copies = wait_for_records(&log, &target, written).await;
    assert_each_once(&copies, written);
    assert!(copied_by(&copies, "one") >= 100);
    first.abort();
    second.abort();
}

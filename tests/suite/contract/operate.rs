//! What an operator may see and do.

use frameline_runtime::Position;
use frameline_runtime::log::operate::{GroupMember, Move, ResetError};
use frameline_runtime::moment::now_ms;

use super::follower::Follower;
use super::*;

fn partitions(topic: &str, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|number| TopicPartition::new(topic, number)).collect()
}

fn step(partition: &TopicPartition, from: Option<i64>, to: i64) -> Move {
    Move { partition: partition.clone(), from, to }
}

async fn committed(log: &Arc<dyn Operate>, group: &str, topic: &str) -> Vec<Option<i64>> {
    let lag = log.lag(group, &[topic.to_owned()]).await.unwrap();
    lag.into_iter().map(|place| place.committed).collect()
}

/// A group that has read all of a topic of two partitions, remembers finished records above its positions, and is
/// empty. Returns the topic and the positions.
async fn group_that_has_read(fixture: &impl Fixture, group: &str) -> (String, Vec<i64>) {
    let topic = fixture.fresh_topic(2).await;
    let log = fixture.log().await;
    log.append(numbered(&topic, 0..100)).await.unwrap();
    let mut member = Follower::join(&log, fixture.patient(group, "one", &topic)).await;
    member.until("all records", |member| member.records.len() == 100).await;
    let ends: Vec<i64> = log.lag(group, std::slice::from_ref(&topic)).await.unwrap().iter().map(|at| at.high).collect();
    let offsets: Vec<i64> = ends.iter().map(|end| end - 5).collect();
    let position = |(partition, offset): (TopicPartition, &i64)| Position {
        partition,
        offset: *offset,
        metadata: "AgIC".to_owned(),
    };
    let positions = partitions(&topic, 2).into_iter().zip(&offsets).map(position).collect();
    member.commit(vec![], positions).await.unwrap();
    member.session.member.leave().await;
    (topic, offsets)
}

pub(super) async fn members_are_named_with_what_they_have_for_as_long_as_they_are_there(fixture: &impl Fixture) {
    let (topic, group) = (fixture.fresh_topic(2).await, unique("group"));
    let log = fixture.operate().await;
    assert_eq!(log.members(&group).await.unwrap(), []);
    let mut member = Follower::join(&fixture.log().await, fixture.patient(&group, "pod-7", &topic)).await;
    member.until("both partitions", |member| member.held.len() == 2).await;
    let members = wait_for("the group to be settled", async || {
        let members = log.members(&group).await.unwrap();
        members.iter().any(|member| member.partitions.len() == 2).then_some(members)
    })
    .await;
    let [GroupMember { instance, partitions: held, .. }] = members.as_slice() else { panic!("{members:?}") };
    assert_eq!((instance.as_str(), held), ("pod-7", &partitions(&topic, 2)));
    member.session.member.leave().await;
    wait_for("an empty group", async || log.members(&group).await.unwrap().is_empty().then_some(())).await;
}

pub(super) async fn a_group_with_members_is_not_reset_and_they_are_named(fixture: &impl Fixture) {
    let group = unique("group");
    let (topic, offsets) = group_that_has_read(fixture, &group).await;
    let log = fixture.operate().await;
    let mut member = Follower::join(&fixture.log().await, fixture.patient(&group, "pod-7", &topic)).await;
    member.until("both partitions", |member| member.held.len() == 2).await;
    let first = TopicPartition::new(topic.as_str(), 0);
    let refused = log.reset(&group, &[step(&first, Some(offsets[0]), 0)]).await.unwrap_err();
    assert!(matches!(&refused, ResetError::HasMembers { members, .. } if members[0].instance == "pod-7"), "{refused}");
    assert_eq!(committed(&log, &group, &topic).await, offsets.iter().copied().map(Some).collect::<Vec<_>>());
    let position = Position { partition: first, offset: offsets[0] + 1, metadata: String::new() };
    member.commit(vec![], vec![position]).await.unwrap();
}

pub(super) async fn an_empty_group_is_reset_and_forgets_what_was_finished_above(fixture: &impl Fixture) {
    let group = unique("group");
    let (topic, offsets) = group_that_has_read(fixture, &group).await;
    let [first, second] = [0, 1].map(|number| TopicPartition::new(topic.as_str(), number));
    let log = fixture.operate().await;
    // The second one stays where it is: writing the same offset again has to take its map away all the same.
    let moves = [step(&first, Some(offsets[0]), 3), step(&second, Some(offsets[1]), offsets[1])];
    reset_once_it_is_empty(&log, &group, &moves).await;
    assert_eq!(committed(&log, &group, &topic).await, [Some(3), Some(offsets[1])]);
    let mut next = Follower::join(&fixture.log().await, fixture.patient(&group, "one", &topic)).await;
    next.until("both partitions", |next| next.held.len() == 2).await;
    for (partition, offset) in [(&first, 3), (&second, offsets[1])] {
        let expected = Position { partition: partition.clone(), offset, metadata: String::new() };
        assert_eq!(next.held[partition], expected);
    }
    next.until("the record at the new position", |next| next.records.iter().any(|(at, _)| *at == first)).await;
    let read = next.records.iter().find(|(at, _)| *at == first).unwrap();
    assert_eq!(read.1.offset, 3);
}

/// A member that has left is gone at once on one log, and within moments on the other.
async fn reset_once_it_is_empty(log: &Arc<dyn Operate>, group: &str, moves: &[Move]) {
    wait_for("an empty group", async || match log.reset(group, moves).await {
        Err(ResetError::HasMembers { .. }) => None,
        other => Some(other),
    })
    .await
    .unwrap();
}

pub(super) async fn a_reset_whose_plan_is_out_of_date_moves_nothing(fixture: &impl Fixture) {
    let group = unique("group");
    let (topic, offsets) = group_that_has_read(fixture, &group).await;
    let [first, second] = [0, 1].map(|number| TopicPartition::new(topic.as_str(), number));
    let log = fixture.operate().await;
    wait_for("an empty group", async || log.members(&group).await.unwrap().is_empty().then_some(())).await;
    for stale in [Some(offsets[1] - 1), None] {
        let refused =
            log.reset(&group, &[step(&first, Some(offsets[0]), 3), step(&second, stale, 3)]).await.unwrap_err();
        let ResetError::Moved { partition, expected, found } = refused else { panic!("{refused}") };
        assert_eq!((partition, expected, found), (second.clone(), stale, Some(offsets[1])));
    }
    assert_eq!(committed(&log, &group, &topic).await, offsets.iter().copied().map(Some).collect::<Vec<_>>());
    log.reset(&group, &[]).await.unwrap();
}

pub(super) async fn a_time_leads_to_the_first_record_that_is_not_older(fixture: &impl Fixture) {
    let topic = fixture.fresh_topic(3).await;
    let log = fixture.operate().await;
    let all = partitions(&topic, 3);
    assert_eq!(log.offsets_at(&all, 0).await.unwrap(), [0, 0, 0]);
    log.append(numbered(&topic, 0..60)).await.unwrap();
    let between_ms = wait_for_next_ms(now_ms()).await;
    log.append(numbered(&topic, 60..120)).await.unwrap();

    let offsets = log.offsets_at(&all, between_ms).await.unwrap();
    for (partition, offset) in all.iter().zip(offsets) {
        // On Kafka it may be that of a transaction's marker, which is written a little later than its records.
        let records = log.read(partition, 0, 1_000).await.unwrap();
        let (before, since): (Vec<_>, Vec<_>) = records.iter().partition(|record| record.offset < offset);
        assert!(!before.is_empty() && before.iter().all(|record| record.timestamp_ms < between_ms), "{partition}");
        assert!(!since.is_empty() && since.iter().all(|record| record.timestamp_ms >= between_ms), "{partition}");
    }
    assert_eq!(log.offsets_at(&all, 0).await.unwrap(), [0, 0, 0]);
    let ends: Vec<i64> = log.lag("nobody", &[topic]).await.unwrap().iter().map(|place| place.high).collect();
    assert_eq!(log.offsets_at(&all, now_ms() + 60_000).await.unwrap(), ends);
    assert_eq!(log.offsets_at(&[], 0).await.unwrap(), [0_i64; 0]);
}

/// The next millisecond of the clock, once it has come.
async fn wait_for_next_ms(after_ms: i64) -> i64 {
    wait_for("the clock", async || Some(now_ms()).filter(|now_ms| *now_ms > after_ms)).await
}

pub(super) async fn a_place_tells_when_its_first_record_was_written(fixture: &impl Fixture) {
    let topic = fixture.fresh_topic(2).await;
    let log = fixture.operate().await;
    let all = partitions(&topic, 2);
    let at = |offset| all.iter().map(|partition| (partition.clone(), offset)).collect::<Vec<_>>();
    assert_eq!(log.written_at(&at(0)).await.unwrap(), [None, None]);
    let begun_ms = now_ms();
    log.append(numbered(&topic, 0..20)).await.unwrap();
    let between_ms = wait_for_next_ms(now_ms()).await;
    let later = log.lag("nobody", std::slice::from_ref(&topic)).await.unwrap();
    log.append(numbered(&topic, 20..40)).await.unwrap();
    let ended_ms = now_ms();

    let first = log.written_at(&at(0)).await.unwrap();
    assert!(first.iter().all(|at_ms| (begun_ms..between_ms).contains(&at_ms.unwrap())), "{first:?}");
    let places: Vec<_> = later.iter().map(|place| (place.partition.clone(), place.high)).collect();
    let second = log.written_at(&places).await.unwrap();
    assert!(second.iter().all(|at_ms| (between_ms..=ended_ms).contains(&at_ms.unwrap())), "{second:?}");
    let ends: Vec<_> =
        log.lag("nobody", &[topic]).await.unwrap().into_iter().map(|place| (place.partition, place.high)).collect();
    assert_eq!(log.written_at(&ends).await.unwrap(), [None, None]);
    assert_eq!(log.written_at(&[]).await.unwrap(), [None; 0]);
    assert!(!log.about().await.unwrap().is_empty());
}

/// Looks again until there is something.
async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(std::time::Instant::now() < give_up, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

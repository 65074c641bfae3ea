//! What every log must do, whatever it is made of: one suite of checks, and an instance of it for each log.

pub(crate) mod child;
mod copier;
mod follower;
mod groups;
mod kafka;
mod operate;
mod reading;
mod scanning;
mod sqlite;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use frameline_runtime::log::operate::Operate;
use frameline_runtime::log::{Log, Membership, NewTopic};
use frameline_runtime::{Headers, Output, Record, TopicPartition};

use follower::{PATIENCE, value_of};

/// A log to check.
#[async_trait]
trait Fixture: Send + Sync {
    /// A client of it; each call another one, as another process would have it.
    async fn log(&self) -> Arc<dyn Log> {
        self.operate().await
    }

    /// The same, as an operator has it.
    async fn operate(&self) -> Arc<dyn Operate>;

    /// The shortest session timeout that it takes.
    fn session_timeout(&self) -> Duration;

    /// A topic that nobody else uses; returns its name.
    async fn fresh_topic(&self, partitions: i32) -> String {
        let topic = topic(&unique("topic"), partitions);
        self.log().await.create_topic(&topic).await.unwrap();
        topic.name
    }

    /// Membership in a group, under the shortest session timeout.
    fn membership(&self, group: &str, instance: &str, topic: &str) -> Membership {
        Membership {
            group: group.to_owned(),
            instance: instance.to_owned(),
            topics: vec![topic.to_owned()],
            session_timeout: self.session_timeout(),
            drain_deadline: self.session_timeout() / 2,
        }
    }

    /// Membership of one whom no busy machine brings to lose it.
    fn patient(&self, group: &str, instance: &str, topic: &str) -> Membership {
        let membership = self.membership(group, instance, topic);
        Membership { session_timeout: Duration::from_secs(45), drain_deadline: Duration::from_secs(20), ..membership }
    }
}

/// All checks, as tests of the module where this stands; the expression makes the fixture.
macro_rules! contract {
    ($fixture:expr) => {
        contract! { @tests $fixture;
            reading: records_of_a_partition_come_in_the_order_they_were_written
            reading: a_key_goes_to_the_partition_that_kafka_chooses
            reading: the_records_of_a_commit_become_visible_together
            reading: an_append_is_written_as_a_whole_or_not_at_all
            reading: records_are_read_without_a_group
            scanning: a_scan_gives_what_was_there_when_it_was_asked_for_and_nothing_else
            scanning: a_scan_reads_a_part_of_a_partition
            scanning: a_scan_is_read_in_pieces_and_may_be_left
            reading: the_end_of_a_partition_is_told_once_and_again_after_new_records
            reading: a_paused_partition_stops_and_goes_on_without_a_gap
            reading: a_slow_reader_keeps_its_partitions
            reading: a_topic_is_created_once_and_never_cut_anew
            groups: a_refused_commit_leaves_nothing_and_the_member_goes_on
            groups: positions_and_their_metadata_are_there_for_the_next_member
            groups: a_second_member_of_the_same_name_fences_the_first
            groups: a_revoked_partition_stays_until_it_is_let_go
            groups: a_partition_that_stays_is_read_on_while_another_drains
            groups: a_commit_for_a_partition_that_was_given_away_is_refused_as_a_whole
            groups: a_member_that_leaves_makes_room_at_once
            groups: members_that_come_share_the_work_and_each_record_is_done_once
            operate: members_are_named_with_what_they_have_for_as_long_as_they_are_there
            operate: a_group_with_members_is_not_reset_and_they_are_named
            operate: an_empty_group_is_reset_and_forgets_what_was_finished_above
            operate: a_reset_whose_plan_is_out_of_date_moves_nothing
            operate: a_time_leads_to_the_first_record_that_is_not_older
            operate: a_place_tells_when_its_first_record_was_written
        }
    };
    (@tests $fixture:expr; $($module:ident: $check:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            let fixture = $fixture.await;
            $crate::contract::$module::$check(&fixture).await;
        })*
    };
}
pub(crate) use contract;

/// A name that no other check uses, in any run on the same log.
fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{count}", uuid::Uuid::new_v4().simple())
}

/// A topic that keeps everything and takes up to 100,000 bytes.
fn topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions,
        replication: 1,
        retention: None,
        compacted: false,
        largest_message_bytes: 100_000,
    }
}

/// An output without headers.
fn output(topic: &str, key: &str, value: impl Into<Bytes>) -> Output {
    Output {
        topic: topic.into(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(value.into()),
        headers: Headers::new(),
    }
}

/// An output that is too large for [`topic`].
fn too_large(topic: &str) -> Output {
    output(topic, "key", vec![0; 200_000])
}

/// All committed records of a topic, partition by partition.
async fn all_records(log: &Arc<dyn Log>, topic: &str) -> Vec<Record> {
    let state = log.topics().await.unwrap().into_iter().find(|state| state.name == topic).unwrap();
    let mut all = Vec::new();
    for partition in 0..state.partitions {
        let partition = TopicPartition::new(topic, partition);
        all.extend(log.read(&partition, 0, usize::MAX).await.unwrap());
    }
    all
}

/// Waits until a topic has at least so many records, and returns all it has then.
async fn wait_for_records(log: &Arc<dyn Log>, topic: &str, count: usize) -> Vec<Record> {
    let give_up = std::time::Instant::now() + PATIENCE;
    loop {
        let records = all_records(log, topic).await;
        if records.len() >= count {
            return records;
        }
        assert!(
            std::time::Instant::now() < give_up,
            "{topic} has {} records, and {count} were waited for",
            records.len()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The outputs with the numbers `numbers`, over 20 keys.
fn numbered(topic: &str, numbers: std::ops::Range<usize>) -> Vec<Output> {
    numbers.map(|number| output(topic, &format!("key {}", number % 20), number.to_string())).collect()
}

/// Asserts that these are the numbers below `count`, each once, and those of a key in their order.
fn assert_each_once(records: &[Record], count: usize) {
    let mut last_of_key = std::collections::HashMap::new();
    let mut seen = vec![0_usize; count];
    for record in records {
        let number: usize = value_of(record).parse().unwrap();
        seen[number] += 1;
        if let Some(last) = last_of_key.insert(record.key.clone(), number) {
            assert!(last < number, "{number} comes behind {last} of the same key");
        }
    }
    let wrong: Vec<(usize, usize)> = seen.into_iter().enumerate().filter(|(_, times)| *times != 1).take(10).collect();
    assert!(wrong.is_empty(), "numbers, and how often they are there: {wrong:?}");
}

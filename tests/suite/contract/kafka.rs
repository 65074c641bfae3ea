//! The contract on Apache Kafka, under both group protocols, and what only a broker can have: aborted records,
//! stale generations, an end.

mod cut_off;
mod identity;
mod processes;
mod terminate;

use std::collections::BTreeMap;
use std::time::Instant;

use frameline_runtime::Position;
use frameline_runtime::log::kafka::{GroupProtocol, Identity, KafkaLog, KafkaSettings};
use frameline_runtime::log::scan::Span;
use frameline_runtime::log::{Commit, CommitError, Event, LogError};
use frameline_tests::kafka::Broker;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::copier::copy;
use super::follower::Follower;
use super::*;

mod classic {
    use super::*;

    contract!(Cluster::shared(GroupProtocol::Classic));
}

mod consumer {
    use super::*;

    contract!(Cluster::shared(GroupProtocol::Consumer));
}

/// A broker, and how its groups agree.
struct Cluster {
    bootstrap_servers: String,
    group_protocol: GroupProtocol,
    identity: Identity,
    properties: BTreeMap<String, String>,
}

impl Cluster {
    /// The broker that all tests share.
    async fn shared(group_protocol: GroupProtocol) -> Self {
        let broker = tokio::task::spawn_blocking(Broker::shared).await.unwrap();
        Self::of(broker, group_protocol)
    }

    fn of(broker: &Broker, group_protocol: GroupProtocol) -> Self {
        Self {
            bootstrap_servers: broker.bootstrap_servers(),
            group_protocol,
            identity: Identity::Dynamic,
            properties: BTreeMap::new(),
        }
    }

    fn settings(&self) -> KafkaSettings {
        KafkaSettings {
            bootstrap_servers: self.bootstrap_servers.clone(),
            group_protocol: self.group_protocol,
            identity: self.identity,
            properties: self.properties.clone(),
            ..KafkaSettings::new(&self.bootstrap_servers)
        }
    }
}

#[async_trait]
impl Fixture for Cluster {
    async fn operate(&self) -> Arc<dyn Operate> {
        Arc::new(KafkaLog::connect(self.settings()).unwrap())
    }

    fn session_timeout(&self) -> Duration {
        Duration::from_secs(6)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_group_has_no_lag_though_markers_take_offsets() {
    let cluster = Cluster::shared(GroupProtocol::Classic).await;
    let (source, target, group) = (cluster.fresh_topic(3).await, cluster.fresh_topic(3).await, unique("group"));
    let log = cluster.log().await;
    log.append(numbered(&source, 0..30)).await.unwrap();
    let mut member = Follower::join(&log, cluster.membership(&group, "one", &source)).await;
    let are_told = |member: &Follower| member.held.keys().all(|held| member.end(held).is_some_and(|end| end > 0));
    member.until("all ends", |member| member.held.len() == 3 && are_told(member)).await;

    let behind_records: Vec<Position> = member.held.keys().map(|held| after_last_record(&member, held)).collect();
    member.commit(numbered(&target, 0..30), behind_records).await.unwrap();
    let lag = log.lag(&group, std::slice::from_ref(&source)).await.unwrap();
    assert_eq!(lag.iter().map(|lag| lag.records()).collect::<Vec<_>>(), [1, 1, 1], "a marker each");

    let ends = member.held.keys().map(|held| position(held, member.end(held).unwrap())).collect();
    member.commit(vec![], ends).await.unwrap();
    let lag = log.lag(&group, &[source]).await.unwrap();
    assert_eq!(lag.iter().map(|lag| lag.records()).collect::<Vec<_>>(), [0, 0, 0]);
}

fn position(partition: &TopicPartition, offset: i64) -> Position {
    Position { partition: partition.clone(), offset, metadata: String::new() }
}

fn after_last_record(member: &Follower, partition: &TopicPartition) -> Position {
    let last = member.records.iter().rev().find(|(of, _)| of == partition).map_or(-1, |(_, record)| record.offset);
    position(partition, last + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_records_take_offsets_and_are_never_seen() {
    let cluster = Cluster::shared(GroupProtocol::Classic).await;
    let topic = cluster.fresh_topic(1).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let log = cluster.log().await;
    let mut follower = Follower::join(&log, cluster.membership(&unique("group"), "one", &topic)).await;
    follower.until("the end of an empty partition", |follower| follower.end(&partition).is_some()).await;

    let mut with_one_too_many = numbered(&topic, 0..50);
    with_one_too_many.push(too_large(&topic));
    let refused = log.append(with_one_too_many).await.unwrap_err();
    assert!(matches!(refused, LogError::Refused(_)), "{refused}");
    log.append(vec![output(&topic, "key", "good")]).await.unwrap();

    follower.until("the good one", |follower| !follower.records.is_empty()).await;
    assert_eq!(follower.values(&partition), ["good"]);
    assert!(follower.records[0].1.offset > 0, "the aborted ones took no offsets, so this proves nothing");
    assert_eq!(all_records(&log, &topic).await.len(), 1);
    let mut scan = log.scan(log.readable(&[topic]).await.unwrap()).await.unwrap();
    assert_eq!(scan.next().await.unwrap().unwrap().records, [follower.records[0].1.clone()]);
    assert_eq!(scan.next().await.unwrap(), None);
}

/// Whoever notes how far it has read, notes an end behind which nothing comes to be seen any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_behind_an_open_transaction_is_not_readable_before_it_is_over() {
    let cluster = Cluster::shared(GroupProtocol::Classic).await;
    let topic = cluster.fresh_topic(1).await;
    let log = cluster.log().await;
    log.append(numbered(&topic, 0..3)).await.unwrap();
    let readable = async || log.readable(std::slice::from_ref(&topic)).await.unwrap().remove(0);
    let before = readable().await;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.bootstrap_servers).set("transactional.id", unique("open"));
    let owner: BaseProducer = config.create().unwrap();
    let open = |owner: &BaseProducer| {
        owner.init_transactions(PATIENCE).unwrap();
        owner.begin_transaction().unwrap();
        owner.send(BaseRecord::to(&topic).key("key").payload("never seen")).unwrap();
        owner.flush(PATIENCE).unwrap();
    };
    tokio::task::block_in_place(|| open(&owner));
    log.append(numbered(&topic, 3..5)).await.unwrap();
    assert_eq!(readable().await, before, "its end would pass over what is seen later");
    let lag = log.lag(&unique("group"), std::slice::from_ref(&topic)).await.unwrap().remove(0);
    assert!(lag.high > before.to, "nothing lies behind it, so this proves nothing");

    tokio::task::block_in_place(|| owner.abort_transaction(PATIENCE).unwrap());
    let left = Span { from: before.to, ..readable().await };
    let mut scan = log.scan(vec![left]).await.unwrap();
    assert_eq!(scan.next().await.unwrap().unwrap().records.len(), 2);
}

/// Whoever had the partition before died in the middle of a transaction: where the group is, is not known before that
/// one is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_that_are_still_to_be_decided_are_waited_for() {
    let cluster = Cluster::shared(GroupProtocol::Classic).await;
    let (source, group) = (cluster.fresh_topic(1).await, unique("group"));
    let log = cluster.log().await;
    log.append(numbered(&source, 0..10)).await.unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.bootstrap_servers).set("group.id", &group);
    let nobody: BaseConsumer = config.create().unwrap();
    config.remove("group.id").set("transactional.id", unique("open")).set("transaction.timeout.ms", "600000");
    let owner: BaseProducer = config.create().unwrap();
    let open = || {
        owner.init_transactions(PATIENCE).unwrap();
        owner.begin_transaction().unwrap();
        let mut positions = TopicPartitionList::new();
        positions.add_partition_offset(&source, 0, Offset::Offset(4)).unwrap();
        owner.send_offsets_to_transaction(&positions, &nobody.group_metadata().unwrap(), PATIENCE).unwrap();
    };
    tokio::task::block_in_place(open);
    let mut member = Follower::join(&log, cluster.membership(&group, "one", &source)).await;
    let operator = cluster.operate().await;
    while operator.members(&group).await.unwrap().is_empty() {}
    member.catch_up();
    assert!(member.held.is_empty(), "{member:?}");
    tokio::task::block_in_place(|| owner.commit_transaction(PATIENCE).unwrap());
    member.until("its partition", |member| !member.held.is_empty()).await;
    assert_eq!(member.held.values().map(|position| position.offset).collect::<Vec<_>>(), [4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_for_its_topic_is_found_among_many_of_its_batch() {
    let cluster = Cluster::shared(GroupProtocol::Classic).await;
    let (source, target, group) = (cluster.fresh_topic(1).await, cluster.fresh_topic(1).await, unique("group"));
    let log = cluster.log().await;
    let mut member = Follower::join(&log, cluster.membership(&group, "one", &source)).await;
    member.until("its partition", |member| !member.held.is_empty()).await;

    // Together more than the topic takes, and each one not.
    let large: Vec<Output> = (0..40).map(|number| output(&target, "key", format!("{number:<20000}"))).collect();
    member.commit(large.clone(), vec![]).await.unwrap();
    let mut with_one_too_many = large;
    with_one_too_many.insert(17, too_large(&target));
    let refused = member.commit(with_one_too_many, vec![]).await;
    assert!(matches!(refused, Err(CommitError::Refused { output: 17, .. })), "{refused:?}");
    assert_eq!(all_records(&log, &target).await.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_not_there_is_named() {
    let cluster = Cluster::shared(GroupProtocol::Classic).await;
    let nowhere = unique("nowhere");
    let log = cluster.log().await;
    let refused = log.join(cluster.membership(&unique("group"), "one", &nowhere)).await.err();
    assert!(matches!(&refused, Some(LogError::UnknownTopic(topic)) if *topic == nowhere), "{refused:?}");
    let topic = cluster.fresh_topic(1).await;
    let mut member = Follower::join(&log, cluster.membership(&unique("group"), "one", &topic)).await;
    member.until("its partition", |member| !member.held.is_empty()).await;
    let lost = member.commit(vec![output(&nowhere, "key", "value")], vec![]).await;
    assert!(matches!(&lost, Err(CommitError::Unavailable(why)) if why.contains(&nowhere)), "{lost:?}");
    member.commit(vec![output(&topic, "key", "value")], vec![]).await.unwrap();
}

/// Copies while the broker is killed twice and started again: nothing is lost, nothing is there twice. The first
/// outage is long, so that the broker gives up the transaction that it finds open when it is back.
async fn copies_over_outages(group_protocol: GroupProtocol) {
    const RECORDS: usize = 2_000;
    const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(3);
    let broker = Arc::new(tokio::task::spawn_blocking(Broker::start).await.unwrap());
    let mut cluster = Cluster::of(&broker, group_protocol);
    let timeout_ms = TRANSACTION_TIMEOUT.as_millis().to_string();
    cluster.properties.insert("transaction.timeout.ms".to_owned(), timeout_ms);
    let (source, target, group) = (cluster.fresh_topic(3).await, cluster.fresh_topic(3).await, unique("group"));
    let log = cluster.log().await;
    log.append(numbered(&source, 0..RECORDS)).await.unwrap();
    let mut watcher = Follower::join(&log, cluster.membership(&unique("group"), "watcher", &source)).await;
    let copying = tokio::spawn(copy(cluster.log().await, cluster.membership(&group, "one", &source), target.clone()));
    wait_for_records(&log, &target, 50).await;

    for outage in [2 * TRANSACTION_TIMEOUT, Duration::ZERO] {
        let restarted = Arc::clone(&broker);
        tokio::task::spawn_blocking(move || {
            restarted.kill();
            std::thread::sleep(outage);
            restarted.resume().unwrap();
        })
        .await
        .unwrap();
    }
    watcher.until("news of the outage", |watcher| watcher.unavailable.is_some()).await;

    let give_up = Instant::now() + 2 * follower::PATIENCE;
    while all_records(&log, &target).await.len() < RECORDS && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    copying.abort();
    assert_each_once(&all_records(&log, &target).await, RECORDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_lose_nothing_and_double_nothing_under_the_classic_protocol() {
    copies_over_outages(GroupProtocol::Classic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_lose_nothing_and_double_nothing_under_the_consumer_protocol() {
    copies_over_outages(GroupProtocol::Consumer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_broker_a_member_leaves_in_time_and_a_log_says_that_it_is_unavailable() {
    let broker = tokio::task::spawn_blocking(Broker::start).await.unwrap();
    let cluster = Cluster::of(&broker, GroupProtocol::Classic);
    let topic = cluster.fresh_topic(2).await;
    let log = cluster.log().await;
    let mut member = Follower::join(&log, cluster.membership(&unique("group"), "one", &topic)).await;
    member.until("its partitions", |member| !member.held.is_empty()).await;

    tokio::task::block_in_place(|| broker.kill());
    member.until("news of the outage", |member| member.unavailable.is_some()).await;
    let waiting = {
        let member = Arc::clone(&member.session.member);
        let outputs = vec![output(&topic, "key", "value")];
        tokio::spawn(async move { member.commit(Arc::new(Commit { outputs, positions: vec![] })).await })
    };
    let left_at = Instant::now();
    member.session.member.leave().await;
    // The session timeout and a little more is what it may wait.
    assert!(left_at.elapsed() < Duration::from_secs(20), "it took {:?}", left_at.elapsed());
    let lost = waiting.await.unwrap();
    assert!(matches!(lost, Err(CommitError::Unavailable(_) | CommitError::Revoked(_))), "{lost:?}");
    while let Some(event) = member.session.events.recv().await {
        assert!(!matches!(event, Event::Fenced(_)), "{event:?}");
    }
    let error = log.topics().await.unwrap_err();
    assert!(matches!(error, LogError::Unavailable(_)), "{error}");
}

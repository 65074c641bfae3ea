//! Members with names: who comes back under one has its partitions again, and the others notice nothing.

use rustix::process::Signal;

use super::processes::start;
use super::*;

/// Without a wait for the session timeout, which is more than twice as long.
const AT_ONCE: Duration = Duration::from_secs(20);

async fn cluster(group_protocol: GroupProtocol, identity: Identity) -> Cluster {
    Cluster { identity, ..Cluster::shared(group_protocol).await }
}

/// Two members of a group, one partition each.
async fn one_each(cluster: &Cluster, group: &str, topic: &str) -> (Follower, Follower) {
    let mut one = Follower::join(&cluster.log().await, cluster.patient(group, "one", topic)).await;
    one.until("both partitions", |one| one.held.len() == 2).await;
    let mut two = Follower::join(&cluster.log().await, cluster.patient(group, "two", topic)).await;
    one.until("the revocation", |one| !one.revoked.is_empty()).await;
    one.revoked.clear();
    two.until("its share", |two| two.held.len() == 1).await;
    (one, two)
}

/// Whether nothing was given to the member or taken from it since it had this.
fn noticed_nothing(member: &mut Follower, had: &BTreeMap<TopicPartition, Position>) -> bool {
    member.catch_up();
    member.held == *had && member.revoked.is_empty()
}

/// Stops in order, and comes back under its name, as a process does that is deployed anew.
async fn comes_back(group_protocol: GroupProtocol) {
    let cluster = cluster(group_protocol, Identity::Static).await;
    let (topic, group) = (cluster.fresh_topic(2).await, unique("group"));
    let (one, mut two) = one_each(&cluster, &group, &topic).await;
    let (had_one, had_two) = (one.held.clone(), two.held.clone());
    one.session.member.leave().await;
    drop(one);
    let begun = Instant::now();
    let mut again = Follower::join(&cluster.log().await, cluster.patient(&group, "one", &topic)).await;
    again.until("what it had", |again| !again.held.is_empty()).await;
    assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());
    assert_eq!(again.held, had_one);
    assert!(noticed_nothing(&mut two, &had_two), "{two:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stops_and_comes_back_is_not_noticed_under_the_classic_protocol() {
    comes_back(GroupProtocol::Classic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stops_and_comes_back_is_not_noticed_under_the_consumer_protocol() {
    comes_back(GroupProtocol::Consumer).await;
}

/// A process of its own, which is killed. Under the consumer protocol the broker keeps its name closed for the
/// session timeout, and its successor waits so long.
async fn killed_and_back(group_protocol: GroupProtocol, identity: Identity) -> (Duration, bool) {
    let cluster = cluster(group_protocol, identity).await;
    let (source, target, group) = (cluster.fresh_topic(2).await, cluster.fresh_topic(1).await, unique("group"));
    let mut first = start(&cluster, &["rest", &group, &source, &target]);
    first.says("has 2").await;
    let mut two = Follower::join(&cluster.log().await, cluster.patient(&group, "two", &source)).await;
    two.until("its share", |two| two.held.len() == 1).await;
    let had = two.held.clone();
    first.signal(Signal::KILL);
    let begun = Instant::now();
    let mut again = start(&cluster, &["rest", &group, &source, &target]);
    again.says("has 1").await;
    (begun.elapsed(), noticed_nothing(&mut two, &had))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_killed_and_comes_back_is_not_noticed_under_the_classic_protocol() {
    for identity in [Identity::Static, Identity::StaticLeaving] {
        let (took, unnoticed) = killed_and_back(GroupProtocol::Classic, identity).await;
        assert!(unnoticed && took < AT_ONCE, "it took {took:?}; unnoticed: {unnoticed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_killed_under_the_consumer_protocol_waits_for_its_name_and_is_let_in() {
    killed_and_back(GroupProtocol::Consumer, Identity::Static).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_to_leave_makes_room_at_once() {
    let cluster = cluster(GroupProtocol::Classic, Identity::StaticLeaving).await;
    groups::a_member_that_leaves_makes_room_at_once(&cluster).await;
    let (topic, group) = (cluster.fresh_topic(2).await, unique("group"));
    let (one, mut two) = one_each(&cluster, &group, &topic).await;
    let begun = Instant::now();
    one.session.member.leave().await;
    two.until("everything", |two| two.held.len() == 2).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_one_of_the_same_name_fences_the_first_under_both_protocols() {
    for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let cluster = cluster(group_protocol, Identity::Static).await;
        groups::a_second_member_of_the_same_name_fences_the_first(&cluster).await;
    }
}

/// What the broker says of a group by the question that only the classic protocol answers.
async fn classic_assignor(cluster: &Cluster, group: &str) -> String {
    let (servers, group) = (cluster.bootstrap_servers.clone(), group.to_owned());
    let ask = move || {
        let mut config = rdkafka::ClientConfig::new();
        let consumer: rdkafka::consumer::BaseConsumer = config.set("bootstrap.servers", servers).create().unwrap();
        let groups = rdkafka::consumer::Consumer::fetch_group_list(&consumer, Some(&group), PATIENCE).unwrap();
        groups.groups().iter().map(|group| group.protocol().to_owned()).collect::<String>()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_is_the_brokers_own_protocol_where_it_has_it_and_else_the_classic_one() {
    let modern = Cluster::shared(GroupProtocol::Auto).await;
    let old = tokio::task::spawn_blocking(|| Broker::with("group.coordinator.rebalance.protocols=classic\n"));
    let old_broker = old.await.unwrap();
    let old = Cluster::of(&old_broker, GroupProtocol::Auto);
    for (cluster, assignor) in [(&modern, ""), (&old, "cooperative-sticky")] {
        let (topic, group) = (cluster.fresh_topic(2).await, unique("group"));
        let mut member = Follower::join(&cluster.log().await, cluster.membership(&group, "one", &topic)).await;
        member.until("all partitions", |member| member.held.len() == 2).await;
        assert_eq!(classic_assignor(cluster, &group).await, assignor);
        let held = member.held.values().cloned().collect();
        member.commit(vec![], held).await.unwrap();
    }
}

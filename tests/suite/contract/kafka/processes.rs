//! Members in processes of their own, which are killed or stopped; what they do is [`child_process`].

use rustix::process::Signal;

use super::super::child::Child;
use super::*;

const BOOTSTRAP_SERVERS: &str = "FRAMELINE_CONTRACT_BOOTSTRAP_SERVERS";
const GROUP_PROTOCOL: &str = "FRAMELINE_CONTRACT_GROUP_PROTOCOL";
const IDENTITY: &str = "FRAMELINE_CONTRACT_IDENTITY";
const WORK: &str = "FRAMELINE_CONTRACT_WORK";
/// How often a process is killed in [`killed_processes`].
const KILLS: usize = 8;

/// A process with a member of a group.
pub(super) fn start(cluster: &Cluster, work: &[&str]) -> Child {
    let group_protocol = format!("{:?}", cluster.group_protocol);
    let identity = format!("{:?}", cluster.identity);
    let servers = cluster.bootstrap_servers.clone();
    let environment =
        [(BOOTSTRAP_SERVERS, servers), (GROUP_PROTOCOL, group_protocol), (IDENTITY, identity), (WORK, work.join(" "))];
    Child::start(module_path!(), environment)
}

/// A member whose process stood still was given up by the group; when it wakes, it is a zombie.
async fn zombie(group_protocol: GroupProtocol) {
    let cluster = Cluster::shared(group_protocol).await;
    let (source, target, group) = (cluster.fresh_topic(2).await, cluster.fresh_topic(1).await, unique("group"));
    let mut stopped = start(&cluster, &["stop", &group, &source, &target]);
    stopped.says("at rest").await;
    stopped.signal(Signal::STOP);

    let log = cluster.log().await;
    let mut heir = Follower::join(&log, cluster.membership(&group, "heir", &source)).await;
    heir.until("all partitions", |heir| heir.held.len() == 2).await;
    let inherited: Vec<&str> = heir.held.values().map(|position| position.metadata.as_str()).collect();
    assert_eq!(inherited, ["before", "before"]);

    stopped.signal(Signal::CONT);
    stopped.hears("go on\n").await;
    let outcome = stopped.says("after:").await;
    assert!(outcome.contains("Revoked"), "{outcome}");
    let copies = all_records(&log, &target).await;
    assert_eq!(copies.iter().map(follower::value_of).collect::<Vec<_>>(), ["before"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_can_commit_nothing_under_the_classic_protocol() {
    zombie(GroupProtocol::Classic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_can_commit_nothing_under_the_consumer_protocol() {
    zombie(GroupProtocol::Consumer).await;
}

/// Whenever a process dies, its successor of the same name goes on from what was committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_lose_nothing_and_double_nothing() {
    let cluster = Cluster::shared(GroupProtocol::Classic).await;
    let (source, target, group) = (cluster.fresh_topic(3).await, cluster.fresh_topic(3).await, unique("group"));
    let log = cluster.log().await;
    let mut written = 0;
    for _ in 0..KILLS {
        let copier = start(&cluster, &["copy", &group, &source, &target]);
        let done = all_records(&log, &target).await.len();
        log.append(numbered(&source, written..written + 1_000)).await.unwrap();
        written += 1_000;
        // It is in the middle of its commits when it dies: one after the other.
        wait_for_records(&log, &target, done + 20).await;
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..60_000))).await;
        copier.kill().await;
    }
    let _copier = start(&cluster, &["copy", &group, &source, &target]);
    assert_each_once(&wait_for_records(&log, &target, written).await, written);
}

/// What the other processes do.
#[tokio::test]
#[ignore = "the other tests run it in processes of its own"]
async fn child_process() {
    let (Ok(bootstrap_servers), Ok(work)) = (std::env::var(BOOTSTRAP_SERVERS), std::env::var(WORK)) else {
        println!("skipped: child_process: it has nothing to do by itself");
        return;
    };
    let group_protocol = match std::env::var(GROUP_PROTOCOL).as_deref() {
        Ok("Consumer") => GroupProtocol::Consumer,
        _ => GroupProtocol::Classic,
    };
    let identity = match std::env::var(IDENTITY).as_deref() {
        Ok("Static") => Identity::Static,
        Ok("StaticLeaving") => Identity::StaticLeaving,
        _ => Identity::Dynamic,
    };
    let cluster = Cluster { bootstrap_servers, group_protocol, identity, properties: BTreeMap::new() };
    let membership = |group: &str, source: &str| Membership {
        session_timeout: Duration::from_secs(2),
        drain_deadline: Duration::from_secs(1),
        ..cluster.membership(group, "child", source)
    };
    match work.split(' ').collect::<Vec<_>>().as_slice() {
        ["copy", group, source, target] => {
            copy(cluster.log().await, membership(group, source), (*target).to_owned()).await;
        }
        ["rest", group, source, _target] => rest(&cluster.log().await, cluster.patient(group, "child", source)).await,
        ["stop", group, source, target] => stop(&cluster.log().await, membership(group, source), target).await,
        other => panic!("{other:?} is no work"),
    }
}

/// Says how many partitions it has, whenever that is another number, and lets go what it is asked for.
async fn rest(log: &Arc<dyn Log>, membership: Membership) {
    let mut member = Follower::join(log, membership).await;
    loop {
        let had = member.held.len();
        member.until("something new", |member| member.held.len() != had).await;
        member.revoked.clear();
        println!("has {}", member.held.len());
    }
}

/// Rests behind a commit, and tries another one when it is told to.
async fn stop(log: &Arc<dyn Log>, membership: Membership, target: &str) {
    let mut member = Follower::join(log, membership).await;
    member.until("both partitions", |member| member.held.len() == 2).await;
    let positions = |word: &str| {
        let at = member.held.values().cloned();
        at.map(|position| Position { metadata: word.to_owned(), ..position }).collect::<Vec<_>>()
    };
    member.commit(vec![output(target, "key", "before")], positions("before")).await.unwrap();
    println!("at rest");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let outcome = member.commit(vec![output(target, "key", "after")], positions("after")).await;
    println!("after: {outcome:?}");
}

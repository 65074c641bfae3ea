//! A member whose connections are cut, while another of its name comes to the broker by another way.

use frameline_tests::proxy::{Proxy, Weather};
use frameline_tests::server::free_port;

use super::*;

const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(3);

/// A listener beside the plain one, whose clients come through the proxy.
fn far_listener(proxy: &Proxy, far_port: u16) -> String {
    let listeners = |far_port: u16| {
        format!("PLAINTEXT://127.0.0.1:{{port}},FAR://127.0.0.1:{far_port},CONTROLLER://127.0.0.1:{{controller_port}}")
    };
    format!(
        "listeners={}
advertised.listeners={}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
",
        listeners(far_port),
        listeners(proxy.port()),
    )
}

/// One cluster, seen from near and from far.
async fn near_and_far(proxy: &Proxy) -> (Broker, [Cluster; 2]) {
    let far_port = free_port().unwrap();
    proxy.lead_to(far_port);
    let properties = far_listener(proxy, far_port);
    let broker = tokio::task::spawn_blocking(move || Broker::with(&properties)).await.unwrap();
    let timeout_ms = TRANSACTION_TIMEOUT.as_millis().to_string();
    let clusters =
        [broker.bootstrap_servers(), format!("127.0.0.1:{}", proxy.port())].map(|bootstrap_servers| Cluster {
            bootstrap_servers,
            properties: BTreeMap::from([("transaction.timeout.ms".to_owned(), timeout_ms.clone())]),
            ..Cluster::of(&broker, GroupProtocol::Classic)
        });
    (broker, clusters)
}

/// Nothing but its generation tells it that it was replaced: were it to take its name again, its successor would end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_cut_off_for_long_leaves_its_successor_alone() {
    let proxy = Proxy::start().unwrap();
    let (_broker, [near, far]) = near_and_far(&proxy).await;
    let (source, target, group) = (near.fresh_topic(1).await, near.fresh_topic(1).await, unique("group"));
    let mut cut_off = Follower::join(&far.log().await, far.membership(&group, "one", &source)).await;
    cut_off.until("its partition", |cut_off| !cut_off.held.is_empty()).await;
    let held: Vec<Position> = cut_off.held.values().cloned().collect();

    proxy.set(Weather::Cut);
    let lost = cut_off.commit(vec![output(&target, "key", "of the one cut off")], held.clone()).await;
    assert!(matches!(lost, Err(CommitError::Unavailable(_))), "{lost:?}");
    let log = near.log().await;
    let mut heir = Follower::join(&log, near.membership(&group, "one", &source)).await;
    heir.until("its partition", |heir| !heir.held.is_empty()).await;
    heir.commit(vec![output(&target, "key", "before")], held.clone()).await.unwrap();

    proxy.set(Weather::Fair);
    // As the driver does it: again, until it is told something else.
    let give_up = Instant::now() + follower::PATIENCE;
    let told = loop {
        let told = cut_off.commit(vec![output(&target, "key", "of the one cut off")], held.clone()).await;
        if !matches!(told, Err(CommitError::Unavailable(_))) || Instant::now() > give_up {
            break told;
        }
    };
    assert!(matches!(told, Err(CommitError::Revoked(_))), "{told:?}");
    heir.commit(vec![output(&target, "key", "after")], held).await.unwrap();
    let copies = all_records(&log, &target).await;
    assert_eq!(copies.iter().map(follower::value_of).collect::<Vec<_>>(), ["before", "after"]);
}

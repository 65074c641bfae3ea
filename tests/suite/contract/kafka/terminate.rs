//! The product's own processes, told to stop in the middle of a rebalance: they leave their group in order.

use std::process::{Child, Stdio};
use std::sync::OnceLock;

use frameline_runtime::log::operate::Operate;
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Ended, Product};

use super::*;

const STAGE: &str = "render";
/// What the stage reads.
const TOPIC: &str = "frames";
/// How long the rebalance is kept from its end after the signal: longer than librdkafka waits for an answer when it
/// leaves a group.
const HOLD: Duration = Duration::from_secs(7);

/// A broker apart: the topics have the names of the product's own.
fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(Broker::start)
}

/// A process that runs the stage; killed when it is dropped.
struct Process(Child);

impl Process {
    fn start(product: &Product, config: &std::path::Path, instance: &str) -> Self {
        let arguments = ["run", STAGE, "--listen", "127.0.0.1:0", "--instance", instance, "--config"];
        let mut command = product.command(arguments);
        Self(command.arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Its exit status, once it has ended.
    async fn end(&mut self) -> Option<i32> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < give_up, "the process does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One member does not let go of what it is asked for, so the rebalance goes on; two processes are in it, the
/// second one with a join that the broker has not answered. Both are told to stop.
async fn leaves_in_the_middle_of_a_rebalance(group_protocol: GroupProtocol) {
    let broker = tokio::task::spawn_blocking(broker).await.unwrap();
    let cluster = Cluster::of(broker, group_protocol);
    let protocol = format!("{group_protocol:?}").to_lowercase();
    let product = Product::new();
    let config = format!(
        "[log]\nkind = \"kafka\"\ncreate_topics = true\nsession_timeout = \"45s\"\ndrain_deadline = \"20s\"\n\
         [kafka]\nbootstrap_servers = \"{}\"\nreplication = 1\ngroup_protocol = \"{protocol}\"\n",
        broker.bootstrap_servers()
    );
    let config = product.file("kafka.toml", config);
    let ended = Ended::of(product.command(["topics", "apply", "--execute", "--config"]).arg(&config).output().unwrap());
    assert_eq!(ended.status, Some(0), "{ended:?}");

    let log = Arc::new(KafkaLog::connect(cluster.settings()).unwrap());
    let members = async || log.members(STAGE).await.unwrap().len();
    let (log_of_holder, membership) = (cluster.log().await, cluster.patient(STAGE, "holder", TOPIC));
    let mut holder = Follower::join(&log_of_holder, membership).await;
    holder.until("all partitions", |holder| holder.held.len() > 1).await;
    let all = holder.held.len();
    let mut one = Process::start(&product, &config, "one");
    holder.until("the revocation", |holder| !holder.revoked.is_empty()).await;
    let mut two = Process::start(&product, &config, "two");
    until("both processes are members", async || members().await == 3).await;

    one.terminate();
    two.terminate();
    let told_at = Instant::now();
    until("the group has waited", async || told_at.elapsed() > HOLD).await;
    holder.revoked.clear();
    let released_at = Instant::now();
    assert_eq!((one.end().await, two.end().await), (Some(0), Some(0)));
    until("nobody else is a member", async || members().await == 1).await;
    let give_up = Instant::now() + PATIENCE;
    while holder.held.len() < all {
        assert!(Instant::now() < give_up, "waited in vain for everything again: {holder:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        holder.catch_up();
        holder.revoked.clear();
    }
    // Both the session timeout, after which they would be missed, and the poll interval are longer.
    assert!(released_at.elapsed() < Duration::from_secs(25), "it took {:?}", released_at.elapsed());
    holder.session.member.leave().await;
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < give_up, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_told_to_stop_in_the_middle_of_a_rebalance_leave_their_group() {
    for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        leaves_in_the_middle_of_a_rebalance(group_protocol).await;
    }
}

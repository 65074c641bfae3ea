//! A bare consumer: it polls, and commits by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::anyhow;
use frameline_runtime::log::kafka::GroupProtocol;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message};

use super::{Member, Run, load};

const POLL: Duration = Duration::from_millis(50);

/// A thread with a consumer.
pub(super) struct Bare {
    stop: Arc<AtomicBool>,
    polling: JoinHandle<anyhow::Result<()>>,
}

impl Bare {
    pub(super) fn start(run: &Run, name: &'static str) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &run.settings.bootstrap_servers)
            .set("group.id", run.name)
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("auto.commit.interval.ms", "100")
            .set("fetch.wait.max.ms", "100");
        match run.settings.group_protocol {
            GroupProtocol::Classic => config
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", "10000")
                .set("heartbeat.interval.ms", "1666"),
            GroupProtocol::Consumer | GroupProtocol::Auto => config.set("group.protocol", "consumer"),
        };
        let consumer: BaseConsumer = config.create()?;
        consumer.subscribe(&[run.input])?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, sightings) = (Arc::clone(&stop), Arc::clone(&run.sightings));
        let polling = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                if let Some(message) = consumer.poll(POLL)
                    && let Some((partition, number)) = load::read(message?.payload())
                {
                    sightings.add(name, partition, number);
                }
            }
            Ok(())
        });
        Ok(Self { stop, polling })
    }
}

impl Member for Bare {
    fn leave(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.polling.join().map_err(|_| anyhow!("a consumer panicked"))?
    }
}

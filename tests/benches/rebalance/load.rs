//! The load: a record to every partition at every tick, each with its partition and its number in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::anyhow;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::{PARTITIONS, PATIENCE, RECORD_INTERVAL, Run};

/// Written until it is ended.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    writing: JoinHandle<anyhow::Result<u64>>,
}

impl Load {
    pub(super) fn start(run: &Run) -> anyhow::Result<Self> {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", &run.settings.bootstrap_servers)
            .set("linger.ms", "0")
            .set("enable.idempotence", "true")
            .create()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, topic) = (Arc::clone(&stop), run.input);
        let writing = thread::spawn(move || {
            let begun = Instant::now();
            let mut number = 0_u64;
            while !told.load(Ordering::Relaxed) {
                for partition in 0..PARTITIONS {
                    let value = format!("{partition} {number}");
                    let key = format!("{partition}-{number}");
                    let record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value);
                    producer.send(record).map_err(|(error, _)| error)?;
                }
                number += 1;
                let next = begun + RECORD_INTERVAL * u32::try_from(number)?;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            producer.flush(PATIENCE)?;
            Ok(number)
        });
        Ok(Self { stop, writing })
    }

    /// Ends it; how many records each partition has.
    pub(super) fn end(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.writing.join().map_err(|_| anyhow!("the load panicked"))?
    }
}

/// The partition and the number that a record of the load says.
pub(super) fn read(value: Option<&[u8]>) -> Option<(usize, u64)> {
    let (partition, number) = std::str::from_utf8(value?).ok()?.split_once(' ')?;
    Some((partition.parse().ok()?, number.parse().ok()?))
}

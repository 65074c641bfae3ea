//! How far the stage's group is behind, published for the partitions that this process has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, gauge};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::status::Status;
use crate::log::Log;
use crate::metric;
use crate::record::TopicPartition;

/// Between two looks; the log is asked, so not too often.
const EVERY: Duration = Duration::from_secs(10);
/// The first look, when the group has most likely given this process its partitions.
const FIRST: Duration = Duration::from_secs(1);

/// Asks the log now and then, for as long as it is polled.
pub(super) async fn publish(log: Arc<dyn Log>, stage: &'static str, topics: Vec<String>, status: Status) {
    let mut gauges: HashMap<TopicPartition, Gauge> = HashMap::new();
    let mut looks = interval_at(Instant::now() + FIRST, EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let lags = match log.lag(stage, &topics).await {
            Ok(lags) => lags,
            Err(error) => {
                tracing::debug!(stage, %error, "the lag is not known now");
                continue;
            }
        };
        let ours = status.partitions();
        for lag in lags {
            let records = lag.records();
            if ours.contains(&lag.partition) {
                gauges
                    .entry(lag.partition)
                    .or_insert_with_key(|partition| gauge_of(stage, partition))
                    .set(records as f64);
            } else if let Some(gauge) = gauges.get(&lag.partition) {
                // Whoever has it now tells how it stands; the sum over all processes stays right.
                gauge.set(0.0);
            }
        }
    }
}

fn gauge_of(stage: &'static str, partition: &TopicPartition) -> Gauge {
    let TopicPartition { topic, partition } = partition;
    gauge!(metric::LAG.name, "stage" => stage, "topic" => topic.to_string(), "partition" => partition.to_string())
}

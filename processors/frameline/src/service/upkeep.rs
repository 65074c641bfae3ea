//! What is to be done now and then where jobs are kept: none of it is urgent, and a failure waits for next time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use frameline_discover::Discover;
use frameline_runtime::moment::{now_ms, whole_ms};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::ports::Ports;

/// How often revisions are looked for whose `add` was killed before it had sent them.
const RESEND: Duration = Duration::from_secs(15);
/// An `add` that is at work has handed a revision over by then; if not, it comes twice, which is harmless.
const HAND_OVER: Duration = Duration::from_secs(5);
/// Jobs that are removed in one transaction.
const REMOVED_AT_ONCE: usize = 100;
const RETENTION: Duration = Duration::from_secs(3_600);
/// Nothing takes this long to be written.
const STAGED_FOR: Duration = Duration::from_secs(3_600);

/// Goes on until `stop`.
pub(super) async fn run(ports: Arc<Ports>, discover: Discover, stop: CancellationToken) -> Result<()> {
    let (mut resend, mut retention) = (interval(RESEND), interval(RETENTION));
    resend.set_missed_tick_behavior(MissedTickBehavior::Delay);
    retention.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = resend.tick() => tell("revisions sent again", discover.resend_pending(HAND_OVER).await),
            _ = retention.tick() => {
                tell("records past their retention deleted", ports.enforce_retention().await);
                tell("jobs past their retention removed", remove_ended(&ports, &stop).await);
                tell("staged blobs removed", sweep(&ports).await);
            }
        }
    }
}

/// In small batches, so that nobody waits long for a file's lock, or the one of all.
async fn remove_ended(ports: &Ports, stop: &CancellationToken) -> Result<usize> {
    let Some(retention) = ports.jobs_retention() else { return Ok(0) };
    let before_ms = now_ms().saturating_sub(whole_ms(retention));
    let store = ports.jobs().await?;
    let mut removed = 0;
    while !stop.is_cancelled() {
        let batch = store.remove_ended(before_ms, REMOVED_AT_ONCE).await?;
        removed += batch;
        if batch < REMOVED_AT_ONCE {
            break;
        }
    }
    Ok(removed)
}

async fn sweep(ports: &Ports) -> Result<usize> {
    Ok(ports.blobs()?.sweep(STAGED_FOR).await?)
}

fn tell<N, E>(what: &str, done: Result<N, E>)
where
    N: Default + PartialEq + std::fmt::Display,
    E: std::fmt::Display,
{
    match done {
        Ok(number) if number == N::default() => {}
        Ok(number) => tracing::info!(%number, "{what}"),
        Err(error) => tracing::warn!(%error, "not now: {what}"),
    }
}

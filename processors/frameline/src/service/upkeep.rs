//! What is to be done now and then where jobs are kept: none of it is urgent, and a failure waits for next time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use frameline_discover::Discover;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::ports::Ports;

/// How often revisions are looked for whose `add` was killed before it had sent them.
const RESEND: Duration = Duration::from_secs(15);
/// An `add` that is at work has handed a revision over by then; if not, it comes twice, which is harmless.
const HAND_OVER: Duration = Duration::from_secs(5);
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
                tell("staged blobs removed", sweep(&ports).await);
            }
        }
    }
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

//! SIGTERM and SIGINT: the first one drains, the second one ends at once.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::INTERRUPTED;
use crate::output;

/// A token that the first signal cancels.
pub(crate) fn stop_on_signals() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    let stop = CancellationToken::new();
    let drain = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        drain.cancel();
        output::note("stopping: finishing what is under way; once more to stop at once");
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(i32::from(INTERRUPTED));
    });
    Ok(stop)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

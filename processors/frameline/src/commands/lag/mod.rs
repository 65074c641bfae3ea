//! `frameline lag`: how many records each stage has before it, for how long, and how fast they go.

mod look;
mod pace;
mod rebuild;
mod report;

use std::io::{IsTerminal as _, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;
use frameline_runtime::log::operate::Operate;
use frameline_runtime::seldom::Seldom;
use tokio::time::sleep;

use super::Context;
use crate::cli::Lag;
use crate::output;
use crate::stages::Name;
pub(super) use look::{Look, StageLook};
use report::Report;

/// Clears a terminal, and goes to its upper left corner.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Whoever watches with `--every 0s` leaves the log some rest.
const SHORTEST_WATCH: Duration = Duration::from_millis(200);

pub(super) async fn run(context: Context, lag: Lag) -> Result<()> {
    context.needs_data()?;
    let log = context.ports.operate().await?;
    let names = lag.stage.map_or_else(|| Name::ALL.to_vec(), |name| vec![name]);
    let mut look = Look::take(log.as_ref(), &names).await?;
    let mut earlier = None;
    if !lag.watch && look.lag() > 0 && !lag.every.is_zero() {
        sleep(lag.every).await;
        earlier = Some(std::mem::replace(&mut look, Look::take(log.as_ref(), &names).await?));
    }
    // It is the stage `index` that a rebuild goes beside.
    let is_with_index = names.contains(&Name::Index);
    loop {
        let rebuild = if is_with_index { rebuild::look(&context).await } else { None };
        if lag.watch && !context.output.json && stdout().is_terminal() {
            output::line(CLEAR)?;
        }
        context.output.print(&Report::of(&look, earlier.as_ref(), rebuild, lag.stage.is_some()))?;
        if !lag.watch {
            return Ok(());
        }
        let next = next_look(log.as_ref(), &names, lag.every.max(SHORTEST_WATCH)).await;
        earlier = Some(std::mem::replace(&mut look, next));
    }
}

/// The next look that succeeds. Whoever watches wants to see trouble of the log come to its end: it is told, and what
/// was seen before it stays what rates are known from.
async fn next_look(log: &dyn Operate, names: &[Name], every: Duration) -> Look {
    let mut seldom = Seldom::default();
    loop {
        sleep(every).await;
        match Look::take(log, names).await {
            Ok(look) => return look,
            Err(error) => {
                if let Some(left_out) = seldom.say(Instant::now()) {
                    tracing::warn!(left_out, "the lag cannot be told just now: {error:#}");
                }
            }
        }
    }
}

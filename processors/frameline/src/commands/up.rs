//! `frameline up` and `frameline run STAGE…`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::cli;
use crate::output::count;
use crate::service::{Order, Service, stop_on_signals};
use crate::stages::Name;

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Ready { address: SocketAddr, data: PathBuf, pid: u32, stages: Vec<&'static str> },
    Stopped { unfinished: usize },
}

pub(super) async fn run(context: Context, command: cli::Serve) -> Result<()> {
    serve(context, command, Name::ALL.to_vec(), true).await
}

pub(super) async fn run_some(context: Context, mut command: cli::Run) -> Result<()> {
    command.stages.sort_unstable();
    command.stages.dedup();
    serve(context, command.serve, command.stages, false).await
}

async fn serve(context: Context, command: cli::Serve, stages: Vec<Name>, alone: bool) -> Result<()> {
    let stop = stop_on_signals()?;
    let config = &context.loaded.config;
    let names = stages.iter().map(|name| name.as_str()).collect();
    let listen = command.listen.unwrap_or(config.service.listen);
    if stages.contains(&Name::Jobs) && !context.ports.meet_jobs(&stop).await? {
        return context.output.print(&Event::Stopped { unfinished: 0 });
    }
    let order = Order { stages, alone, listen, instance: command.instance };
    let mut service = Service::start(&context.ports, config, &order, stop.clone()).await?;
    service.ready().await?;
    if !stop.is_cancelled() {
        let data = context.ports.data().root().to_owned();
        let ready = Event::Ready { address: service.address(), data, pid: std::process::id(), stages: names };
        context.output.print(&ready)?;
    }
    let statuses = service.statuses();
    service.run().await?;
    let unfinished = statuses.iter().map(|status| status.snapshot().in_flight).sum();
    context.output.print(&Event::Stopped { unfinished })
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Ready { address, data, stages, .. } => {
                writeln!(formatter, "ready: {} on {}", stages.join(", "), data.display())?;
                write!(formatter, "probes and metrics at http://{address}; Ctrl-C ends it")
            }
            Event::Stopped { unfinished: 0 } => {
                formatter.write_str("stopped; what was not begun goes on at the next start")
            }
            Event::Stopped { unfinished } => {
                let records = count(*unfinished, "record");
                write!(formatter, "stopped; {records} could not be finished in time and will be done again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_the_events_is_kept() {
        let ready = Event::Ready {
            address: "127.0.0.1:8470".parse().unwrap(),
            data: PathBuf::from("/srv/frameline"),
            pid: 7,
            stages: vec!["identify", "render"],
        };
        let events = [ready, Event::Stopped { unfinished: 0 }].map(|event| serde_json::to_value(event).unwrap());
        assert_eq!(events.as_slice(), documented("up"));
    }
}

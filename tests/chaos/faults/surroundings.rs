//! Faults of what the stages stand on: disk, blobs, clock, broker, network, index.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use frameline_tests::proxy::Weather;
use rustix::process::Signal;

use super::{Ongoing, Over};
use crate::schedule::{Sickness, Trouble};
use crate::world::{QDRANT_TIMEOUT, World};

/// The file that takes all the space.
struct Full(PathBuf);

pub(super) fn full_disk(world: &mut World) -> Result<Box<dyn Ongoing>> {
    match &world.disk {
        Some(disk) => Ok(Box::new(Full(disk.fill()?))),
        // Who may not mount a disk was told so at the start.
        None => Ok(Box::new(Over)),
    }
}

impl Ongoing for Full {
    fn end(self: Box<Self>, _: &mut World) -> Result<()> {
        Ok(fs::remove_file(self.0)?)
    }
}

/// A folder that nobody may use.
struct Locked(PathBuf);

pub(super) fn locked_blobs(world: &mut World) -> Result<Box<dyn Ongoing>> {
    let blobs = world.launch.data.join("blobs");
    fs::set_permissions(&blobs, Permissions::from_mode(0o000))?;
    Ok(Box::new(Locked(blobs)))
}

impl Ongoing for Locked {
    fn end(self: Box<Self>, _: &mut World) -> Result<()> {
        Ok(fs::set_permissions(self.0, Permissions::from_mode(0o755))?)
    }
}

/// The clock of all stages is wrong.
struct Jumped;

pub(super) fn clock_jump(seconds: i64, world: &mut World) -> Result<Box<dyn Ongoing>> {
    world.clock.set(seconds)?;
    Ok(Box::new(Jumped))
}

impl Ongoing for Jumped {
    fn end(self: Box<Self>, world: &mut World) -> Result<()> {
        world.clock.set(0)
    }
}

/// How long a broker may take to write the markers of transactions that it has decided on.
const DECISIONS: Duration = Duration::from_secs(2);

/// The broker is gone.
struct Gone;

pub(super) fn broker(world: &mut World) -> Result<Box<dyn Ongoing>> {
    if let Some(kafka) = &world.kafka {
        // Apache Kafka 4.3.1 that is killed between its decision on a transaction and the last marker may forget the
        // marker when it starts: readers of that partition then wait for ever. So nobody ends a transaction just then;
        // open ones there may be.
        let _nobody = world.feeding.lock().unwrap_or_else(PoisonError::into_inner);
        world.fleet.signal_all(Signal::STOP);
        thread::sleep(DECISIONS);
        kafka.broker.kill();
        world.fleet.signal_all(Signal::CONT);
    }
    Ok(Box::new(Gone))
}

impl Ongoing for Gone {
    fn end(self: Box<Self>, world: &mut World) -> Result<()> {
        match &world.kafka {
            Some(kafka) => kafka.broker.resume(),
            None => Ok(()),
        }
    }
}

/// The index is sick; where it is gone, this is where it was.
struct Sick(Option<u16>);

pub(super) fn qdrant(sickness: Sickness, world: &mut World) -> Result<Box<dyn Ongoing>> {
    let Some(qdrant) = &world.qdrant else { return Ok(Box::new(Over)) };
    let faults = match sickness {
        Sickness::Fails { status, after } => serde_json::json!({"fail": status, "share": 0.7, "after": after}),
        Sickness::Late => serde_json::json!({"delay_ms": 2 * QDRANT_TIMEOUT.as_millis() as u64}),
        Sickness::Gone => {
            let port = qdrant.port();
            qdrant.kill();
            return Ok(Box::new(Sick(Some(port))));
        }
    };
    qdrant.set_faults(Some(&faults));
    Ok(Box::new(Sick(None)))
}

impl Ongoing for Sick {
    fn end(self: Box<Self>, world: &mut World) -> Result<()> {
        match (&world.qdrant, self.0) {
            (Some(qdrant), Some(port)) => qdrant.resume(port),
            (Some(qdrant), None) => {
                qdrant.set_faults(None);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }
}

/// The way to the broker is bad.
struct Troubled;

pub(super) fn network(trouble: Trouble, world: &mut World) -> Result<Box<dyn Ongoing>> {
    if let Some(kafka) = &world.kafka {
        kafka.proxy.set(match trouble {
            Trouble::Cut => Weather::Cut,
            Trouble::Stall => Weather::Stalled,
            Trouble::Slow(delay) => Weather::Slow(delay),
        });
    }
    Ok(Box::new(Troubled))
}

impl Ongoing for Troubled {
    fn end(self: Box<Self>, world: &mut World) -> Result<()> {
        if let Some(kafka) = &world.kafka {
            kafka.proxy.set(Weather::Fair);
        }
        Ok(())
    }
}

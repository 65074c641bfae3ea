//! The faults, each a small thing: it begins, and it is mended.

mod processes;
mod surroundings;

use std::time::Instant;

use anyhow::Result;

use crate::schedule::{Fault, Step};
use crate::world::World;

/// A fault that has begun.
trait Ongoing {
    /// Mends it.
    fn end(self: Box<Self>, world: &mut World) -> Result<()>;

    /// Whether it waits for a process, which others have to set free first.
    fn ends_last(&self) -> bool {
        false
    }
}

/// What is mended by time alone, or by the one who tends the fleet.
struct Over;

impl Ongoing for Over {
    fn end(self: Box<Self>, _: &mut World) -> Result<()> {
        Ok(())
    }
}

/// Lets the faults of a step happen. `in_order` says whether all was well before.
pub(crate) fn happen(step: &Step, world: &mut World, in_order: bool) -> Result<()> {
    let is_alone = in_order && step.faults.len() == 1;
    let mut ongoing = Vec::new();
    for fault in &step.faults {
        let begun = begin(*fault, world, is_alone)?;
        ongoing.push((Instant::now() + fault.lasts(), begun));
    }
    ongoing.sort_by_key(|(until, fault)| (fault.ends_last(), *until));
    for (until, fault) in ongoing {
        world.fleet.tend_for(until.saturating_duration_since(Instant::now()))?;
        fault.end(world)?;
    }
    Ok(())
}

fn begin(fault: Fault, world: &mut World, is_alone: bool) -> Result<Box<dyn Ongoing>> {
    match fault {
        Fault::Kill { stage } => processes::kill(stage, world),
        Fault::KillAll => processes::kill_all(world),
        Fault::Terminate { stage } => processes::terminate(stage, world, is_alone),
        Fault::Freeze { stage, .. } => processes::freeze(stage, world),
        Fault::Replica { stage, end, .. } => processes::replica(stage, end, world),
        Fault::FullDisk { .. } => surroundings::full_disk(world),
        Fault::LockedBlobs { .. } => surroundings::locked_blobs(world),
        Fault::ClockJump { seconds, .. } => surroundings::clock_jump(seconds, world),
        Fault::Broker { .. } => surroundings::broker(world),
        Fault::Qdrant { sickness, .. } => surroundings::qdrant(sickness, world),
        Fault::Network { trouble, .. } => surroundings::network(trouble, world),
    }
}

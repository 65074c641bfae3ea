//! The faults, each a small thing: it begins, and it is mended.

mod processes;
mod surroundings;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::fleet::Name;
use crate::schedule::{Fault, Held, Step};
use crate::world::World;

/// How long a batch is held on when the faults have begun: enough for a signal to arrive, far less than a drain may
/// take.
const ARRIVAL: Duration = Duration::from_millis(250);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A fault that has begun.
trait Ongoing {
    /// Mends it.
    fn end(self: Box<Self>, world: &mut World) -> Result<()>;

    /// What its end waits for.
    fn waits_for(&self) -> WaitsFor {
        WaitsFor::Nothing
    }
}

/// Faults end in this order: what a later one waits for, an earlier one may have to mend first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WaitsFor {
    Nothing,
    /// Another process, which takes over.
    Successor,
    /// The process itself, which ends.
    End,
}

/// What is mended by time alone, or by the one who tends the fleet.
struct Over;

impl Ongoing for Over {
    fn end(self: Box<Self>, _: &mut World) -> Result<()> {
        Ok(())
    }
}

/// Closes the gate that is to hold a batch; before files come in.
pub(crate) fn prepare(step: &Step, world: &World) -> Result<()> {
    step.held.map_or(Ok(()), |held| Ok(world.launch.gate(Name::first(held.stage)).close()?))
}

/// Lets the faults of a step happen. `in_order` says whether all was well before.
pub(crate) fn happen(step: &Step, world: &mut World, in_order: bool) -> Result<()> {
    let is_alone = in_order && step.faults.len() == 1;
    step.held.map_or(Ok(()), |held| hold(held, world))?;
    let mut ongoing = Vec::new();
    for fault in &step.faults {
        let begun = begin(*fault, world, is_alone)?;
        ongoing.push((Instant::now() + fault.lasts(), begun));
    }
    if let Some(held) = step.held {
        world.fleet.tend_for(ARRIVAL)?;
        world.launch.gate(Name::first(held.stage)).open()?;
    }
    ongoing.sort_by_key(|(until, fault)| (fault.waits_for(), *until));
    for (until, fault) in ongoing {
        world.fleet.tend_for(until.saturating_duration_since(Instant::now()))?;
        fault.end(world)?;
    }
    Ok(())
}

/// Waits until the stage has a batch in its hands, and goes on with others for a while.
fn hold(held: Held, world: &mut World) -> Result<()> {
    let gate = world.launch.gate(Name::first(held.stage));
    let begun = Instant::now();
    while !gate.has_batch() && begun.elapsed() < held.patience {
        world.fleet.tend_for(LOOK_AGAIN)?;
    }
    if gate.has_batch() { world.fleet.tend_for(held.lasts) } else { Ok(()) }
}

fn begin(fault: Fault, world: &mut World, is_alone: bool) -> Result<Box<dyn Ongoing>> {
    match fault {
        Fault::Kill { stage } => processes::kill(stage, world),
        Fault::KillAll => processes::kill_all(world),
        Fault::Terminate { stage } => processes::terminate(stage, world, is_alone),
        Fault::Freeze { stage, lasts } => processes::freeze(stage, lasts, world),
        Fault::Replica { stage, end, .. } => processes::replica(stage, end, world),
        Fault::FullDisk { .. } => surroundings::full_disk(world),
        Fault::LockedBlobs { .. } => surroundings::locked_blobs(world),
        Fault::ClockJump { seconds, .. } => surroundings::clock_jump(seconds, world),
        Fault::Broker { .. } => surroundings::broker(world),
        Fault::Qdrant { sickness, .. } => surroundings::qdrant(sickness, world),
        Fault::Network { trouble, .. } => surroundings::network(trouble, world),
    }
}

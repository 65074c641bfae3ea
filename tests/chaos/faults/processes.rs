//! Faults of the stages' own processes.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Signal;

use super::{Ongoing, Over, WaitsFor};
use crate::fleet::{Leaving, Name};
use crate::schedule::{DRAIN_DEADLINE, End, SESSION_TIMEOUT, STAGES};
use crate::state;
use crate::world::World;

/// How long a process may take to end that was told to: its drain, and time to leave.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// How long a replica may take to be ready before the fault goes on without it.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take until another process has done what a frozen one has in its hands.
const SUCCESSION_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(super) fn kill(stage: &'static str, world: &mut World) -> Result<Box<dyn Ongoing>> {
    world.fleet.kill(Name::first(stage))?;
    Ok(Box::new(Over))
}

pub(super) fn kill_all(world: &mut World) -> Result<Box<dyn Ongoing>> {
    world.fleet.kill_all()?;
    Ok(Box::new(Over))
}

/// On its way out. With nothing else wrong it has to drain.
struct Terminated {
    stage: &'static str,
    leaving: Leaving,
    has_to_drain: bool,
}

pub(super) fn terminate(stage: &'static str, world: &mut World, is_alone: bool) -> Result<Box<dyn Ongoing>> {
    let Some(leaving) = world.fleet.terminate(Name::first(stage)) else { return Ok(Box::new(Over)) };
    let has_to_drain = is_alone && leaving.was_ready;
    Ok(Box::new(Terminated { stage, leaving, has_to_drain }))
}

impl Ongoing for Terminated {
    fn end(self: Box<Self>, world: &mut World) -> Result<()> {
        let Self { stage, leaving, has_to_drain } = *self;
        let stopped = leaving.end(STOP_PATIENCE)?;
        if has_to_drain && (!stopped.status.success() || stopped.unfinished != Some(0)) {
            world.findings.push(format!(
                "{stage} was told to stop, and did not drain within {DRAIN_DEADLINE:?}: {}, {:?} records unfinished, after {:?}",
                stopped.status, stopped.unfinished, stopped.took
            ));
        }
        Ok(())
    }

    fn waits_for(&self) -> WaitsFor {
        WaitsFor::End
    }
}

/// Stopped in its tracks. Where several may work on a stage, another one comes.
struct Frozen {
    stage: &'static str,
    /// The group gives it up, and the other one takes over.
    has_successor: bool,
}

pub(super) fn freeze(stage: &'static str, lasts: Duration, world: &mut World) -> Result<Box<dyn Ongoing>> {
    world.fleet.signal(Name::first(stage), Signal::STOP);
    if world.kafka.is_some() {
        world.fleet.add(Name::second(stage))?;
    }
    Ok(Box::new(Frozen { stage, has_successor: world.kafka.is_some() && lasts > SESSION_TIMEOUT }))
}

/// Waits until nothing is left to do for the stage, what the frozen process has in its hands included.
fn wait_for_successor(stage: &str, world: &mut World) -> Result<()> {
    let Some((_, topic)) = STAGES.iter().find(|(name, _)| *name == stage) else { return Ok(()) };
    let (log, runtime) = (world.log()?, world.runtime.clone());
    let begun = Instant::now();
    while begun.elapsed() < SUCCESSION_PATIENCE {
        if runtime.block_on(state::lag(&log, stage, topic)).is_ok_and(|lag| lag == 0) {
            return Ok(());
        }
        world.fleet.tend_for(LOOK_AGAIN)?;
    }
    Ok(())
}

impl Ongoing for Frozen {
    fn waits_for(&self) -> WaitsFor {
        if self.has_successor { WaitsFor::Successor } else { WaitsFor::Nothing }
    }

    fn end(self: Box<Self>, world: &mut World) -> Result<()> {
        if self.has_successor {
            wait_for_successor(self.stage, world)?;
        }
        world.fleet.signal(Name::first(self.stage), Signal::CONT);
        leave(self.stage, End::Terminate, world)
    }
}

/// One more, which is to go again.
struct Joined {
    stage: &'static str,
    end: End,
}

pub(super) fn replica(stage: &'static str, end: End, world: &mut World) -> Result<Box<dyn Ongoing>> {
    world.fleet.add(Name::second(stage))?;
    Ok(Box::new(Joined { stage, end }))
}

impl Ongoing for Joined {
    fn end(self: Box<Self>, world: &mut World) -> Result<()> {
        world.fleet.recover(JOIN_PATIENCE)?;
        leave(self.stage, self.end, world)
    }
}

fn leave(stage: &'static str, end: End, world: &mut World) -> Result<()> {
    let Some(process) = world.fleet.take(Name::second(stage)) else { return Ok(()) };
    match end {
        // Dropped is killed.
        End::Kill => drop(process),
        End::Terminate => {
            process.stop(STOP_PATIENCE)?;
        }
    }
    Ok(())
}

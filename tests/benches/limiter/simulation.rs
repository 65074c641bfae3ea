//! The limiter against a dependency in time that is a number, so that minutes of calls take no time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use frameline_runtime::limiter::{Limiter, Ticket};

use super::{HIDDEN_LIMITS, MOST, Outcome};

const PHASE_US: u64 = 30_000_000;
/// A call takes this long at least, and half of it more on average.
const CALL_US: f64 = 50_000.0;
const MORE_ON_AVERAGE: f64 = 0.5;
/// A refusal comes at once.
const REFUSAL_US: u64 = 1_000;

/// A call that is under way.
struct Call {
    ticket: Ticket,
    started_us: u64,
    is_refused: bool,
}

/// What the limiter reached, and the calls that the hidden limits had room for.
pub(super) fn run(seed: u64) -> (Outcome, f64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut limiter = Limiter::new(MOST);
    let mut outcome = Outcome { taken: 0, refused: 0 };
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut calls: BTreeMap<usize, Call> = BTreeMap::new();
    let (mut now_us, mut in_service, mut next_call) = (0, 0, 0);
    while let Some(hidden) = hidden_at(now_us) {
        while let Some(ticket) = limiter.start() {
            let is_refused = in_service >= hidden;
            in_service += usize::from(!is_refused);
            let more = -MORE_ON_AVERAGE * (1.0 - random.f64()).ln();
            let takes_us = if is_refused { REFUSAL_US } else { (CALL_US * (1.0 + more)) as u64 };
            ends.push(Reverse((now_us + takes_us, next_call)));
            calls.insert(next_call, Call { ticket, started_us: now_us, is_refused });
            next_call += 1;
        }
        let Some(Reverse((end_us, number))) = ends.pop() else { break };
        let Some(Call { ticket, started_us, is_refused }) = calls.remove(&number) else { break };
        now_us = end_us;
        in_service -= usize::from(!is_refused);
        outcome.taken += u64::from(!is_refused);
        outcome.refused += u64::from(is_refused);
        limiter.finish(ticket, Duration::from_micros(now_us - started_us), is_refused);
    }
    let room: usize = HIDDEN_LIMITS.iter().sum();
    (outcome, room as f64 * PHASE_US as f64 / (CALL_US * (1.0 + MORE_ON_AVERAGE)))
}

fn hidden_at(now_us: u64) -> Option<usize> {
    HIDDEN_LIMITS.get(usize::try_from(now_us / PHASE_US).ok()?).copied()
}

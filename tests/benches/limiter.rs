//! The adaptive limit of calls against a dependency that takes a number of calls at a time which nobody tells, and which
//! moves: in a simulation whose time is a number, and over HTTP. More calls than that are refused, with 429.
//!
//! The other always calls with exactly the limit that the dependency has at the moment: no fixed limit is better.

mod http;
mod simulation;

use crate::contest::{Better, Contest, Scores};

/// The calls that the dependency takes at a time, one after the other for as long each.
const HIDDEN_LIMITS: [usize; 6] = [8, 32, 12, 40, 16, 4];
/// What the limit may grow to.
const MOST: usize = 200;
const WORST_REFUSED_PERCENT: f64 = 2.0;

/// What came of one run.
struct Outcome {
    /// Calls that were taken.
    taken: u64,
    refused: u64,
}

impl Outcome {
    fn refused_percent(&self) -> f64 {
        // A score of 0 has no ratio.
        (100.0 * self.refused as f64 / (self.taken + self.refused) as f64).max(0.01)
    }
}

pub(crate) fn run(rounds: usize) -> anyhow::Result<Vec<(Contest, Scores)>> {
    let mut scores: [Scores; 4] = Default::default();
    for round in 1..=rounds {
        let (simulated, best) = simulation::run(round as u64);
        let (called, told) = http::run()?;
        let [simulated_used, simulated_refused, http_used, http_refused] = &mut scores;
        simulated_used.add(simulated.taken as f64, best);
        simulated_refused.add(simulated.refused_percent(), WORST_REFUSED_PERCENT);
        http_used.add(called.taken as f64, told.taken as f64);
        http_refused.add(called.refused_percent(), WORST_REFUSED_PERCENT);
        eprintln!(
            "round {round} of {rounds}: simulated {} calls of {best:.0}, {:.2} % refused; HTTP {} of {}, {:.2} % refused",
            simulated.taken,
            simulated.refused_percent(),
            called.taken,
            told.taken,
            called.refused_percent()
        );
    }
    let used = |name| Contest { name, against: "the hidden limit", unit: "calls", better: Better::More, goal: 0.8 };
    let refused = |name| Contest { name, against: "the most", unit: "% refused", better: Better::Less, goal: 1.0 };
    let contests = [
        used("limiter-simulated"),
        refused("limiter-simulated-429"),
        used("limiter-http"),
        refused("limiter-http-429"),
    ];
    Ok(contests.into_iter().zip(scores).collect())
}

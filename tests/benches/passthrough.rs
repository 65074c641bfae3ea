//! Copying a topic with exactly-once: the runtime's driver against a bare loop over the same client library.

mod bare;

use std::process;

use crate::contest::{Better, Contest, Scores};
use crate::copies::{self, Copies};

pub(crate) fn run(rounds: usize) -> anyhow::Result<(Contest, Scores)> {
    let copies = Copies::prepare()?;
    let contest = Contest {
        name: "passthrough",
        against: "a bare transaction loop",
        unit: "records/s",
        better: Better::More,
        goal: 0.6,
    };
    let scores = Scores::play(
        rounds,
        |round| Ok(copies.score(&format!("ours-{round}"), process::id(), copies::ours)?.records_per_s),
        |round| Ok(copies.score(&format!("bare-{round}"), process::id(), bare::pass)?.records_per_s),
    )?;
    Ok((contest, scores))
}

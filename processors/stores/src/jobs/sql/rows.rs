//! What columns hold that are no numbers and no plain texts.

use frameline_schemas::{Outcome, Step};

use super::Row;
use crate::jobs::status::{JobState, Totals, outcome_of};

const STEPS: [(Step, &str); 3] = [(Step::File, "file"), (Step::Unit, "unit"), (Step::End, "end")];

pub(super) fn step_name(step: Step) -> &'static str {
    STEPS.iter().find(|(other, _)| *other == step).map_or("", |(_, name)| *name)
}

pub(super) fn step(row: &impl Row) -> sqlx::Result<Step> {
    let name = row.text("step")?;
    let step = STEPS.iter().find(|(_, other)| *other == name).map(|(step, _)| *step);
    step.ok_or_else(|| corrupt("step", name))
}

pub(super) fn outcome(row: &impl Row) -> sqlx::Result<Outcome> {
    let rank = row.number("outcome")?;
    outcome_of(rank).ok_or_else(|| corrupt("outcome", rank))
}

pub(super) fn state(row: &impl Row) -> sqlx::Result<JobState> {
    let name = row.text("state")?;
    JobState::parse(name).ok_or_else(|| corrupt("state", name))
}

/// The totals in a job's row.
pub(super) fn totals(row: &impl Row) -> sqlx::Result<Totals> {
    let count = |column| -> sqlx::Result<Option<i32>> {
        let number = row.number_or_none(column)?;
        number.map(|number| i32::try_from(number).map_err(|_| corrupt(column, number))).transpose()
    };
    Ok(Totals { frames: count("frames")?, passages: count("passages")? })
}

pub(in crate::jobs) fn corrupt(column: &str, value: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("`{value}` in the column {column}").into())
}

//! What columns hold that are no numbers and no plain texts.

use frameline_schemas::{Outcome, Step};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::jobs::status::{JobState, outcome_of};

const STEPS: [(Step, &str); 3] = [(Step::File, "file"), (Step::Unit, "unit"), (Step::End, "end")];

pub(super) fn step_name(step: Step) -> &'static str {
    STEPS.iter().find(|(other, _)| *other == step).map_or("", |(_, name)| *name)
}

pub(super) fn step(row: &SqliteRow) -> sqlx::Result<Step> {
    let name: &str = row.try_get("step")?;
    let step = STEPS.iter().find(|(_, other)| *other == name).map(|(step, _)| *step);
    step.ok_or_else(|| corrupt("step", name))
}

pub(super) fn outcome(row: &SqliteRow) -> sqlx::Result<Outcome> {
    let rank: i64 = row.try_get("outcome")?;
    outcome_of(rank).ok_or_else(|| corrupt("outcome", rank))
}

pub(super) fn state(row: &SqliteRow) -> sqlx::Result<JobState> {
    let name: &str = row.try_get("state")?;
    JobState::parse(name).ok_or_else(|| corrupt("state", name))
}

pub(super) fn uuid(row: &SqliteRow, column: &str) -> sqlx::Result<Uuid> {
    let text: &str = row.try_get(column)?;
    Uuid::parse_str(text).map_err(|_| corrupt(column, text))
}

/// A unit's id; `None` where the column is empty.
pub(super) fn unit_id(row: &SqliteRow) -> sqlx::Result<Option<Uuid>> {
    let text: &str = row.try_get("unit_id")?;
    if text.is_empty() { Ok(None) } else { uuid(row, "unit_id").map(Some) }
}

fn corrupt(column: &str, value: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("`{value}` in the column {column}").into())
}

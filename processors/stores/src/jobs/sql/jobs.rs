//! The job store's side.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use frameline_schemas::{Outcome, Progress};
use uuid::Uuid;

use super::fold::{self, Fold};
use super::retention::{self, Removal};
use super::rows::{outcome, state, step, totals};
use super::statement::{ROWS_AT_ONCE, Statement};
use super::{Connection, Database, Row, limit_of};
use crate::jobs::changes::Changes;
use crate::jobs::status::{JobState, Tally, rank_of, union};
use crate::jobs::{Job, JobStore, StoreError, Trouble};

/// Among how many jobs a beginning of an id is looked up.
const AMBIGUOUS_AT_MOST: i64 = 1_000;
/// The least and the greatest id: what a beginning of one is completed with.
const LEAST_ID: &str = "00000000-0000-0000-0000-000000000000";
const GREATEST_ID: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

#[async_trait]
impl<D: Database> JobStore for D {
    async fn fold(&self, progress: &[Progress]) -> Result<(), StoreError> {
        self.answer(self.write(&Fold(union(progress)))).await
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let Some((least, greatest)) = ids_that_begin(id) else { return Ok(None) };
        let found = async {
            let select = Statement::new("select * from jobs where job_id between $1 and $2 order by job_id limit $3");
            let mut connection = self.connection().await?;
            let rows = connection.all(select.bind(least).bind(greatest).bind(AMBIGUOUS_AT_MOST)).await?;
            let count = rows.len();
            Ok((count, if count == 1 { views(&mut *connection, &rows).await?.pop() } else { None }))
        };
        match self.answer(found).await? {
            (0 | 1, job) => Ok(job),
            (count, _) => Err(StoreError::Ambiguous { prefix: id.to_ascii_lowercase(), count }),
        }
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        let select = Statement::new("select * from jobs order by created_at_ms desc, job_id desc limit $1");
        let found = async {
            let mut connection = self.connection().await?;
            let rows = connection.all(select.bind(limit_of(limit))).await?;
            views(&mut *connection, &rows).await
        };
        self.answer(found).await
    }

    async fn unfinished(&self, jobs: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let look = async {
            let mut open = HashSet::new();
            let mut connection = self.connection().await?;
            for ids in jobs.chunks(ROWS_AT_ONCE) {
                let select =
                    Statement::new("select job_id from jobs where state in ('queued', 'running') and job_id in ");
                for row in &connection.all(select.ids(ids)).await? {
                    open.insert(row.id("job_id")?);
                }
            }
            Ok(open)
        };
        let open = self.answer(look).await?;
        Ok(jobs.iter().copied().filter(|id| open.contains(id)).collect())
    }

    async fn troubles(&self, job_id: Uuid, limit: usize) -> Result<Vec<Trouble>, StoreError> {
        self.answer(async { troubles(&mut *self.connection().await?, job_id, limit_of(limit)).await }).await
    }

    async fn job_counts(&self) -> Result<BTreeMap<JobState, u64>, StoreError> {
        let count_all = async {
            let select = Statement::new("select state, count(*) as jobs from jobs group by state");
            let rows = self.connection().await?.all(select).await?;
            rows.iter().map(|row| Ok((state(row)?, row.number("jobs")?.unsigned_abs()))).collect()
        };
        self.answer(count_all).await
    }

    async fn overdue(&self, before_ms: i64) -> Result<u64, StoreError> {
        let count = async {
            let select = Statement::new(
                "select count(*) as jobs from jobs where state in ('queued', 'running') and created_at_ms < $1",
            );
            let rows = self.connection().await?.all(select.bind(before_ms)).await?;
            rows.first().map_or(Ok(0), |row| Ok(row.number("jobs")?.unsigned_abs()))
        };
        self.answer(count).await
    }

    async fn remove_ended(&self, before_ms: i64, limit: usize) -> Result<usize, StoreError> {
        let remove = async {
            let candidates = retention::candidates(&mut *self.connection().await?, before_ms, limit).await?;
            if candidates.is_empty() {
                return Ok(0);
            }
            self.write(&Removal { candidates, before_ms }).await
        };
        self.answer(remove).await
    }

    async fn changes(&self) -> Result<Changes, StoreError> {
        self.listen().await
    }
}

/// All ids that begin so lie between these two; `None` where no id does.
fn ids_that_begin(prefix: &str) -> Option<(Uuid, Uuid)> {
    let completed = |by: &str| Uuid::parse_str(&format!("{prefix}{}", by.get(prefix.len()..)?)).ok();
    if prefix.is_empty() { None } else { completed(LEAST_ID).zip(completed(GREATEST_ID)) }
}

async fn views<C: Connection>(connection: &mut C, rows: &[C::Row]) -> sqlx::Result<Vec<Job>> {
    let mut jobs = Vec::with_capacity(rows.len());
    for rows in rows.chunks(ROWS_AT_ONCE) {
        let ids = rows.iter().map(|row| row.id("job_id")).collect::<sqlx::Result<Vec<Uuid>>>()?;
        let mut tallies = fold::tallies(connection, &ids).await?;
        for (job_id, row) in ids.into_iter().zip(rows) {
            let mut job = view(row, job_id, tallies.remove(&job_id).unwrap_or_default())?;
            if matches!(job.state, JobState::Failed | JobState::Skipped) {
                job.trouble = troubles(connection, job_id, 1).await?.pop();
            }
            jobs.push(job);
        }
    }
    Ok(jobs)
}

/// A job as its row and its facts tell it, but for its trouble.
fn view(row: &impl Row, job_id: Uuid, counted: Tally) -> sqlx::Result<Job> {
    let totals = totals(row)?;
    let tally = Tally { totals, ..counted };
    let superseded_by = row.number_or_none("superseded_by")?;
    let state = tally.state(superseded_by.is_some());
    Ok(Job {
        job_id,
        file_id: row.id("file_id")?,
        revision: row.number("revision")?,
        name: row.text("name")?.to_owned(),
        state,
        percent: tally.percent(state),
        created_at_ms: row.number("created_at_ms")?,
        updated_at_ms: row.number("updated_at_ms")?,
        frames: totals.frames,
        passages: totals.passages,
        stages: tally.units,
        trouble: None,
        superseded_by,
    })
}

async fn troubles<C: Connection>(connection: &mut C, job_id: Uuid, limit: i64) -> sqlx::Result<Vec<Trouble>> {
    let select = Statement::new(
        "select * from facts where job_id = $1 and outcome < $2 and turn % 2 = 0 \
         order by outcome, case step when 'file' then 0 when 'end' then 1 else 2 end, at_ms, stage, unit_id limit $3",
    );
    let rows = connection.all(select.bind(job_id).bind(rank_of(Outcome::Done)).bind(limit)).await?;
    rows.iter().map(trouble).collect()
}

fn trouble(row: &impl Row) -> sqlx::Result<Trouble> {
    Ok(Trouble {
        stage: row.text("stage")?.to_owned(),
        step: step(row)?,
        unit_id: row.unit("unit_id")?,
        outcome: outcome(row)?,
        reason_code: row.text("reason_code")?.to_owned(),
        reason: row.text("reason")?.to_owned(),
        at_ms: row.number("at_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_of_an_id_stands_for_all_ids_that_begin_so() {
        let id = |text| Uuid::parse_str(text).unwrap();
        let between = |least, greatest| Some((id(least), id(greatest)));
        assert_eq!(
            ids_that_begin("7F3a"),
            between("7f3a0000-0000-0000-0000-000000000000", "7f3affff-ffff-ffff-ffff-ffffffffffff")
        );
        let whole = "7f3a1111-2222-3333-4444-555555555555";
        assert_eq!(ids_that_begin(whole), between(whole, whole));
        assert_eq!(
            ids_that_begin(&whole[..9]).map(|(least, _)| least),
            Some(id("7f3a1111-0000-0000-0000-000000000000"))
        );
        for none in ["", "x", "%", "7f3a-", "7f3a11112", "ö", &format!("{whole}0")] {
            assert_eq!(ids_that_begin(none), None, "{none}");
        }
    }
}

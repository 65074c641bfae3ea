//! The job store's side.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use frameline_schemas::{Outcome, Progress};
use frameline_sqlite::Transaction;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, SqliteConnection};
use uuid::Uuid;

use super::rows::{outcome, state, step, unit_id, uuid};
use super::{SqliteJobs, fold};
use crate::jobs::status::{JobState, Tally, rank_of, union};
use crate::jobs::{Job, JobStore, StoreError, Trouble};

/// Among how many jobs a beginning of an id is looked up.
const AMBIGUOUS_AT_MOST: i64 = 1_000;

#[async_trait]
impl JobStore for SqliteJobs {
    async fn fold(&self, progress: &[Progress]) -> Result<(), StoreError> {
        let fold_all = async {
            let mut transaction = Transaction::begin(&self.pool).await?;
            fold::fold(&mut transaction, &union(progress)).await?;
            transaction.commit().await
        };
        fold_all.await.map_err(|error| self.error(error))
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let prefix = id.to_ascii_lowercase();
        if prefix.is_empty() || !prefix.bytes().all(|letter| letter.is_ascii_hexdigit() || letter == b'-') {
            return Ok(None);
        }
        // `g` is behind all that ids are made of.
        let rows = sqlx::query("select * from jobs where job_id >= $1 and job_id < $2 order by job_id limit $3")
            .bind(&prefix)
            .bind(format!("{prefix}g"))
            .bind(AMBIGUOUS_AT_MOST)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.error(error))?;
        if rows.len() > 1 {
            return Err(StoreError::Ambiguous { prefix, count: rows.len() });
        }
        Ok(self.views(&rows).await?.pop())
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        let rows = sqlx::query("select * from jobs order by created_at_ms desc, job_id desc limit $1")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.error(error))?;
        self.views(&rows).await
    }

    async fn unfinished(&self, jobs: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let mut open = HashSet::new();
        for ids in jobs.chunks(fold::ROWS_AT_ONCE) {
            let mut query =
                QueryBuilder::new("select job_id from jobs where state in ('queued', 'running') and job_id in ");
            fold::push_ids(&mut query, ids);
            let rows = query.build().fetch_all(&self.pool).await.map_err(|error| self.error(error))?;
            for row in &rows {
                open.insert(uuid(row, "job_id").map_err(|error| self.error(error))?);
            }
        }
        Ok(jobs.iter().copied().filter(|id| open.contains(id)).collect())
    }

    async fn troubles(&self, job_id: Uuid, limit: usize) -> Result<Vec<Trouble>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = async { troubles(&mut *self.pool.acquire().await?, job_id, limit).await };
        found.await.map_err(|error| self.error(error))
    }

    async fn job_counts(&self) -> Result<BTreeMap<JobState, u64>, StoreError> {
        let count_all = async {
            let rows =
                sqlx::query("select state, count(*) as jobs from jobs group by state").fetch_all(&self.pool).await?;
            let mut counts = BTreeMap::new();
            for row in &rows {
                let count: i64 = row.try_get("jobs")?;
                counts.insert(state(row)?, count.unsigned_abs());
            }
            Ok(counts)
        };
        count_all.await.map_err(|error| self.error(error))
    }
}

impl SqliteJobs {
    async fn views(&self, rows: &[SqliteRow]) -> Result<Vec<Job>, StoreError> {
        let view_all = async {
            let mut connection = self.pool.acquire().await?;
            let mut jobs = Vec::with_capacity(rows.len());
            for row in rows {
                jobs.push(view(&mut connection, row).await?);
            }
            Ok(jobs)
        };
        view_all.await.map_err(|error| self.error(error))
    }
}

async fn view(connection: &mut SqliteConnection, row: &SqliteRow) -> sqlx::Result<Job> {
    let job_id = uuid(row, "job_id")?;
    let totals = fold::totals(row)?;
    let counted = fold::tallies(connection, &[job_id]).await?.remove(&job_id).unwrap_or_default();
    let tally = Tally { totals, ..counted };
    let superseded_by: Option<i64> = row.try_get("superseded_by")?;
    let state = tally.state(superseded_by.is_some());
    let is_troubled = matches!(state, JobState::Failed | JobState::Skipped);
    let trouble = if is_troubled { troubles(connection, job_id, 1).await?.pop() } else { None };
    Ok(Job {
        job_id,
        file_id: uuid(row, "file_id")?,
        revision: row.try_get("revision")?,
        name: row.try_get("name")?,
        state,
        percent: tally.percent(state),
        created_at_ms: row.try_get("created_at_ms")?,
        updated_at_ms: row.try_get("updated_at_ms")?,
        frames: totals.frames,
        passages: totals.passages,
        stages: tally.units,
        trouble,
        superseded_by,
    })
}

async fn troubles(connection: &mut SqliteConnection, job_id: Uuid, limit: i64) -> sqlx::Result<Vec<Trouble>> {
    let rows = sqlx::query(
        "select * from facts where job_id = $1 and outcome < $2 and turn % 2 = 0 \
         order by outcome, case step when 'file' then 0 when 'end' then 1 else 2 end, at_ms, stage, unit_id limit $3",
    )
    .bind(job_id.to_string())
    .bind(rank_of(Outcome::Done))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(trouble).collect()
}

fn trouble(row: &SqliteRow) -> sqlx::Result<Trouble> {
    Ok(Trouble {
        stage: row.try_get("stage")?,
        step: step(row)?,
        unit_id: unit_id(row)?,
        outcome: outcome(row)?,
        reason_code: row.try_get("reason_code")?,
        reason: row.try_get("reason")?,
        at_ms: row.try_get("at_ms")?,
    })
}

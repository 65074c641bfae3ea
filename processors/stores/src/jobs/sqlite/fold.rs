//! What is written of jobs, within a transaction. A fold is a handful of statements, however many jobs it is about.

use std::collections::BTreeMap;

use frameline_schemas::Head;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::rows::{outcome, state, step, step_name, uuid};
use crate::jobs::status::{JobFacts, JobState, Tally, Totals, is_taken_back};

/// How many rows or ids one statement has: SQLite takes 32,766 values, PostgreSQL 65,535, and a row has ten.
pub(super) const ROWS_AT_ONCE: usize = 500;

/// What of a job's row is not in its facts.
#[derive(Default)]
struct Known {
    superseded_by: Option<i64>,
    updated_at_ms: i64,
    totals: Totals,
}

/// Takes in what was told of jobs.
pub(super) async fn fold(connection: &mut SqliteConnection, told: &BTreeMap<Uuid, JobFacts>) -> sqlx::Result<()> {
    let jobs: Vec<(&Uuid, &JobFacts)> = told.iter().collect();
    for jobs in jobs.chunks(ROWS_AT_ONCE) {
        let ids: Vec<Uuid> = jobs.iter().map(|(job_id, _)| **job_id).collect();
        write_facts(connection, jobs).await?;
        let mut known = known(connection, &ids).await?;
        let mut tallies = tallies(connection, &ids).await?;
        let mut rows = Vec::with_capacity(jobs.len());
        for (job_id, told) in jobs {
            // A job may be told of before it is offered here, where its file came from elsewhere.
            let known = match known.remove(*job_id) {
                Some(known) => known,
                None => Known { superseded_by: newer(connection, &told.head).await?, ..Known::default() },
            };
            let totals = known.totals.join(told.totals);
            let tally = Tally { totals, ..tallies.remove(*job_id).unwrap_or_default() };
            let state = tally.state(known.superseded_by.is_some());
            let updated_at_ms = known.updated_at_ms.max(told.last_at_ms);
            rows.push((*told, Known { totals, updated_at_ms, ..known }, state));
        }
        write_jobs(connection, &rows).await?;
    }
    Ok(())
}

/// Joins facts to those that are there, by the order of [`crate::jobs::status::Fact`].
async fn write_facts(connection: &mut SqliteConnection, jobs: &[(&Uuid, &JobFacts)]) -> sqlx::Result<()> {
    let facts: Vec<_> =
        jobs.iter().flat_map(|(job_id, told)| told.facts.iter().map(|(key, fact)| (**job_id, key, fact))).collect();
    for facts in facts.chunks(ROWS_AT_ONCE) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "insert into facts (job_id, stage, step, unit_id, outcome, turn, at_ms, reason_code, reason) ",
        );
        insert.push_values(facts, |mut row, (job_id, key, fact)| {
            row.push_bind(job_id.to_string())
                .push_bind(&key.stage)
                .push_bind(step_name(key.step))
                .push_bind(key.unit_id.map(|unit_id| unit_id.to_string()).unwrap_or_default())
                .push_bind(fact.rank)
                .push_bind(fact.turn)
                .push_bind(fact.at_ms)
                .push_bind(&fact.reason_code)
                .push_bind(&fact.reason);
        });
        insert.push(
            " on conflict (job_id, stage, step, unit_id) do update set outcome = excluded.outcome, \
             turn = excluded.turn, at_ms = excluded.at_ms, reason_code = excluded.reason_code, reason = excluded.reason \
             where (excluded.outcome, excluded.turn, excluded.at_ms, excluded.reason_code, excluded.reason) \
             > (facts.outcome, facts.turn, facts.at_ms, facts.reason_code, facts.reason)",
        );
        insert.build().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_jobs(connection: &mut SqliteConnection, jobs: &[(&JobFacts, Known, JobState)]) -> sqlx::Result<()> {
    let mut insert = QueryBuilder::<Sqlite>::new(
        "insert into jobs (job_id, file_id, revision, name, state, superseded_by, created_at_ms, updated_at_ms, \
         frames, passages) ",
    );
    insert.push_values(jobs, |mut row, (told, known, state)| {
        row.push_bind(told.head.job_id.to_string())
            .push_bind(told.head.file_id.to_string())
            .push_bind(told.head.revision)
            .push_bind(&told.head.file_name)
            .push_bind(state.as_str())
            .push_bind(known.superseded_by)
            .push_bind(told.first_at_ms)
            .push_bind(known.updated_at_ms)
            .push_bind(known.totals.frames)
            .push_bind(known.totals.passages);
    });
    insert.push(
        " on conflict (job_id) do update set state = excluded.state, updated_at_ms = excluded.updated_at_ms, \
         frames = excluded.frames, passages = excluded.passages",
    );
    insert.build().execute(connection).await.map(drop)
}

/// Writes a job that is queued.
pub(super) async fn create(connection: &mut SqliteConnection, head: &Head, at_ms: i64) -> sqlx::Result<()> {
    let job = JobFacts::new(head.clone(), at_ms);
    let known = Known { updated_at_ms: at_ms, ..Known::default() };
    write_jobs(connection, &[(&job, known, JobState::Queued)]).await
}

/// A revision takes the place of all older ones whose jobs have not ended.
pub(super) async fn supersede(connection: &mut SqliteConnection, file_id: Uuid, revision: i64) -> sqlx::Result<()> {
    sqlx::query(
        "update jobs set superseded_by = $2, state = $3 \
         where file_id = $1 and revision < $2 and state in ('queued', 'running')",
    )
    .bind(file_id.to_string())
    .bind(revision)
    .bind(JobState::Skipped.as_str())
    .execute(connection)
    .await
    .map(drop)
}

/// The newest revision that came after this one.
async fn newer(connection: &mut SqliteConnection, head: &Head) -> sqlx::Result<Option<i64>> {
    let (newest,): (Option<i64>,) =
        sqlx::query_as("select max(revision) from jobs where file_id = $1 and revision > $2")
            .bind(head.file_id.to_string())
            .bind(head.revision)
            .fetch_one(connection)
            .await?;
    Ok(newest)
}

/// What a job has come to; queued where there is none.
pub(super) async fn state_of(connection: &mut SqliteConnection, job_id: Uuid) -> sqlx::Result<JobState> {
    let row = sqlx::query("select state from jobs where job_id = $1")
        .bind(job_id.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map_or(Ok(JobState::Queued), state)
}

async fn known(connection: &mut SqliteConnection, ids: &[Uuid]) -> sqlx::Result<BTreeMap<Uuid, Known>> {
    let mut query =
        QueryBuilder::new("select job_id, superseded_by, updated_at_ms, frames, passages from jobs where job_id in ");
    push_ids(&mut query, ids);
    let mut jobs = BTreeMap::new();
    for row in &query.build().fetch_all(connection).await? {
        let superseded_by = row.try_get("superseded_by")?;
        let updated_at_ms = row.try_get("updated_at_ms")?;
        jobs.insert(uuid(row, "job_id")?, Known { superseded_by, updated_at_ms, totals: totals(row)? });
    }
    Ok(jobs)
}

/// Counts the facts of jobs, without their totals.
pub(super) async fn tallies(connection: &mut SqliteConnection, ids: &[Uuid]) -> sqlx::Result<BTreeMap<Uuid, Tally>> {
    let mut query =
        QueryBuilder::new("select job_id, stage, step, outcome, turn, count(*) as facts from facts where job_id in ");
    push_ids(&mut query, ids);
    query.push(" group by job_id, stage, step, outcome, turn");
    let mut tallies: BTreeMap<Uuid, Tally> = BTreeMap::new();
    for row in &query.build().fetch_all(connection).await? {
        let count: i64 = row.try_get("facts")?;
        let tally = tallies.entry(uuid(row, "job_id")?).or_default();
        let turn: i64 = row.try_get("turn")?;
        if is_taken_back(turn) {
            tally.take_back(count.unsigned_abs());
        } else {
            tally.add(row.try_get("stage")?, step(row)?, outcome(row)?, count.unsigned_abs());
        }
    }
    Ok(tallies)
}

/// The totals in a job's row.
pub(super) fn totals(row: &SqliteRow) -> sqlx::Result<Totals> {
    Ok(Totals { frames: row.try_get("frames")?, passages: row.try_get("passages")? })
}

pub(super) fn push_ids(query: &mut QueryBuilder<Sqlite>, ids: &[Uuid]) {
    query.push("(");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id.to_string());
    }
    query.push(")");
}

//! What is written of jobs, within a transaction. A fold is a handful of statements, however many jobs it is about.

use std::collections::BTreeMap;

use frameline_schemas::Head;
use uuid::Uuid;

use super::rows::{outcome, state, step, step_name, totals};
use super::statement::{ROWS_AT_ONCE, Statement, Value};
use super::{Connection, Row, Work};
use crate::jobs::status::{JobFacts, JobState, Tally, Totals, is_taken_back};

/// What was told of jobs.
pub(super) struct Fold(pub(super) BTreeMap<Uuid, JobFacts>);

impl Work for Fold {
    type Done = ();

    fn files(&self) -> Vec<Uuid> {
        self.0.values().map(|told| told.head.file_id).collect()
    }

    async fn run(&self, connection: &mut impl Connection) -> sqlx::Result<()> {
        fold(connection, &self.0).await
    }
}

/// What of a job's row is not in its facts.
#[derive(Default)]
struct Known {
    superseded_by: Option<i64>,
    updated_at_ms: i64,
    totals: Totals,
}

/// Takes in what was told of jobs.
pub(super) async fn fold<C: Connection>(connection: &mut C, told: &BTreeMap<Uuid, JobFacts>) -> sqlx::Result<()> {
    let jobs: Vec<(Uuid, &JobFacts)> = told.iter().map(|(job_id, told)| (*job_id, told)).collect();
    for jobs in jobs.chunks(ROWS_AT_ONCE) {
        let ids: Vec<Uuid> = jobs.iter().map(|(job_id, _)| *job_id).collect();
        write_facts(connection, jobs).await?;
        let mut known = known(connection, &ids).await?;
        let mut tallies = tallies(connection, &ids).await?;
        let mut rows = Vec::with_capacity(jobs.len());
        for (job_id, told) in jobs {
            // A job may be told of before it is offered here, where its file came from elsewhere.
            let known = match known.remove(job_id) {
                Some(known) => known,
                None => Known { superseded_by: newer(connection, &told.head).await?, ..Known::default() },
            };
            let totals = known.totals.join(told.totals);
            let tally = Tally { totals, ..tallies.remove(job_id).unwrap_or_default() };
            let state = tally.state(known.superseded_by.is_some());
            let updated_at_ms = known.updated_at_ms.max(told.last_at_ms);
            rows.push((*told, Known { totals, updated_at_ms, ..known }, state));
        }
        write_jobs(connection, &rows).await?;
    }
    Ok(())
}

/// Joins facts to those that are there, by the order of [`crate::jobs::status::Fact`].
async fn write_facts<C: Connection>(connection: &mut C, jobs: &[(Uuid, &JobFacts)]) -> sqlx::Result<()> {
    let facts: Vec<_> =
        jobs.iter().flat_map(|(job_id, told)| told.facts.iter().map(|(key, fact)| (*job_id, key, fact))).collect();
    for facts in facts.chunks(ROWS_AT_ONCE) {
        let rows = facts.iter().map(|(job_id, key, fact)| {
            [
                Value::Id(*job_id),
                key.stage.as_str().into(),
                step_name(key.step).into(),
                Value::Unit(key.unit_id),
                fact.rank.into(),
                fact.turn.into(),
                fact.at_ms.into(),
                fact.reason_code.as_str().into(),
                fact.reason.as_str().into(),
            ]
        });
        let insert = Statement::new(
            "insert into facts (job_id, stage, step, unit_id, outcome, turn, at_ms, reason_code, reason) ",
        );
        let insert = insert.rows(rows).then(
            " on conflict (job_id, stage, step, unit_id) do update set outcome = excluded.outcome, \
             turn = excluded.turn, at_ms = excluded.at_ms, reason_code = excluded.reason_code, reason = excluded.reason \
             where (excluded.outcome, excluded.turn, excluded.at_ms, excluded.reason_code, excluded.reason) \
             > (facts.outcome, facts.turn, facts.at_ms, facts.reason_code, facts.reason)",
        );
        connection.run(insert).await?;
    }
    Ok(())
}

async fn write_jobs<C: Connection>(connection: &mut C, jobs: &[(&JobFacts, Known, JobState)]) -> sqlx::Result<()> {
    let rows = jobs.iter().map(|(told, known, state)| {
        [
            Value::Id(told.head.job_id),
            Value::Id(told.head.file_id),
            told.head.revision.into(),
            told.head.file_name.as_str().into(),
            state.as_str().into(),
            known.superseded_by.into(),
            told.first_at_ms.into(),
            known.updated_at_ms.into(),
            known.totals.frames.map(i64::from).into(),
            known.totals.passages.map(i64::from).into(),
        ]
    });
    let insert = Statement::new(
        "insert into jobs (job_id, file_id, revision, name, state, superseded_by, created_at_ms, updated_at_ms, \
         frames, passages) ",
    );
    let insert = insert.rows(rows).then(
        " on conflict (job_id) do update set state = excluded.state, updated_at_ms = excluded.updated_at_ms, \
         frames = excluded.frames, passages = excluded.passages",
    );
    connection.run(insert).await?;
    let ids: Vec<Uuid> = jobs.iter().map(|(told, ..)| told.head.job_id).collect();
    connection.tell(&ids).await
}

/// Writes a job that is queued.
pub(super) async fn create<C: Connection>(connection: &mut C, head: &Head, at_ms: i64) -> sqlx::Result<()> {
    let job = JobFacts::new(head.clone(), at_ms);
    let known = Known { updated_at_ms: at_ms, ..Known::default() };
    write_jobs(connection, &[(&job, known, JobState::Queued)]).await
}

/// A revision takes the place of all older ones whose jobs have not ended.
pub(super) async fn supersede<C: Connection>(connection: &mut C, file_id: Uuid, revision: i64) -> sqlx::Result<()> {
    let update = Statement::new(
        "update jobs set superseded_by = $2, state = $3 \
         where file_id = $1 and revision < $2 and state in ('queued', 'running') returning job_id",
    );
    let superseded = connection.all(update.bind(file_id).bind(revision).bind(JobState::Skipped.as_str())).await?;
    let ids = superseded.iter().map(|row| row.id("job_id")).collect::<sqlx::Result<Vec<Uuid>>>()?;
    connection.tell(&ids).await
}

/// The newest revision that came after this one.
async fn newer<C: Connection>(connection: &mut C, head: &Head) -> sqlx::Result<Option<i64>> {
    let select = Statement::new("select max(revision) as newest from jobs where file_id = $1 and revision > $2");
    let rows = connection.all(select.bind(head.file_id).bind(head.revision)).await?;
    rows.first().map_or(Ok(None), |row| row.number_or_none("newest"))
}

/// What a job has come to; queued where there is none.
pub(super) async fn state_of<C: Connection>(connection: &mut C, job_id: Uuid) -> sqlx::Result<JobState> {
    let rows = connection.all(Statement::new("select state from jobs where job_id = $1").bind(job_id)).await?;
    rows.first().map_or(Ok(JobState::Queued), state)
}

async fn known<C: Connection>(connection: &mut C, ids: &[Uuid]) -> sqlx::Result<BTreeMap<Uuid, Known>> {
    let select =
        Statement::new("select job_id, superseded_by, updated_at_ms, frames, passages from jobs where job_id in ");
    let mut jobs = BTreeMap::new();
    for row in &connection.all(select.ids(ids)).await? {
        let superseded_by = row.number_or_none("superseded_by")?;
        let updated_at_ms = row.number("updated_at_ms")?;
        jobs.insert(row.id("job_id")?, Known { superseded_by, updated_at_ms, totals: totals(row)? });
    }
    Ok(jobs)
}

/// Counts the facts of jobs, without their totals.
pub(super) async fn tallies<C: Connection>(connection: &mut C, ids: &[Uuid]) -> sqlx::Result<BTreeMap<Uuid, Tally>> {
    let select =
        Statement::new("select job_id, stage, step, outcome, turn, count(*) as facts from facts where job_id in ");
    let mut tallies: BTreeMap<Uuid, Tally> = BTreeMap::new();
    for row in &connection.all(select.ids(ids).then(" group by job_id, stage, step, outcome, turn")).await? {
        let count = row.number("facts")?.unsigned_abs();
        let tally = tallies.entry(row.id("job_id")?).or_default();
        if is_taken_back(row.number("turn")?) {
            tally.take_back(count);
        } else {
            tally.add(row.text("stage")?, step(row)?, outcome(row)?, count);
        }
    }
    Ok(tallies)
}

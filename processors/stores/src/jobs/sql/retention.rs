//! Which jobs are old enough to go. Files stay: their entries are what the next offer is held against.

use uuid::Uuid;

use super::statement::{ROWS_AT_ONCE, Statement};
use super::{Connection, Row, Work};

/// Of a job and when it ended. A failed job of its file's newest revision stays: it is why the same content becomes
/// another revision when it is offered again.
const HAS_LONG_ENDED: &str = "state not in ('queued', 'running') and updated_at_ms < $1 and not (state = 'failed' \
     and exists (select 1 from files where files.file_id = jobs.file_id and files.revision = jobs.revision))";

/// Jobs that may go.
pub(super) struct Removal {
    /// The jobs and their files.
    pub(super) candidates: Vec<(Uuid, Uuid)>,
    /// Those that ended before, in milliseconds since 1970.
    pub(super) before_ms: i64,
}

/// Jobs that ended before `before_ms`, and their files; the oldest first.
pub(super) async fn candidates<C: Connection>(
    connection: &mut C,
    before_ms: i64,
    limit: usize,
) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    // None has ended before it was made; jobs are indexed by when they were.
    let select = Statement::new("select job_id, file_id from jobs where created_at_ms < $1 and ")
        .bind(before_ms)
        .then(HAS_LONG_ENDED)
        .then(" order by created_at_ms limit ")
        .value(super::limit_of(limit.min(ROWS_AT_ONCE)));
    let rows = connection.all(select).await?;
    rows.iter().map(|row| Ok((row.id("job_id")?, row.id("file_id")?))).collect()
}

impl Work for Removal {
    type Done = usize;

    fn files(&self) -> Vec<Uuid> {
        self.candidates.iter().map(|(_, file_id)| *file_id).collect()
    }

    /// Looks again: something may have been told of a job meanwhile.
    async fn run(&self, connection: &mut impl Connection) -> sqlx::Result<usize> {
        let jobs: Vec<Uuid> = self.candidates.iter().map(|(job_id, _)| *job_id).collect();
        let delete = Statement::new("delete from jobs where ").bind(self.before_ms).then(HAS_LONG_ENDED);
        let removed = connection.all(delete.then(" and job_id in ").ids(&jobs).then(" returning job_id")).await?;
        let removed = removed.iter().map(|row| row.id("job_id")).collect::<sqlx::Result<Vec<Uuid>>>()?;
        if !removed.is_empty() {
            connection.run(Statement::new("delete from facts where job_id in ").ids(&removed)).await?;
        }
        Ok(removed.len())
    }
}

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

#[cfg(test)]
mod tests {
    use frameline_schemas::{File, Outcome, Progress, Step};

    use super::super::Database as _;
    use super::*;
    use crate::jobs::{Catalogue as _, Decision, FileContent, JobStore as _, Offer, Offered, SqliteJobs};

    fn ended(file: &File, at_ms: i64) -> Progress {
        Progress {
            head: file.head.clone(),
            stage: "index".to_owned(),
            step: Step::End,
            unit_id: None,
            outcome: Outcome::Done,
            reason_code: None,
            reason: None,
            frames: None,
            passages: None,
            at: at_ms,
            redrives: 0,
            redriven: false,
        }
    }

    #[tokio::test]
    async fn something_told_between_the_look_and_the_removal_keeps_a_job() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap();
        let offer = |path: &[u8]| Offer {
            tenant: "default".to_owned(),
            path: path.to_vec(),
            name: String::new(),
            size_bytes: 5,
            modified_at_ms: 7,
            discovered_at_ms: 9,
            what: Offered::Content(FileContent { uri: "blob:files/h".to_owned(), hash: "h".to_owned() }),
        };
        let decided = store.offer(&[offer(b"/a.svg"), offer(b"/b.svg")]).await.unwrap();
        let files: Vec<File> = decided
            .into_iter()
            .map(|decision| match decision {
                Decision::Send(entry) => entry.record(),
                other => panic!("{other:?}"),
            })
            .collect();
        store.fold(&[ended(&files[0], 20), ended(&files[1], 20)]).await.unwrap();
        let found = candidates(&mut *store.connection().await.unwrap(), 21, 100).await.unwrap();
        assert_eq!(found.len(), 2);
        store.fold(&[ended(&files[0], 1_000)]).await.unwrap();
        assert_eq!(store.write(&Removal { candidates: found, before_ms: 21 }).await.unwrap(), 1);
        let left = store.jobs(10).await.unwrap();
        assert_eq!(left.iter().map(|job| job.updated_at_ms).collect::<Vec<_>>(), [1_000]);
    }
}

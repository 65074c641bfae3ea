//! The catalogue's side.

use std::collections::BTreeMap;

use async_trait::async_trait;
use frameline_schemas::{Outcome, Progress, Step, file_id};
use frameline_sqlite::Transaction;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, SqliteConnection};
use uuid::Uuid;

use super::rows::uuid;
use super::{SqliteJobs, fold};
use crate::jobs::catalogue::{Verdict, judge, next_revision};
use crate::jobs::status::{JobState, union};
use crate::jobs::{Catalogue, Decision, FileContent, FileCounts, FileEntry, HandOver, Offer, Offered, StoreError};

#[async_trait]
impl Catalogue for SqliteJobs {
    async fn offer(&self, offers: &[Offer]) -> Result<Vec<Decision>, StoreError> {
        let decide_all = async {
            let mut transaction = Transaction::begin(&self.pool).await?;
            let mut decisions = Vec::with_capacity(offers.len());
            for offer in offers {
                decisions.push(decide(&mut transaction, offer).await?);
            }
            transaction.commit().await?;
            Ok(decisions)
        };
        decide_all.await.map_err(|error| self.error(error))
    }

    async fn pending(&self, found_by_ms: i64, limit: usize) -> Result<Vec<FileEntry>, StoreError> {
        let query = "select * from files where is_pending and discovered_at_ms <= $1 order by file_id limit $2";
        let rows = sqlx::query(query).bind(found_by_ms).bind(limit_of(limit)).fetch_all(&self.pool).await;
        rows.and_then(entries).map_err(|error| self.error(error))
    }

    async fn sent(&self, revisions: &[(Uuid, i64)]) -> Result<(), StoreError> {
        for revisions in revisions.chunks(fold::ROWS_AT_ONCE) {
            // A newer revision may have come meanwhile, and that one is not sent.
            let mut update = QueryBuilder::new("update files set is_pending = false where (file_id, revision) in (");
            update.push_values(revisions, |mut row, (file_id, revision)| {
                row.push_bind(file_id.to_string()).push_bind(revision);
            });
            update.push(")");
            update.build().execute(&self.pool).await.map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    async fn file(&self, tenant: &str, path: &[u8]) -> Result<Option<FileEntry>, StoreError> {
        let row = sqlx::query("select * from files where file_id = $1")
            .bind(file_id(tenant, path).to_string())
            .fetch_optional(&self.pool)
            .await;
        let entry = row.and_then(|row| row.as_ref().map(entry).transpose());
        entry.map_err(|error| self.error(error))
    }

    async fn files_below(
        &self,
        tenant: &str,
        folder: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, StoreError> {
        let (first, end) = paths_below(folder);
        let rows = sqlx::query(
            "select * from files where tenant = $1 and path > $2 and path < $3 and (is_pending or not is_deleted) \
             order by path limit $4",
        )
        .bind(tenant)
        .bind(after.unwrap_or(&first))
        .bind(end.as_slice())
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await;
        rows.and_then(entries).map_err(|error| self.error(error))
    }

    async fn newest_revisions(&self, files: &[Uuid]) -> Result<BTreeMap<Uuid, i64>, StoreError> {
        let mut newest = BTreeMap::new();
        for files in files.chunks(fold::ROWS_AT_ONCE) {
            let mut query = QueryBuilder::new("select file_id, revision from files where file_id in ");
            fold::push_ids(&mut query, files);
            let rows = query.build().fetch_all(&self.pool).await;
            let read = |row: &SqliteRow| Ok((uuid(row, "file_id")?, row.try_get("revision")?));
            let found = rows.and_then(|rows| rows.iter().map(read).collect::<sqlx::Result<Vec<(Uuid, i64)>>>());
            newest.extend(found.map_err(|error| self.error(error))?);
        }
        Ok(newest)
    }

    async fn files_after(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<FileEntry>, StoreError> {
        let rows = sqlx::query("select * from files where file_id > $1 order by file_id limit $2")
            .bind(after.map_or_else(String::new, |after| after.to_string()))
            .bind(limit_of(limit))
            .fetch_all(&self.pool)
            .await;
        rows.and_then(entries).map_err(|error| self.error(error))
    }

    async fn file_counts(&self) -> Result<FileCounts, StoreError> {
        let counts: sqlx::Result<Vec<(bool, bool, i64)>> =
            sqlx::query_as("select is_pending, is_deleted, count(*) from files group by is_pending, is_deleted")
                .fetch_all(&self.pool)
                .await;
        let mut files = FileCounts::default();
        for (is_pending, is_deleted, count) in counts.map_err(|error| self.error(error))? {
            let count = count.unsigned_abs();
            files.pending += if is_pending { count } else { 0 };
            *(if is_deleted { &mut files.deleted } else { &mut files.files }) += count;
        }
        Ok(files)
    }
}

/// Everything below a folder begins with its path and `/`, and so lies between `/` and the byte behind it.
fn paths_below(folder: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    ([folder, b"/"].concat(), [folder, &[b'/' + 1]].concat())
}

fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

async fn decide(connection: &mut SqliteConnection, offer: &Offer) -> sqlx::Result<Decision> {
    let row = sqlx::query("select * from files where file_id = $1")
        .bind(file_id(&offer.tenant, &offer.path).to_string())
        .fetch_optional(&mut *connection)
        .await?;
    let known = row.as_ref().map(entry).transpose()?;
    let job_state = match &known {
        Some(entry) => fold::state_of(connection, entry.job_id()).await?,
        None => JobState::Queued,
    };
    let is_refused = matches!(offer.what, Offered::Refused { .. });
    let verdict = judge(known.as_ref().map(|entry| (entry, job_state)), offer);
    match (verdict, known) {
        (Verdict::SendAgain, Some(entry)) => Ok(Decision::Send(entry)),
        (Verdict::Keep, Some(entry)) if is_refused => Ok(Decision::Refused(entry)),
        (Verdict::Keep, Some(entry)) => Ok(Decision::Unchanged(entry)),
        (Verdict::NextRevision, known) => {
            let entry = next_revision(known.as_ref(), offer);
            write_revision(connection, &entry, offer).await?;
            Ok(if is_refused { Decision::Refused(entry) } else { Decision::Send(entry) })
        }
        (Verdict::Unknown | Verdict::SendAgain | Verdict::Keep, _) => Ok(Decision::Unknown),
    }
}

async fn write_revision(connection: &mut SqliteConnection, entry: &FileEntry, offer: &Offer) -> sqlx::Result<()> {
    sqlx::query(
        "insert into files (file_id, tenant, path, name, revision, content_uri, content_hash, size_bytes, \
         modified_at_ms, discovered_at_ms, is_pending, is_deleted) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         on conflict (file_id) do update set name = excluded.name, revision = excluded.revision, \
         content_uri = excluded.content_uri, content_hash = excluded.content_hash, \
         size_bytes = excluded.size_bytes, modified_at_ms = excluded.modified_at_ms, \
         discovered_at_ms = excluded.discovered_at_ms, is_pending = excluded.is_pending, \
         is_deleted = excluded.is_deleted",
    )
    .bind(entry.file_id.to_string())
    .bind(&entry.tenant)
    .bind(&entry.path)
    .bind(&entry.name)
    .bind(entry.revision)
    .bind(entry.content.as_ref().map(|content| &content.uri))
    .bind(entry.content.as_ref().map(|content| &content.hash))
    .bind(entry.size_bytes)
    .bind(entry.modified_at_ms)
    .bind(entry.discovered_at_ms)
    .bind(entry.hand_over == HandOver::Pending)
    .bind(entry.is_deleted)
    .execute(&mut *connection)
    .await?;
    if entry.revision > 1 {
        fold::supersede(connection, entry.file_id, entry.revision).await?;
    }
    let head = entry.record().head;
    let Offered::Refused { stage, reason_code, reason } = &offer.what else {
        return fold::create(connection, &head, entry.discovered_at_ms).await;
    };
    let refused = Progress {
        head,
        stage: stage.clone(),
        step: Step::File,
        unit_id: None,
        outcome: Outcome::Failed,
        reason_code: Some(reason_code.clone()),
        reason: Some(reason.clone()),
        frames: None,
        passages: None,
        at: entry.discovered_at_ms,
        redrives: 0,
        redriven: false,
    };
    fold::fold(connection, &union(&[refused])).await
}

fn entries(rows: Vec<SqliteRow>) -> sqlx::Result<Vec<FileEntry>> {
    rows.iter().map(entry).collect()
}

fn entry(row: &SqliteRow) -> sqlx::Result<FileEntry> {
    let uri: Option<String> = row.try_get("content_uri")?;
    let hash: Option<String> = row.try_get("content_hash")?;
    let is_pending: bool = row.try_get("is_pending")?;
    Ok(FileEntry {
        file_id: uuid(row, "file_id")?,
        tenant: row.try_get("tenant")?,
        path: row.try_get("path")?,
        name: row.try_get("name")?,
        revision: row.try_get("revision")?,
        content: uri.zip(hash).map(|(uri, hash)| FileContent { uri, hash }),
        size_bytes: row.try_get("size_bytes")?,
        modified_at_ms: row.try_get("modified_at_ms")?,
        discovered_at_ms: row.try_get("discovered_at_ms")?,
        hand_over: if is_pending { HandOver::Pending } else { HandOver::Sent },
        is_deleted: row.try_get("is_deleted")?,
    })
}

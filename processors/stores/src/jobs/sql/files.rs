//! The catalogue's side.

use std::collections::BTreeMap;

use async_trait::async_trait;
use frameline_schemas::{Outcome, Progress, Step, file_id};
use uuid::Uuid;

use super::fold;
use super::statement::{ROWS_AT_ONCE, Statement, Value};
use super::{Connection, Database, Row, Work, limit_of};
use crate::jobs::catalogue::{Verdict, judge, next_revision};
use crate::jobs::status::{JobState, union};
use crate::jobs::{Catalogue, Decision, FileContent, FileCounts, FileEntry, HandOver, Offer, Offered, StoreError};

#[async_trait]
impl<D: Database> Catalogue for D {
    async fn offer(&self, offers: &[Offer]) -> Result<Vec<Decision>, StoreError> {
        self.answer(self.write(&Offers(offers))).await
    }

    async fn pending(&self, found_by_ms: i64, limit: usize) -> Result<Vec<FileEntry>, StoreError> {
        let select =
            Statement::new("select * from files where is_pending and discovered_at_ms <= $1 order by file_id limit $2");
        entries(self, select.bind(found_by_ms).bind(limit_of(limit))).await
    }

    async fn sent(&self, revisions: &[(Uuid, i64)]) -> Result<(), StoreError> {
        for revisions in revisions.chunks(ROWS_AT_ONCE) {
            self.answer(self.write(&Sent(revisions))).await?;
        }
        Ok(())
    }

    async fn file(&self, tenant: &str, path: &[u8]) -> Result<Option<FileEntry>, StoreError> {
        let select = Statement::new("select * from files where file_id = $1");
        Ok(entries(self, select.bind(file_id(tenant, path))).await?.pop())
    }

    async fn files_below(
        &self,
        tenant: &str,
        folder: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, StoreError> {
        let (first, end) = paths_below(folder);
        let select = Statement::new(D::FILES_BELOW).bind(tenant).bind(after.unwrap_or(&first)).bind(end.as_slice());
        entries(self, select.bind(limit_of(limit))).await
    }

    async fn newest_revisions(&self, files: &[Uuid]) -> Result<BTreeMap<Uuid, i64>, StoreError> {
        let look = async {
            let mut newest = BTreeMap::new();
            let mut connection = self.connection().await?;
            for files in files.chunks(ROWS_AT_ONCE) {
                let select = Statement::new("select file_id, revision from files where file_id in ");
                for row in &connection.all(select.ids(files)).await? {
                    newest.insert(row.id("file_id")?, row.number("revision")?);
                }
            }
            Ok(newest)
        };
        self.answer(look).await
    }

    async fn files_after(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<FileEntry>, StoreError> {
        // No file has the nil id: ids are hashes.
        let select = Statement::new("select * from files where file_id > $1 order by file_id limit $2");
        entries(self, select.bind(after.unwrap_or_default()).bind(limit_of(limit))).await
    }

    async fn file_counts(&self) -> Result<FileCounts, StoreError> {
        let count_all = async {
            let select = Statement::new(
                "select is_pending, is_deleted, count(*) as files from files group by is_pending, is_deleted",
            );
            let mut files = FileCounts::default();
            for row in &self.connection().await?.all(select).await? {
                let count = row.number("files")?.unsigned_abs();
                files.pending += if row.flag("is_pending")? { count } else { 0 };
                *(if row.flag("is_deleted")? { &mut files.deleted } else { &mut files.files }) += count;
            }
            Ok(files)
        };
        self.answer(count_all).await
    }
}

async fn entries<D: Database>(database: &D, select: Statement<'_>) -> Result<Vec<FileEntry>, StoreError> {
    let found = async { database.connection().await?.all(select).await?.iter().map(entry).collect() };
    database.answer(found).await
}

/// Everything below a folder begins with its path and `/`, and so lies between `/` and the byte behind it.
fn paths_below(folder: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    ([folder, b"/"].concat(), [folder, &[b'/' + 1]].concat())
}

/// Files that are offered, in their order.
struct Offers<'a>(&'a [Offer]);

impl Work for Offers<'_> {
    type Done = Vec<Decision>;

    fn files(&self) -> Vec<Uuid> {
        self.0.iter().map(|offer| file_id(&offer.tenant, &offer.path)).collect()
    }

    async fn run(&self, connection: &mut impl Connection) -> sqlx::Result<Vec<Decision>> {
        let mut decisions = Vec::with_capacity(self.0.len());
        for offer in self.0 {
            decisions.push(decide(connection, offer).await?);
        }
        Ok(decisions)
    }
}

/// Revisions whose records are in the log.
struct Sent<'a>(&'a [(Uuid, i64)]);

impl Work for Sent<'_> {
    type Done = ();

    fn files(&self) -> Vec<Uuid> {
        self.0.iter().map(|(file_id, _)| *file_id).collect()
    }

    async fn run(&self, connection: &mut impl Connection) -> sqlx::Result<()> {
        // A newer revision may have come meanwhile, and that one is not sent.
        let update = Statement::new("update files set is_pending = false where (file_id, revision) in (");
        let rows = self.0.iter().map(|(file_id, revision)| [Value::Id(*file_id), (*revision).into()]);
        connection.run(update.rows(rows).then(")")).await
    }
}

async fn decide<C: Connection>(connection: &mut C, offer: &Offer) -> sqlx::Result<Decision> {
    let select = Statement::new("select * from files where file_id = $1");
    let rows = connection.all(select.bind(file_id(&offer.tenant, &offer.path))).await?;
    let known = rows.first().map(entry).transpose()?;
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

async fn write_revision<C: Connection>(connection: &mut C, entry: &FileEntry, offer: &Offer) -> sqlx::Result<()> {
    let upsert = Statement::new(
        "insert into files (file_id, tenant, path, name, revision, content_uri, content_hash, size_bytes, \
         modified_at_ms, discovered_at_ms, is_pending, is_deleted) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         on conflict (file_id) do update set name = excluded.name, revision = excluded.revision, \
         content_uri = excluded.content_uri, content_hash = excluded.content_hash, \
         size_bytes = excluded.size_bytes, modified_at_ms = excluded.modified_at_ms, \
         discovered_at_ms = excluded.discovered_at_ms, is_pending = excluded.is_pending, \
         is_deleted = excluded.is_deleted",
    );
    let upsert = upsert
        .bind(entry.file_id)
        .bind(entry.tenant.as_str())
        .bind(entry.path.as_slice())
        .bind(entry.name.as_str())
        .bind(entry.revision)
        .bind(entry.content.as_ref().map(|content| content.uri.as_str()))
        .bind(entry.content.as_ref().map(|content| content.hash.as_str()))
        .bind(entry.size_bytes)
        .bind(entry.modified_at_ms)
        .bind(entry.discovered_at_ms)
        .bind(entry.hand_over == HandOver::Pending)
        .bind(entry.is_deleted);
    connection.run(upsert).await?;
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

fn entry(row: &impl Row) -> sqlx::Result<FileEntry> {
    let uri = row.text_or_none("content_uri")?.map(str::to_owned);
    let hash = row.text_or_none("content_hash")?.map(str::to_owned);
    Ok(FileEntry {
        file_id: row.id("file_id")?,
        tenant: row.text("tenant")?.to_owned(),
        path: row.bytes("path")?,
        name: row.text("name")?.to_owned(),
        revision: row.number("revision")?,
        content: uri.zip(hash).map(|(uri, hash)| FileContent { uri, hash }),
        size_bytes: row.number("size_bytes")?,
        modified_at_ms: row.number("modified_at_ms")?,
        discovered_at_ms: row.number("discovered_at_ms")?,
        hand_over: if row.flag("is_pending")? { HandOver::Pending } else { HandOver::Sent },
        is_deleted: row.flag("is_deleted")?,
    })
}

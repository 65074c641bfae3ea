//! Writing: what the revision rules let through goes into the units, the words and the vectors together.

use frameline_schemas::{Embedding, Kind};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::side::Side;
use crate::vectors::{Floor, lexical, rank};

/// Whether the revision rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// As the port promises.
    Kept,
    /// An older revision overwrites a newer one: for the fault harness.
    Ignored,
}

/// Writes a unit, unless a newer revision of it is there or its file's floor is above it.
pub(super) async fn upsert(connection: &mut SqliteConnection, point: &Embedding, rules: Rules) -> sqlx::Result<()> {
    let Some(id) = upsert_unit(connection, point, rules).await? else { return Ok(()) };
    let Embedding { head, content, .. } = point;
    let joined = |text: &str| lexical::tokens(text).join(" ");
    sqlx::query("insert or replace into words (rowid, name, file, text) values (?, ?, ?, ?)")
        .bind(id)
        .bind(joined(&content.name))
        .bind(joined(rank::base_name(&head.file_name)))
        .bind(joined(&content.text))
        .execute(&mut *connection)
        .await?;
    Side::Texts.write(connection, id, &head.tenant, point.text_vector.as_ref()).await?;
    Side::Pictures.write(connection, id, &head.tenant, point.image_vector.as_ref()).await
}

async fn upsert_unit(connection: &mut SqliteConnection, point: &Embedding, rules: Rules) -> sqlx::Result<Option<i64>> {
    const SQL: &str = "
        insert into units (
            unit_id, tenant, file_id, revision, file_name, kind, ordinal, page, name, width_px, height_px,
            thumbnail_uri, thumbnail_hash, thumbnail_width_px, thumbnail_height_px, text_model, image_model,
            name_key, file_key, stem_key, text_uri, text
        )
        select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22
        where ?23 or not exists (select 1 from floors where file_id = ?3 and revision > ?4)
        on conflict (unit_id) do update set
            tenant = excluded.tenant, file_id = excluded.file_id, revision = excluded.revision,
            file_name = excluded.file_name, kind = excluded.kind, ordinal = excluded.ordinal, page = excluded.page,
            name = excluded.name, width_px = excluded.width_px, height_px = excluded.height_px,
            thumbnail_uri = excluded.thumbnail_uri, thumbnail_hash = excluded.thumbnail_hash,
            thumbnail_width_px = excluded.thumbnail_width_px, thumbnail_height_px = excluded.thumbnail_height_px,
            text_model = excluded.text_model, image_model = excluded.image_model, name_key = excluded.name_key,
            file_key = excluded.file_key, stem_key = excluded.stem_key, text_uri = excluded.text_uri,
            text = excluded.text
        where ?23 or excluded.revision >= units.revision
        returning id";
    let Embedding { head, unit_id, content, thumbnail, text_vector, image_vector } = point;
    let thumbnail = thumbnail.as_ref();
    let [name_key, file_key, stem_key] = rank::keys(point);
    let written: Option<(i64,)> = sqlx::query_as(SQL)
        .bind(unit_id.as_bytes().as_slice())
        .bind(&head.tenant)
        .bind(head.file_id.as_bytes().as_slice())
        .bind(head.revision)
        .bind(&head.file_name)
        .bind(code_of(content.kind))
        .bind(content.ordinal)
        .bind(content.page)
        .bind(&content.name)
        .bind(content.width_px)
        .bind(content.height_px)
        .bind(thumbnail.map(|picture| &picture.uri))
        .bind(thumbnail.map(|picture| &picture.hash))
        .bind(thumbnail.map(|picture| picture.width_px))
        .bind(thumbnail.map(|picture| picture.height_px))
        .bind(text_vector.as_ref().map(|vector| &vector.model))
        .bind(image_vector.as_ref().map(|vector| &vector.model))
        .bind(name_key)
        .bind(file_key)
        .bind(stem_key)
        .bind(&content.text_uri)
        .bind(&content.text)
        .bind(rules == Rules::Ignored)
        .fetch_optional(connection)
        .await?;
    Ok(written.map(|(id,)| id))
}

/// Raises a file's floor, and removes what falls below it.
pub(super) async fn raise_floor(connection: &mut SqliteConnection, file_id: Uuid, floor: Floor) -> sqlx::Result<u64> {
    const RAISE: &str = "
        insert into floors (file_id, revision) values (?1, ?2)
        on conflict (file_id) do update set revision = max(floors.revision, excluded.revision)";
    let file = file_id.as_bytes().as_slice();
    sqlx::query(RAISE).bind(file).bind(floor.revision()).execute(&mut *connection).await?;
    let below: Vec<(i64, String)> =
        sqlx::query_as("delete from units where file_id = ? and revision < ? returning id, tenant")
            .bind(file)
            .bind(floor.revision())
            .fetch_all(&mut *connection)
            .await?;
    for (id, tenant) in &below {
        sqlx::query("delete from words where rowid = ?").bind(id).execute(&mut *connection).await?;
        Side::Texts.delete(connection, *id, tenant).await?;
        Side::Pictures.delete(connection, *id, tenant).await?;
    }
    Ok(below.len() as u64)
}

pub(super) fn code_of(kind: Kind) -> i64 {
    match kind {
        Kind::Frame => 0,
        Kind::Passage => 1,
    }
}

//! Reading units back.

use frameline_schemas::{Content, Embedding, Head, Kind, Picture, Vector};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::vectors::{Counts, Floor};

/// All units in the order of their ids; of their vectors the models, without the values.
pub(super) async fn all(pool: &SqlitePool) -> sqlx::Result<Vec<Embedding>> {
    let rows = sqlx::query("select * from units order by unit_id").fetch_all(pool).await?;
    rows.iter().map(point_of).collect()
}

/// The units of these rows of the table, in no order, by their ids in the table.
pub(super) async fn of_ids(connection: &mut SqliteConnection, ids: &[i64]) -> sqlx::Result<Vec<(i64, Embedding)>> {
    let ids = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let rows = sqlx::query("select * from units where id in (select value from json_each(?))")
        .bind(format!("[{ids}]"))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, point_of(row)?))).collect()
}

/// The floors of these files, in their order.
pub(super) async fn floors(pool: &SqlitePool, files: &[Uuid]) -> sqlx::Result<Vec<Option<Floor>>> {
    let hex: Vec<String> = files.iter().map(|file_id| format!("{:X}", file_id.simple())).collect();
    let hex = serde_json::to_string(&hex).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let rows: Vec<(Option<i64>,)> = sqlx::query_as(
        "select floors.revision from json_each(?) as asked left join floors on floors.file_id = unhex(asked.value)
         order by asked.key",
    )
    .bind(hex)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(revision,)| revision.map(Floor)).collect())
}

pub(super) async fn counts(pool: &SqlitePool) -> sqlx::Result<Counts> {
    let sql = "select count(*) filter (where kind = 0), count(*) filter (where kind = 1) from units";
    let (frames, passages): (i64, i64) = sqlx::query_as(sql).fetch_one(pool).await?;
    Ok(Counts { frames: frames.unsigned_abs(), passages: passages.unsigned_abs() })
}

fn point_of(row: &SqliteRow) -> sqlx::Result<Embedding> {
    let file_id = uuid_of(row, "file_id")?;
    let revision = row.try_get("revision")?;
    let head = Head {
        tenant: row.try_get("tenant")?,
        file_id,
        revision,
        job_id: frameline_schemas::job_id(file_id, revision),
        file_name: row.try_get("file_name")?,
    };
    let content = Content {
        kind: if row.try_get::<i64, _>("kind")? == 0 { Kind::Frame } else { Kind::Passage },
        ordinal: row.try_get("ordinal")?,
        page: row.try_get("page")?,
        name: row.try_get("name")?,
        text: row.try_get("text")?,
        text_uri: row.try_get("text_uri")?,
        width_px: row.try_get("width_px")?,
        height_px: row.try_get("height_px")?,
    };
    let vector = |model: Option<String>| model.map(|model| Vector { model, values: Vec::new() });
    Ok(Embedding {
        head,
        unit_id: uuid_of(row, "unit_id")?,
        content,
        thumbnail: picture_of(row)?,
        text_vector: vector(row.try_get("text_model")?),
        image_vector: vector(row.try_get("image_model")?),
    })
}

fn picture_of(row: &SqliteRow) -> sqlx::Result<Option<Picture>> {
    let Some(uri) = row.try_get("thumbnail_uri")? else { return Ok(None) };
    Ok(Some(Picture {
        uri,
        hash: row.try_get("thumbnail_hash")?,
        width_px: row.try_get("thumbnail_width_px")?,
        height_px: row.try_get("thumbnail_height_px")?,
    }))
}

fn uuid_of(row: &SqliteRow, column: &str) -> sqlx::Result<Uuid> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Uuid::from_slice(&bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

//! The two kinds of vectors that a unit has: kept exactly, and coarsely in blocks.

use frameline_schemas::Vector;
use futures::TryStreamExt;
use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::blocks::{Block, Code, block_of};
use crate::vectors::{IMAGE_DIMENSIONS, TEXT_DIMENSIONS};

/// So many times as many as asked for are compared exactly.
const COARSE_CANDIDATES: usize = 2;

/// Which of a unit's vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Texts,
    Pictures,
}

type StoredBlock = (i64, i64, Vec<u8>);

impl Side {
    fn dimensions(self) -> usize {
        match self {
            Side::Texts => TEXT_DIMENSIONS,
            Side::Pictures => IMAGE_DIMENSIONS,
        }
    }

    /// A statement with this side's tables in it.
    fn sql(self, statement: &str) -> AssertSqlSafe<String> {
        let side = match self {
            Side::Texts => "text",
            Side::Pictures => "picture",
        };
        AssertSqlSafe(statement.replace("{side}", side))
    }

    /// Writes a unit's vector, or takes it away where there is none.
    pub(super) async fn write(
        self,
        connection: &mut SqliteConnection,
        id: i64,
        tenant: &str,
        vector: Option<&Vector>,
    ) -> sqlx::Result<()> {
        let Some(Vector { values, .. }) = vector else { return self.delete(connection, id, tenant).await };
        let keep = self.sql("insert or replace into {side}_vectors (id, vector) values (?, ?)");
        sqlx::query(keep).bind(id).bind(bytes_of(values)).execute(&mut *connection).await?;
        let mut block =
            self.block(connection, id, tenant).await?.unwrap_or(Block::empty(block_of(id), self.dimensions()));
        block.put(id, &Code::of(values));
        self.keep(connection, id, tenant, &block).await
    }

    /// Takes a unit's vector away, if it has one.
    pub(super) async fn delete(self, connection: &mut SqliteConnection, id: i64, tenant: &str) -> sqlx::Result<()> {
        let delete = self.sql("delete from {side}_vectors where id = ?");
        if sqlx::query(delete).bind(id).execute(&mut *connection).await?.rows_affected() == 0 {
            return Ok(());
        }
        let Some(mut block) = self.block(connection, id, tenant).await? else { return Ok(()) };
        block.remove(id);
        self.keep(connection, id, tenant, &block).await
    }

    async fn block(self, connection: &mut SqliteConnection, id: i64, tenant: &str) -> sqlx::Result<Option<Block>> {
        let find = self.sql("select block, present, codes from {side}_blocks where tenant = ? and block = ?");
        let found = sqlx::query_as(find).bind(tenant).bind(block_of(id)).fetch_optional(connection).await?;
        found.map(|stored| self.read(stored)).transpose()
    }

    async fn keep(self, connection: &mut SqliteConnection, id: i64, tenant: &str, block: &Block) -> sqlx::Result<()> {
        if block.is_empty() {
            let delete = self.sql("delete from {side}_blocks where tenant = ? and block = ?");
            return sqlx::query(delete).bind(tenant).bind(block_of(id)).execute(connection).await.map(|_| ());
        }
        let upsert = self.sql(
            "insert into {side}_blocks (tenant, block, present, codes) values (?, ?, ?, ?)
            on conflict (tenant, block) do update set present = excluded.present, codes = excluded.codes",
        );
        let (present, codes) = block.parts();
        let upsert = sqlx::query(upsert).bind(tenant).bind(block_of(id)).bind(present).bind(codes);
        upsert.execute(connection).await.map(|_| ())
    }

    fn read(self, (block, present, codes): StoredBlock) -> sqlx::Result<Block> {
        let read = Block::stored(block, present, codes, self.dimensions());
        read.ok_or_else(|| sqlx::Error::Decode("a block of vectors is not of the length that its units need".into()))
    }

    /// The nearest of a tenant's units by a vector, nearest first, with their cosines.
    pub(super) async fn nearest(
        self,
        pool: &SqlitePool,
        tenant: &str,
        vector: Option<&[f32]>,
        most: usize,
    ) -> sqlx::Result<Vec<(i64, f32)>> {
        let Some(vector) = vector else { return Ok(Vec::new()) };
        let mut connection = pool.acquire().await?;
        let candidates = self.candidates(&mut connection, tenant, vector, most * COARSE_CANDIDATES).await?;
        let ids = candidates.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let exactly = self.sql(
            "select id, vec_distance_cosine(vector, ?) as distance from {side}_vectors
            where id in (select value from json_each(?)) order by distance limit ?",
        );
        let near: Vec<(i64, f64)> = sqlx::query_as(exactly)
            .bind(bytes_of(vector))
            .bind(format!("[{ids}]"))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
        Ok(near.into_iter().map(|(id, distance)| (id, 1.0 - distance as f32)).collect())
    }

    /// The nearest by their codes, in no order.
    async fn candidates(
        self,
        connection: &mut SqliteConnection,
        tenant: &str,
        vector: &[f32],
        most: usize,
    ) -> sqlx::Result<Vec<i64>> {
        let code = Code::of(vector);
        let mut near: Vec<(i64, f32)> = Vec::new();
        let all = self.sql("select block, present, codes from {side}_blocks where tenant = ?");
        let mut blocks = sqlx::query_as::<_, StoredBlock>(all).bind(tenant).fetch(connection);
        while let Some(stored) = blocks.try_next().await? {
            near.extend(self.read(stored)?.cosines(&code));
            if near.len() >= 2 * most {
                keep_nearest(&mut near, most);
            }
        }
        keep_nearest(&mut near, most);
        Ok(near.into_iter().map(|(id, _)| id).collect())
    }
}

fn keep_nearest(near: &mut Vec<(i64, f32)>, most: usize) {
    if near.len() > most {
        near.select_nth_unstable_by(most, |(_, left), (_, right)| right.total_cmp(left));
        near.truncate(most);
    }
}

/// A vector's values one after the other, little-endian: as `sqlite-vec` takes it.
pub(super) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

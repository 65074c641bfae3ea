//! What both databases share: every statement, and what is made of its rows. Each database has the few things that
//! differ behind [`Database`], and with them it is a [`Catalogue`](crate::jobs::Catalogue) and a
//! [`JobStore`](crate::jobs::JobStore).

mod files;
mod fold;
mod jobs;
mod retention;
mod rows;
mod statement;

use std::ops::DerefMut;

use uuid::Uuid;

pub(super) use rows::corrupt;
pub(super) use statement::{Statement, Value};

use super::StoreError;
use super::changes::Changes;

/// One of the databases. Clones share it.
pub(super) trait Database: Clone + Send + Sync + 'static {
    /// A connection to it.
    type Connection: Connection;
    /// One of those that it keeps.
    type Kept: DerefMut<Target = Self::Connection> + Send;

    /// The files of the tenant `$1` whose path is behind `$2` and before `$3`, in the order of their paths, at most
    /// `$4` of them; the database has an index for it.
    const FILES_BELOW: &'static str;

    /// A connection to read by.
    fn connection(&self) -> impl Future<Output = sqlx::Result<Self::Kept>> + Send;

    /// Does `work` in a transaction, which has its files to itself: what the work decides on is what it writes over.
    fn write<W: Work>(&self, work: &W) -> impl Future<Output = sqlx::Result<W::Done>> + Send;

    /// Waits for an answer for as long as one may take, and says what it means that there is none.
    fn answer<T: Send>(
        &self,
        asked: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;

    /// Whoever listens hears from now on of the changes that anybody makes.
    fn listen(&self) -> impl Future<Output = Result<Changes, StoreError>> + Send;
}

/// What a transaction does. It may be done again from its beginning, where the database wants that.
pub(super) trait Work: Sync {
    /// What comes of it.
    type Done: Send;

    /// The files whose entries and jobs it reads and writes.
    fn files(&self) -> Vec<Uuid>;

    /// Does it.
    fn run(&self, connection: &mut impl Connection) -> impl Future<Output = sqlx::Result<Self::Done>> + Send;
}

/// A connection to one of the databases.
pub(super) trait Connection: Send {
    /// What it answers with.
    type Row: Row;

    /// All rows of the answer.
    fn all(&mut self, statement: Statement<'_>) -> impl Future<Output = sqlx::Result<Vec<Self::Row>>> + Send;

    /// Asks for no answer.
    fn run(&mut self, statement: Statement<'_>) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Tells whoever listens, once this is committed, that something has happened to these jobs.
    fn tell(&mut self, jobs: &[Uuid]) -> impl Future<Output = sqlx::Result<()>> + Send;
}

/// The columns of a row, by their names.
pub(super) trait Row: Send + Sync {
    /// A file's or a job's id.
    fn id(&self, column: &str) -> sqlx::Result<Uuid>;
    /// A unit's id; `None` where there is no unit.
    fn unit(&self, column: &str) -> sqlx::Result<Option<Uuid>>;
    fn text(&self, column: &str) -> sqlx::Result<&str>;
    fn text_or_none(&self, column: &str) -> sqlx::Result<Option<&str>>;
    fn bytes(&self, column: &str) -> sqlx::Result<Vec<u8>>;
    fn number(&self, column: &str) -> sqlx::Result<i64>;
    fn number_or_none(&self, column: &str) -> sqlx::Result<Option<i64>>;
    fn flag(&self, column: &str) -> sqlx::Result<bool>;
}

/// The columns whose types are the database's own.
macro_rules! plain_columns {
    () => {
        fn text(&self, column: &str) -> sqlx::Result<&str> {
            sqlx::Row::try_get(self, column)
        }

        fn text_or_none(&self, column: &str) -> sqlx::Result<Option<&str>> {
            sqlx::Row::try_get(self, column)
        }

        fn bytes(&self, column: &str) -> sqlx::Result<Vec<u8>> {
            sqlx::Row::try_get(self, column)
        }

        fn number(&self, column: &str) -> sqlx::Result<i64> {
            sqlx::Row::try_get(self, column)
        }

        fn number_or_none(&self, column: &str) -> sqlx::Result<Option<i64>> {
            sqlx::Row::try_get(self, column)
        }

        fn flag(&self, column: &str) -> sqlx::Result<bool> {
            sqlx::Row::try_get(self, column)
        }
    };
}
pub(super) use plain_columns;

pub(super) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

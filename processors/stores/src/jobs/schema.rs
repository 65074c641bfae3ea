//! How far the schema of a database is, and which steps it still lacks.

use super::StoreError;

/// A step of a schema. A released one is never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What it makes.
    pub name: &'static str,
    pub(super) sql: &'static str,
}

/// The schema of a database, as it is and as this program knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The file or server.
    pub place: String,
    /// How many steps were taken; 0 where nothing was ever made.
    pub version: i64,
    /// All steps that this program knows, from the first.
    pub steps: &'static [Step],
}

impl Schema {
    /// The version that this program works with.
    pub fn known(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }

    /// All steps with their versions, and whether each was taken.
    pub fn all(&self) -> impl Iterator<Item = (i64, Step, bool)> {
        (1..).zip(self.steps).map(|(version, step)| (version, *step, version <= self.version))
    }

    /// Refuses a schema that a newer program made.
    ///
    /// # Errors
    /// [`StoreError::Newer`].
    pub fn refuse_newer(&self) -> Result<(), StoreError> {
        if self.version <= self.known() {
            return Ok(());
        }
        Err(StoreError::Newer { place: self.place.clone(), found: self.version, known: self.known() })
    }

    /// Refuses one that lacks steps, too.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::Older`].
    pub fn refuse_other(&self) -> Result<(), StoreError> {
        self.refuse_newer()?;
        if self.version == self.known() {
            return Ok(());
        }
        Err(StoreError::Older { place: self.place.clone(), found: self.version, known: self.known() })
    }
}

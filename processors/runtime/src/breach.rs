//! Promises that are broken on purpose, so that the fault harness can show that it notices.
//!
//! One value goes to where the promise is kept and switches it off there. Nothing makes one but the harness: the
//! product's configuration, environment and command line cannot.

/// A promise that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// Positions are committed as records come in, not once they are finished.
    Completion,
    /// A member that the group has given up, or that has a successor, finishes what it has, and may still commit.
    Fencing,
    /// Records of a key are worked on at the same time.
    Lanes,
    /// A stage that is stopped leaves without finishing what it has begun.
    Drain,
    /// An older revision overwrites a newer one in the index.
    Revisions,
}

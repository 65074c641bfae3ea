//! The names of the headers that every hop carries.

/// W3C trace context: one trace for one upload, through all stages.
pub const TRACEPARENT: &str = "traceparent";
/// Why the record travels: `live`, `backfill` or `replay`.
pub const ORIGIN: &str = "frameline-origin";
/// The job whose owner watches, as a UUID.
pub const JOB: &str = "frameline-job";

/// The values of [`ORIGIN`] that are counted.
pub const ORIGINS: [&str; 3] = [LIVE, "backfill", REPLAY];

/// The value of [`ORIGIN`] where none was given.
pub const LIVE: &str = "live";
/// The value of [`ORIGIN`] where an operator has put the record back.
pub const REPLAY: &str = "replay";

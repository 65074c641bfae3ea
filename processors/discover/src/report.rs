//! What became of every file that was found.

use std::path::PathBuf;

use uuid::Uuid;

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddEvent {
    /// Its canonical path, or the path that was named where it has none.
    pub path: PathBuf,
    /// What became of it.
    pub outcome: AddOutcome,
}

/// What may become of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddOutcome {
    /// It is handed over.
    Queued {
        /// The job to watch.
        job_id: Uuid,
    },
    /// It was handed over before, just as it is.
    Unchanged {
        /// The job that did, or still does, bring it in.
        job_id: Uuid,
    },
    /// It is not taken.
    Refused {
        /// The failed job that says so, for those that owners shall find among their jobs.
        job_id: Option<Uuid>,
        /// One of few values, for counting: `missing`, `unreadable`, `special`, `still-changing`, `too-large`, `unknown`.
        code: &'static str,
        /// For a person.
        reason: String,
    },
}

/// What became of all files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddReport {
    /// Each of them, as they were told.
    pub files: Vec<AddEvent>,
    /// How many are handed over.
    pub queued: usize,
    /// How many are as they were.
    pub unchanged: usize,
    /// How many are not taken.
    pub refused: usize,
}

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub(crate) fn unknown() -> Self {
        Self::new("unknown", "no such file is known; `frameline jobs` lists what was added")
    }

    /// A path that cannot be looked at or opened.
    pub(crate) fn of(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::new("missing", "there is no such file or folder"),
            std::io::ErrorKind::PermissionDenied => {
                Self::new("unreadable", "this user may not read it; change its permissions, or run as its owner")
            }
            _ => Self::new("unreadable", format!("it cannot be read: {error}")),
        }
    }
}

/// Tells of each file, and adds up.
pub(crate) struct Reporter<Listener> {
    on_event: Listener,
    report: AddReport,
}

impl<Listener: FnMut(&AddEvent)> Reporter<Listener> {
    pub(crate) fn new(on_event: Listener) -> Self {
        Self { on_event, report: AddReport::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.report.files.is_empty()
    }

    pub(crate) fn refused(&mut self, path: PathBuf, job_id: Option<Uuid>, refusal: Refusal) {
        let Refusal { code, reason } = refusal;
        self.tell(path, AddOutcome::Refused { job_id, code, reason });
    }

    pub(crate) fn tell(&mut self, path: PathBuf, outcome: AddOutcome) {
        let count = match outcome {
            AddOutcome::Queued { .. } => &mut self.report.queued,
            AddOutcome::Unchanged { .. } => &mut self.report.unchanged,
            AddOutcome::Refused { .. } => &mut self.report.refused,
        };
        *count += 1;
        let event = AddEvent { path, outcome };
        (self.on_event)(&event);
        self.report.files.push(event);
    }

    pub(crate) fn into_report(self) -> AddReport {
        self.report
    }
}

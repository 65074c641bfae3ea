//! `frameline migrate [--execute]`: the schema of files and jobs, held against the one of this version.
//!
//! Safe beside others that do the same, and beside services of the version before: they go on with what they know.

use std::fmt;

use anyhow::Result;
use frameline_stores::jobs::Schema;
use serde::Serialize;

use super::Context;
use crate::output::{Table, count};

#[derive(Debug, Serialize)]
struct Report {
    store: String,
    migrations: Vec<Row>,
    executed: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    version: i64,
    name: &'static str,
    state: &'static str,
}

pub(super) async fn run(context: Context, execute: bool) -> Result<()> {
    let before = context.ports.schema().await?;
    before.refuse_newer()?;
    let after = if execute { context.ports.migrate().await? } else { before.clone() };
    context.output.print(&Report::of(&before, &after, execute))
}

impl Report {
    fn of(before: &Schema, after: &Schema, executed: bool) -> Self {
        let taken = before.all().map(|(.., is_taken)| is_taken);
        let rows = after.all().zip(taken).map(|((version, step, is_taken), was_taken)| Row {
            version,
            name: step.name,
            state: match (is_taken, was_taken) {
                (false, _) => "pending",
                (true, false) => "applied",
                (true, true) => "present",
            },
        });
        Self { store: after.place.clone(), migrations: rows.collect(), executed }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["migration", "name", "state"]);
        for row in &self.migrations {
            table.row([row.version.to_string(), row.name.to_owned(), row.state.to_owned()]);
        }
        writeln!(formatter, "{table}")?;
        let of_state = |state| self.migrations.iter().filter(|row| row.state == state).count();
        match (of_state("pending"), of_state("applied")) {
            (0, 0) => write!(formatter, "{} is up to date", self.store),
            (0, applied) => write!(formatter, "{} applied to {}", count(applied, "migration"), self.store),
            (pending, _) => write!(
                formatter,
                "{} lacks {}; nothing was changed, `frameline migrate --execute` applies what is missing",
                self.store,
                count(pending, "migration")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    fn report(states: [&'static str; 2], executed: bool) -> Report {
        let names = ["files_jobs_facts", "redrives"];
        let rows = (1..).zip(names).zip(states).map(|((version, name), state)| Row { version, name, state });
        Report { store: "/srv/frameline/jobs.db".to_owned(), migrations: rows.collect(), executed }
    }

    #[test]
    fn the_shape_of_a_report_is_kept() {
        let shown = serde_json::to_value(report(["present", "pending"], false)).unwrap();
        assert_eq!([shown].as_slice(), documented("migrate"));
    }

    #[test]
    fn what_was_done_and_what_would_be_is_told() {
        let text = report(["present", "pending"], false).to_string();
        assert!(
            text.ends_with(
                "lacks 1 migration; nothing was changed, `frameline migrate --execute` applies what is missing"
            ),
            "{text}"
        );
        assert!(report(["present", "applied"], true).to_string().contains("1 migration applied to /srv"));
        assert!(report(["present", "present"], true).to_string().ends_with("jobs.db is up to date"));
    }
}

//! `frameline audit`: what operators did.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::audit::{self, Entry, Outcome, Records};
use crate::cli::Audit;
use crate::output::{Table, count};
use crate::times;

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Records);

pub(super) async fn run(context: Context, audit: Audit) -> Result<()> {
    context.needs_data()?;
    let log = context.ports.log().await?;
    context.output.print(&Report(audit::newest(log.as_ref(), audit.limit).await?))
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Records { records, unreadable } = &self.0;
        if *unreadable > 0 {
            let those = count(usize::try_from(*unreadable).unwrap_or(usize::MAX), "record");
            writeln!(formatter, "left out: {those} that cannot be read\n")?;
        }
        if records.is_empty() {
            return formatter.write_str("nothing is on record yet");
        }
        let mut table = Table::new(["when", "who", "command", "outcome"]);
        for Entry { at_ms, who, command, outcome, reason, .. } in records {
            let outcome = match (outcome, reason) {
                (Outcome::Begun, _) => "begun".to_owned(),
                (Outcome::Done, _) => "done".to_owned(),
                (Outcome::Failed, reason) => format!("failed: {}", reason.as_deref().unwrap_or("no reason was told")),
            };
            table.row([times::moment(*at_ms), who.clone(), command.join(" "), outcome]);
        }
        table.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_record_is_kept() {
        let entry = Entry {
            id: Uuid::nil(),
            at_ms: 1_700_000_000_000,
            who: "ada@analytical".to_owned(),
            command: ["rewind", "render", "--to-earliest", "--execute"].map(str::to_owned).to_vec(),
            plan: json!({"stage": "render"}),
            outcome: Outcome::Failed,
            reason: Some("frames/3 is at 7 and no longer at 5".to_owned()),
        };
        let report = Report(Records { records: vec![entry], unreadable: 0 });
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("audit"));
        let text = report.to_string();
        assert!(text.contains("2023-11-14T22:13:20Z  ada@analytical  rewind render"), "{text}");
        assert!(text.ends_with("failed: frames/3 is at 7 and no longer at 5"), "{text}");
    }

    #[test]
    fn what_cannot_be_read_is_counted_even_where_there_is_nothing_else() {
        let report = Report(Records { records: Vec::new(), unreadable: 1 });
        assert_eq!(report.to_string(), "left out: 1 record that cannot be read\n\nnothing is on record yet");
    }
}

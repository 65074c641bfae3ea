//! `frameline topics diff | apply [--execute]`.

use std::fmt;

use anyhow::Result;
use frameline_runtime::log::Log;
use frameline_topics::Change;
use serde::Serialize;

use super::Context;
use crate::audit::audited;
use crate::cli::TopicsCommand;
use crate::error::Told;
use crate::ports::topics;

#[derive(Debug, Serialize)]
struct Report {
    changes: Vec<Row>,
    executed: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Row {
    Create { topic: String, partitions: i32 },
    Refuse { topic: String, has: i32, wants: i32, reason: String },
}

pub(super) async fn run(context: Context, command: &TopicsCommand) -> Result<()> {
    let execute = matches!(command, TopicsCommand::Apply { execute: true });
    context.ports.prepare_folders()?;
    let log = context.ports.log().await?;
    let changes = topics::changes(log.as_ref()).await?;
    let mut report = Report { changes: changes.iter().cloned().map(Row::from).collect(), executed: false };
    if execute {
        if report.missing() > 0 {
            create(log.as_ref(), changes, context.loaded.config.kafka.replication, &report).await?;
        }
        report.executed = true;
    }
    context.output.print(&report)?;
    if report.changes.iter().any(|row| matches!(row, Row::Refuse { .. })) {
        return Err(Told.into());
    }
    Ok(())
}

/// Creates what is missing. The topic that keeps the records comes before the first of them.
async fn create(log: &dyn Log, changes: Vec<Change>, replication: i32, plan: &Report) -> Result<()> {
    let (audit, others) = topics::audit_first(changes);
    topics::create(log, &audit, replication).await?;
    audited(log, plan, topics::create(log, &others, replication)).await
}

impl Report {
    fn missing(&self) -> usize {
        self.changes.iter().filter(|row| matches!(row, Row::Create { .. })).count()
    }
}

impl From<Change> for Row {
    fn from(change: Change) -> Self {
        match change {
            Change::Create { topic, partitions } => Row::Create { topic, partitions },
            Change::Refuse { topic, has, wants, reason } => Row::Refuse { topic, has, wants, reason },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.changes {
            match row {
                Row::Create { topic, partitions } if self.executed => {
                    writeln!(formatter, "created  {topic}, {partitions} partitions")?;
                }
                Row::Create { topic, partitions } => writeln!(formatter, "missing  {topic}, {partitions} partitions")?,
                Row::Refuse { topic, has, wants, reason } => {
                    writeln!(formatter, "refused  {topic} has {has} partitions and shall have {wants}: {reason}")?;
                }
            }
        }
        let missing = self.missing();
        match (self.changes.is_empty(), self.executed || missing == 0) {
            (true, _) => formatter.write_str("every topic is as it should be"),
            (false, true) => write!(formatter, "{} of {} done", missing, self.changes.len()),
            (false, false) => {
                formatter.write_str("nothing was changed; `frameline topics apply --execute` creates what is missing")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_change_is_kept() {
        let refuse = Change::Refuse { topic: "files".to_owned(), has: 8, wants: 12, reason: "keyed".to_owned() };
        let create = Change::Create { topic: "units".to_owned(), partitions: 12 };
        let report = Report { changes: vec![refuse.into(), create.into()], executed: false };
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("topics"));
        assert!(report.to_string().contains("refused  files has 8 partitions and shall have 12: keyed"));
    }
}

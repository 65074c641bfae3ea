//! `frameline schemas check | apply [--execute]`: the schema registry, held against the schemas of this version.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use frameline_registry::{LEVEL, Registry, RegistryError, Step, Subject};
use frameline_schemas::State;
use serde::Serialize;

use super::Context;
use crate::audit::audited;
use crate::cli::SchemasCommand;
use crate::error::{Refusal, Told};
use crate::output::{Table, count};

#[derive(Debug, Serialize)]
struct Report {
    registry: String,
    schemas: Vec<Row>,
    rules: Vec<Rule>,
    others: Vec<Other>,
    executed: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    schema: &'static str,
    version: u32,
    subject: String,
    state: &'static str,
    id: Option<u32>,
    reason: Option<String>,
}

/// A subject's rule for further versions, where it is another than it should be.
#[derive(Debug, Serialize)]
struct Rule {
    subject: String,
    has: Option<String>,
    wants: &'static str,
    reason: Option<String>,
}

/// A version that is none of ours; with the reason where it cannot be read.
#[derive(Debug, Serialize)]
struct Other {
    subject: String,
    version: u32,
    id: u32,
    reason: Option<String>,
}

/// What the registry refused, by subject. A rule that it refuses is no failure.
#[derive(Debug, Default)]
struct Refused {
    releases: BTreeMap<String, String>,
    rules: BTreeMap<String, String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> =
            self.releases.iter().map(|(subject, reason)| format!("{subject} is refused: {reason}")).collect();
        formatter.write_str(&told.join("; "))
    }
}

impl std::error::Error for Refused {}

pub(super) async fn run(context: Context, command: &SchemasCommand) -> Result<()> {
    let execute = matches!(command, SchemasCommand::Apply { execute: true });
    let Some(settings) = context.loaded.config.schemas.settings()? else {
        let help = "name one in schemas.registry; without one the ids of schemas come from this version's own files";
        return Err(Refusal::new("no schema registry is configured", help).into());
    };
    let registry = Registry::new(&settings)?;
    let mut subjects = registry.subjects().await?;
    let mut refused = Refused::default();
    if execute && subjects.iter().any(|subject| !subject.steps().is_empty()) {
        let plan = Report::of(registry.url(), &subjects, &refused, false);
        let log = context.ports.log_with_audit().await?;
        let applied = audited(log.as_ref(), &plan, apply_all(&registry, &subjects)).await;
        refused = applied.or_else(|error| error.downcast::<Refused>())?;
        subjects = registry.subjects().await?;
    }
    let report = Report::of(registry.url(), &subjects, &refused, execute);
    context.output.print(&report)?;
    let is_check = matches!(command, SchemasCommand::Check);
    let fails = |row: &Row| row.state == "refused" || (is_check && row.state == "missing");
    if report.schemas.iter().any(fails) { Err(Told.into()) } else { Ok(()) }
}

/// Takes the steps of all of them; an error, with all that was refused, where some release was.
async fn apply_all(registry: &Registry, subjects: &[Subject]) -> Result<Refused> {
    let mut refused = Refused::default();
    for subject in subjects {
        apply(registry, subject, &mut refused).await?;
    }
    if refused.releases.is_empty() { Ok(refused) } else { Err(refused.into()) }
}

/// Takes the steps; a rule that the registry does not take is told, and costs nothing else.
async fn apply(registry: &Registry, subject: &Subject, refused: &mut Refused) -> Result<(), RegistryError> {
    let name = &subject.standing.subject;
    for step in subject.steps() {
        match (registry.take(subject, &step).await, step) {
            (Ok(()), _) => {}
            (Err(RegistryError::Refused { reason, .. }), Step::SetLevel) => {
                refused.rules.insert(name.clone(), reason);
            }
            (Err(RegistryError::Refused { reason, .. }), Step::Register(_)) => {
                refused.releases.insert(name.clone(), reason);
                return Ok(());
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(())
}

impl Report {
    fn of(registry: &str, subjects: &[Subject], refused: &Refused, executed: bool) -> Self {
        let (mut schemas, mut rules, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for Subject { standing, level } in subjects {
            let subject = &standing.subject;
            for found in &standing.releases {
                let (state, id, reason) = match &found.state {
                    State::Registered { id, .. } => ("registered", Some(*id), None),
                    State::Past => ("past", None, None),
                    State::Refused { reason } => ("refused", None, Some(reason.clone())),
                    State::Missing => match refused.releases.get(subject) {
                        Some(reason) => ("refused", None, Some(reason.clone())),
                        None => ("missing", None, None),
                    },
                };
                let release = found.release;
                let (schema, version) = (release.record, release.version);
                schemas.push(Row { schema, version, subject: subject.clone(), state, id, reason });
            }
            if level.as_deref() != Some(LEVEL) {
                let reason = refused.rules.get(subject).cloned();
                rules.push(Rule { subject: subject.clone(), has: level.clone(), wants: LEVEL, reason });
            }
            others.extend(standing.others.iter().map(|other| Other {
                subject: subject.clone(),
                version: other.version,
                id: other.id,
                reason: other.unreadable.clone(),
            }));
        }
        Self { registry: registry.to_owned(), schemas, rules, others, executed }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["schema", "version", "subject", "state", "id"]);
        for row in &self.schemas {
            let id = row.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            table.row([row.schema.to_owned(), row.version.to_string(), row.subject.clone(), row.state.to_owned(), id]);
        }
        writeln!(formatter, "{table}")?;
        for row in self.schemas.iter().filter(|row| row.reason.is_some()) {
            let reason = row.reason.as_deref().unwrap_or_default();
            writeln!(formatter, "refused  {} v{}: {reason}", row.schema, row.version)?;
        }
        for rule in &self.rules {
            let has = rule.has.as_deref().unwrap_or("the registry's own rule");
            let why = rule.reason.as_ref().map(|reason| format!(", which is refused: {reason}")).unwrap_or_default();
            writeln!(formatter, "rule     {} has {has} and should have {}{why}", rule.subject, rule.wants)?;
        }
        for other in &self.others {
            let told = match &other.reason {
                Some(reason) => format!("cannot be read here: {reason}"),
                None => "is of somebody else, and can be read".to_owned(),
            };
            writeln!(formatter, "other    {} version {} (id {}) {told}", other.subject, other.version, other.id)?;
        }
        let missing = self.schemas.iter().filter(|row| row.state == "missing").count();
        let open = missing + self.rules.iter().filter(|rule| rule.reason.is_none()).count();
        match (open, self.executed) {
            (0, _) => write!(formatter, "{} has what this version needs", self.registry),
            (_, true) => write!(formatter, "{} took not all of it", self.registry),
            (_, false) => write!(
                formatter,
                "{} to do at {}; `frameline schemas apply --execute` does it",
                count(open, "thing"),
                self.registry
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_report_is_kept() {
        let row = |schema, state, id, reason: Option<&str>| Row {
            schema,
            version: 1,
            subject: "frameline.Frame".to_owned(),
            state,
            id,
            reason: reason.map(str::to_owned),
        };
        let subject = "frameline.Frame".to_owned();
        let report = Report {
            registry: "http://registry:8081".to_owned(),
            schemas: vec![
                row("frame", "registered", Some(12), None),
                row("unit", "refused", None, Some("version 2 …")),
            ],
            rules: vec![Rule { subject: subject.clone(), has: None, wants: LEVEL, reason: None }],
            others: vec![Other { subject, version: 3, id: 40, reason: None }],
            executed: false,
        };
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("schemas"));
        let text = report.to_string();
        assert!(text.contains("refused  unit v1: version 2 …") && text.contains("1 thing to do"), "{text}");
    }
}

//! `frameline doctor`: whether everything that the product stands on is as it should be, and what to do where it
//! is not. It changes nothing.

mod jobs;
mod log;
mod machine;
mod schemas;
mod services;
mod stores;
mod transactions;

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::error::Told;
use crate::output::one_line;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// As it should be.
    Ok,
    /// It works, and should be looked at.
    Warning,
    /// It does not work.
    Error,
}

/// What was found out about one thing.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    severity: Severity,
    what: String,
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, severity: Severity::Ok, what: what.into(), remedy: None }
    }

    fn warning(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, severity: Severity::Warning, what: what.into(), remedy: Some(remedy.into()) }
    }

    fn error(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, severity: Severity::Error, what: what.into(), remedy: Some(remedy.into()) }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    findings: Vec<Finding>,
}

impl Report {
    fn of(findings: Vec<Finding>) -> Self {
        Self { ok: findings.iter().all(|finding| finding.severity != Severity::Error), findings }
    }
}

pub(super) async fn run(context: Context) -> Result<()> {
    let mut findings = machine::all(&context);
    let has_data = match context.ports.has_data() {
        Ok(true) if context.ports.keeps_nothing() => {
            findings.push(Finding::ok("data", "nothing of it is kept on this machine"));
            true
        }
        Ok(true) => {
            findings.push(Finding::ok("data", format!("{} is complete", context.ports.data().root().display())));
            true
        }
        Ok(false) => {
            let what = format!("nothing was ever made in {}", context.ports.data().root().display());
            findings.push(Finding::warning("data", what, "start with `frameline up`, or name another: --data DIR"));
            false
        }
        Err(error) => {
            findings.push(Finding::error("data", format!("{error:#}"), "put a backup of the whole directory back"));
            false
        }
    };
    findings.extend(log::all(&context, has_data).await);
    findings.push(schemas::look(&context).await);
    if has_data || !context.loaded.config.jobs.is_embedded() {
        findings.push(jobs::look(&context).await);
    }
    if has_data {
        findings.extend(services::all(&context).await);
        findings.extend(stores::all(&context).await);
    }
    let report = Report::of(findings);
    context.output.print(&report)?;
    if report.ok { Ok(()) } else { Err(Told.into()) }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { check, severity, what, remedy } in &self.findings {
            let mark = match severity {
                Severity::Ok => "ok",
                Severity::Warning => "WARNING",
                Severity::Error => "ERROR",
            };
            writeln!(formatter, "{mark:7}  {check:8}  {}", one_line(what))?;
            if let Some(remedy) = remedy {
                writeln!(formatter, "{:19}→ {}", "", one_line(remedy))?;
            }
        }
        let count = |wanted| self.findings.iter().filter(|finding| finding.severity == wanted).count();
        match (count(Severity::Error), count(Severity::Warning)) {
            (0, 0) => formatter.write_str("everything is as it should be"),
            (errors, warnings) => write!(formatter, "errors: {errors}, warnings: {warnings}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_finding_is_kept() {
        let report = Report::of(vec![
            Finding::ok("models", "3 bundled models are whole"),
            Finding::error("topics", "the log lacks frames", "`frameline topics apply --execute` creates it"),
        ]);
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("doctor"));
        let text = report.to_string();
        assert!(text.contains("ok       models    3 bundled models are whole"), "{text}");
        assert!(text.contains("→ `frameline topics apply --execute` creates it\nerrors: 1, warnings: 0"), "{text}");
    }

    #[test]
    fn a_warning_alone_is_no_failure() {
        assert!(Report::of(vec![Finding::warning("disk", "a little space is left", "free some")]).ok);
    }
}

//! The services that work on this data directory: what each says of its stages.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Context, Finding};
use crate::data::Server;
use crate::http;
use crate::output::count;
use crate::stages::Name;

/// What is read of an answer of `/readyz`.
#[derive(Debug, Deserialize)]
struct Readiness {
    stages: Vec<Stage>,
}

#[derive(Debug, Deserialize)]
struct Stage {
    stage: String,
    ready: bool,
    state: String,
    reason: Option<String>,
}

/// All of those that have claimed their stages here. On Kafka, processes of single stages claim none.
pub(super) async fn all(context: &Context) -> Vec<Finding> {
    let servers = match servers(context) {
        Ok(servers) => servers,
        Err(error) => {
            return vec![Finding::error("services", format!("{error:#}"), "check who owns the data directory")];
        }
    };
    let mut findings = Vec::new();
    for server in &servers {
        match ask(server).await {
            Ok(readiness) => findings.extend(of(server, &readiness)),
            Err(error) => {
                let remedy =
                    "look at its log lines; where it does not answer for long, start it again: nothing is lost";
                findings.push(Finding::warning("services", format!("{server} does not answer: {error:#}"), remedy));
            }
        }
    }
    findings
}

/// Each once, however many stages it has.
fn servers(context: &Context) -> Result<Vec<Server>> {
    let mut servers: Vec<Server> = Vec::new();
    for name in Name::ALL {
        let server = context.ports.data().server(name.as_str())?;
        servers.extend(server.filter(|server| !servers.contains(server)));
    }
    Ok(servers)
}

async fn ask(server: &Server) -> Result<Readiness> {
    let address = server.address.context("it is only just starting")?;
    Ok(http::ask(&format!("http://{address}/readyz")).await?.json().await?)
}

fn of(server: &Server, readiness: &Readiness) -> Vec<Finding> {
    let waiting = readiness.stages.iter().filter(|stage| !stage.ready || stage.reason.is_some());
    let findings: Vec<Finding> = waiting.map(|stage| of_stage(server, stage)).collect();
    if findings.is_empty() {
        let stages = count(readiness.stages.len(), "stage");
        return vec![Finding::ok("services", format!("{server}: {stages} ready"))];
    }
    findings
}

fn of_stage(server: &Server, Stage { stage, state, reason, .. }: &Stage) -> Finding {
    let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let remedy = match state.as_str() {
        "halted" => format!("`frameline dlq list {stage}` says why; mend that, and start the service again"),
        "paused" => "see to what it waits for; it goes on by itself, and nothing is lost".to_owned(),
        _ => "look again in a moment; its log lines say more".to_owned(),
    };
    Finding::warning("services", format!("{stage} of {server} is {state}{reason}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;
    use crate::output::documented;

    #[test]
    fn a_stage_that_waits_is_told_with_its_reason_as_readyz_has_it() {
        let readiness: Readiness = serde_json::from_value(documented("readyz").remove(0)).unwrap();
        let server = Server { pid: Some(7), address: None };
        let [finding] = &of(&server, &readiness)[..] else { panic!("{readiness:?}") };
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.what, "render of process 7 is paused: the disk is full");
        assert_eq!(of(&server, &Readiness { stages: Vec::new() })[0].severity, Severity::Ok);
    }
}

//! The schema registry, where one is configured.

use anyhow::Result;
use frameline_registry::{Registry, Subject};
use frameline_schemas::State;

use super::{Context, Finding};

/// Whether it has the schemas of this version.
pub(super) async fn look(context: &Context) -> Finding {
    match subjects(context).await {
        Ok(None) => Finding::ok("schemas", "no registry is configured: their ids come from this version's own files"),
        Ok(Some((url, subjects))) => of_subjects(&url, &subjects),
        Err(error) => {
            let remedy = "see that it is up, and that schemas.registry and the login are right; stages wait for it";
            Finding::error("schemas", format!("{error:#}"), remedy)
        }
    }
}

async fn subjects(context: &Context) -> Result<Option<(String, Vec<Subject>)>> {
    let Some(settings) = context.loaded.config.schemas.settings()? else { return Ok(None) };
    let registry = Registry::new(&settings)?;
    let subjects = registry.subjects().await?;
    Ok(Some((registry.url().to_owned(), subjects)))
}

fn of_subjects(url: &str, subjects: &[Subject]) -> Finding {
    let found = || subjects.iter().flat_map(|subject| &subject.standing.releases);
    for release in found() {
        if let State::Refused { reason } = &release.state {
            let what = format!("{url} takes no {} of this version: {reason}", release.release.record);
            return Finding::error("schemas", what, "`frameline schemas check` says more");
        }
    }
    let missing = found().filter(|release| matches!(release.state, State::Missing)).count();
    match missing {
        0 => Finding::ok("schemas", format!("{url} has all of this version")),
        missing => {
            let what = format!("{url} lacks {missing} of this version");
            Finding::error("schemas", what, "`frameline schemas apply --execute` registers them")
        }
    }
}

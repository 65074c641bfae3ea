//! What needs nobody else: this program, its models, the disk.

use std::path::Path;

use rustix::fs::statvfs;

use super::{Context, Finding};
use crate::output::count;

/// Below this the stores soon stop.
const LITTLE_BYTES: u64 = 2 << 30;
/// Below this they may stop at any moment.
const NO_BYTES: u64 = 256 << 20;

/// All of it.
pub(super) fn all(context: &Context) -> Vec<Finding> {
    vec![version(context), models(), disk(context.ports.data().root())]
}

fn version(context: &Context) -> Finding {
    let said = context.loaded.settings().filter(|setting| setting.source != crate::config::Source::Default).count();
    let keys = count(said, "key");
    Finding::ok("version", format!("frameline {}; the configuration sets {keys}", env!("CARGO_PKG_VERSION")))
}

fn models() -> Finding {
    let checked = frameline_models::manifest().and_then(|entries| {
        entries.iter().try_for_each(|entry| frameline_models::load(&entry.name).map(drop))?;
        Ok(entries.len())
    });
    match checked {
        Ok(models) => Finding::ok("models", format!("{} are whole, by their checksums", count(models, "bundled file"))),
        Err(error) => Finding::error("models", error.to_string(), "install this release again: the program is damaged"),
    }
}

fn disk(data: &Path) -> Finding {
    let existing = data.ancestors().find(|folder| folder.exists()).unwrap_or(data);
    let remedy = "free some space there, or move the data directory to a larger disk";
    match statvfs(existing) {
        Ok(disk) => of_space(existing, disk.f_bavail.saturating_mul(disk.f_frsize), remedy),
        Err(error) => Finding::error("disk", format!("{} cannot be looked at: {error}", existing.display()), remedy),
    }
}

fn of_space(folder: &Path, free_bytes: u64, remedy: &str) -> Finding {
    let what = format!("{:.1} GiB are free at {}", free_bytes as f64 / f64::from(1 << 30), folder.display());
    match free_bytes {
        0..NO_BYTES => Finding::error("disk", what, remedy),
        NO_BYTES..LITTLE_BYTES => Finding::warning("disk", what, remedy),
        _ => Finding::ok("disk", what),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn the_less_space_the_worse() {
        let severity = |free_bytes| of_space(Path::new("/"), free_bytes, "free some").severity;
        assert_eq!([100 << 20, 1 << 30, 3 << 30].map(severity), [Severity::Error, Severity::Warning, Severity::Ok]);
    }
}

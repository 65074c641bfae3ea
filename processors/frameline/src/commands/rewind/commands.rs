//! The commands that go back, as a person pastes them: they ask for the same stage at the same place.

use std::path::Path;

use crate::cli::Cluster;
use crate::kubernetes::Place;
use crate::output::quoted;
use crate::stages::Name;

/// The commands that take back what a rewind has done.
pub(super) struct Commands {
    stage: Name,
    /// Where it is, behind a blank each.
    flags: String,
}

impl Commands {
    /// On this stage, by this configuration; `place` is where it is on Kubernetes.
    pub(super) fn new(stage: Name, config: Option<&Path>, cluster: &Cluster, place: Option<&Place>) -> Self {
        let config = config.map(|file| file.display().to_string());
        let mut named = vec![("--config", config.as_deref())];
        let mut flags = String::new();
        if let Some(place) = place {
            flags.push_str(" --kubernetes");
            named.push(("--namespace", Some(place.namespace.as_str())));
            named.push(("--release", cluster.release.as_deref()));
            named.push(("--kube-context", cluster.kube_context.as_deref()));
        }
        for (flag, value) in named.into_iter().filter_map(|(flag, value)| Some((flag, value?))) {
            flags.push_str(&format!(" {flag} {}", quoted(value)));
        }
        Self { stage, flags }
    }

    /// Lets go what is held, and moves nothing.
    pub(super) fn resume(&self) -> String {
        format!("frameline rewind {}{} --resume --execute", self.stage, self.flags)
    }

    /// Puts the stage where this backup says.
    pub(super) fn undo(&self, backup: &str) -> String {
        format!("frameline rewind {}{} --undo {} --execute", self.stage, self.flags, quoted(backup))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_command_that_goes_back_asks_the_same_cluster() {
        let mut cluster = Cluster {
            kubernetes: true,
            namespace: None,
            release: Some("second".to_owned()),
            kube_context: Some("the other's".to_owned()),
            within: Duration::from_secs(600),
        };
        let place = Place {
            namespace: "search".to_owned(),
            deployment: "second-frameline-index".to_owned(),
            scaled_object: None,
        };
        let commands = Commands::new(Name::Index, Some(Path::new("/etc/frameline.toml")), &cluster, Some(&place));
        assert_eq!(
            commands.resume(),
            "frameline rewind index --kubernetes --config /etc/frameline.toml --namespace search --release second \
             --kube-context 'the other'\\''s' --resume --execute"
        );
        (cluster.release, cluster.kube_context) = (None, None);
        let commands = Commands::new(Name::Index, None, &cluster, Some(&place));
        let undo = "frameline rewind index --kubernetes --namespace search --undo /b/index.csv --execute";
        assert_eq!(commands.undo("/b/index.csv"), undo);
        let commands = Commands::new(Name::Index, None, &cluster, None);
        assert_eq!(commands.undo("my index.csv"), "frameline rewind index --undo 'my index.csv' --execute");
    }
}

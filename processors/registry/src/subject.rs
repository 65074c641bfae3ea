//! What a registry has of a record, and the steps to what it should have. Pure.

use frameline_schemas::{Release, Standing, State};

/// The rule that every version can be read with every other.
pub const LEVEL: &str = "FULL_TRANSITIVE";

/// What a registry has of a record.
#[derive(Debug)]
pub struct Subject {
    /// Its versions, held against our releases.
    pub standing: Standing,
    /// Its own rule for further versions; none where the registry's general one holds.
    pub level: Option<String>,
}

/// One thing to do.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Register a release.
    Register(&'static Release),
    /// Set the rule to [`LEVEL`].
    SetLevel,
}

impl Subject {
    /// Whether some release does not go with what is there.
    pub fn is_refused(&self) -> bool {
        self.standing.releases.iter().any(|found| matches!(found.state, State::Refused { .. }))
    }

    /// What to do, in order; nothing where some release does not go with what is there. The rule comes first, but
    /// behind the first version: a registry may forget the rule of what does not exist.
    pub fn steps(&self) -> Vec<Step> {
        if self.is_refused() {
            return Vec::new();
        }
        let missing = self.standing.releases.iter().filter(|found| found.state == State::Missing);
        let mut steps: Vec<Step> = missing.map(|found| Step::Register(found.release)).collect();
        if self.level.as_deref() != Some(LEVEL) {
            let place = usize::from(self.is_empty());
            steps.insert(place.min(steps.len()), Step::SetLevel);
        }
        steps
    }

    fn is_empty(&self) -> bool {
        let has_ours = self.standing.releases.iter().any(|found| matches!(found.state, State::Registered { .. }));
        !has_ours && self.standing.others.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use frameline_schemas::{RELEASES, Registered};

    use super::*;

    fn release(version: u32) -> &'static Release {
        RELEASES.iter().find(|release| release.record == "progress" && release.version == version).unwrap()
    }

    fn subject(texts: &[&str], level: Option<&str>) -> Subject {
        let numbered = texts.iter().zip(1..);
        let registered: Vec<Registered> =
            numbered.map(|(text, version)| Registered { version, id: version, text: (*text).to_owned() }).collect();
        Subject { standing: Standing::of("progress", &registered), level: level.map(str::to_owned) }
    }

    fn told(subject: &Subject) -> Vec<String> {
        let tell = |step: &Step| match step {
            Step::Register(release) => format!("v{}", release.version),
            Step::SetLevel => "level".to_owned(),
        };
        subject.steps().iter().map(tell).collect()
    }

    #[test]
    fn the_rule_is_set_before_the_next_version_but_behind_the_first() {
        let one = [release(1).text];
        assert_eq!(told(&subject(&[], None)), ["v1", "level", "v2"]);
        assert_eq!(told(&subject(&one, Some("NONE"))), ["level", "v2"]);
        assert_eq!(told(&subject(&one, Some(LEVEL))), ["v2"]);
        assert!(told(&subject(&[release(1).text, release(2).text], Some(LEVEL))).is_empty());
    }

    #[test]
    fn beside_a_version_that_it_does_not_go_with_nothing_is_registered() {
        let other = release(1).text.replace(r#""name": "stage""#, r#""name": "station""#);
        let refused = subject(&[&other], None);
        assert!(refused.is_refused() && refused.steps().is_empty());
    }
}

//! Two contenders in turn, and what their scores say.
//!
//! A benchmark that asks more than one question plays more than one contest; it is good when all of them are.

use anyhow::Context;
use serde::Serialize;

/// What is compared.
#[derive(Clone)]
pub(crate) struct Contest {
    pub(crate) name: &'static str,
    /// The contender that ours is held against, for a person.
    pub(crate) against: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// The lowest ratio that is good enough.
    pub(crate) goal: f64,
}

/// Which scores are better.
#[derive(Clone, Copy)]
pub(crate) enum Better {
    /// Throughput: the ratio is ours to the other.
    More,
    /// Latency: the ratio is the other to ours.
    Less,
}

/// One score of each contender a round.
#[derive(Default)]
pub(crate) struct Scores {
    rounds: Vec<(f64, f64)>,
}

impl Scores {
    /// One more round.
    pub(crate) fn add(&mut self, ours: f64, other: f64) {
        self.rounds.push((ours, other));
    }

    /// Lets both run once a round, ours first, and tells each score as it comes.
    pub(crate) fn play(
        rounds: usize,
        mut ours: impl FnMut(usize) -> anyhow::Result<f64>,
        mut other: impl FnMut(usize) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Self> {
        let mut scores = Vec::new();
        for round in 1..=rounds {
            let score = ours(round).with_context(|| format!("round {round}, ours"))?;
            let other_score = other(round).with_context(|| format!("round {round}, the other"))?;
            eprintln!("round {round} of {rounds}: ours {score:.1}, the other {other_score:.1}");
            scores.push((score, other_score));
        }
        Ok(Self { rounds: scores })
    }
}

/// What a contest says: medians of both scores; of their ratios within a round the median, least and most. A ratio
/// above 1 means that ours is better.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    pub(crate) ours: f64,
    pub(crate) other: f64,
    pub(crate) unit: &'static str,
    pub(crate) ratio: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) goal: f64,
    pub(crate) ok: bool,
    #[serde(skip)]
    against: &'static str,
}

impl Contest {
    pub(crate) fn judge(&self, scores: &Scores) -> Verdict {
        let ours = sorted(scores.rounds.iter().map(|(ours, _)| *ours));
        let other = sorted(scores.rounds.iter().map(|(_, other)| *other));
        let ratios = sorted(scores.rounds.iter().map(|(ours, other)| match self.better {
            Better::More => ours / other,
            Better::Less => other / ours,
        }));
        let ratio = median(&ratios);
        Verdict {
            name: self.name,
            ours: rounded(median(&ours)),
            other: rounded(median(&other)),
            unit: self.unit,
            ratio: rounded(ratio),
            min: rounded(ratios.first().copied().unwrap_or_default()),
            max: rounded(ratios.last().copied().unwrap_or_default()),
            goal: self.goal,
            ok: ratio >= self.goal,
            against: self.against,
        }
    }
}

impl Verdict {
    /// The same for a person.
    pub(crate) fn text(&self) -> String {
        let Self { name, ours, other, unit, ratio, min, max, goal, against, .. } = self;
        let reached = if self.ok { "reached" } else { "missed" };
        format!(
            "{name}: {ours} {unit}; {against}: {other} {unit}; ratio {ratio} ({min} to {max}), goal {goal}: {reached}"
        )
    }
}

/// The line for scripts: of several contests the one that is the nearest to its goal, or the farthest below it, under
/// the benchmark's name; then all of them.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    #[serde(flatten)]
    closest: Verdict,
    #[serde(skip_serializing_if = "<[Verdict]>::is_empty")]
    parts: &'a [Verdict],
}

impl<'a> Report<'a> {
    /// The report of the benchmark `name`; none where nothing was played.
    pub(crate) fn new(name: &'static str, verdicts: &'a [Verdict]) -> Option<Self> {
        let margin = |verdict: &Verdict| verdict.ratio / verdict.goal;
        let closest = verdicts.iter().min_by(|left, right| margin(left).total_cmp(&margin(right)))?;
        let ok = verdicts.iter().all(|verdict| verdict.ok);
        let parts = if verdicts.len() > 1 { verdicts } else { &[] };
        Some(Self { closest: Verdict { name, ok, ..closest.clone() }, parts })
    }

    /// Whether every goal is reached.
    pub(crate) fn is_ok(&self) -> bool {
        self.closest.ok
    }
}

fn sorted(scores: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut scores: Vec<f64> = scores.collect();
    scores.sort_by(f64::total_cmp);
    scores
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.len().is_multiple_of(2), sorted) {
        (_, []) => 0.0,
        (true, _) => (sorted[middle - 1] + sorted[middle]) / 2.0,
        (false, _) => sorted[middle],
    }
}

/// To three decimals: more would be noise.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEST: Contest =
        Contest { name: "n", against: "a bare loop", unit: "records/s", better: Better::More, goal: 0.5 };

    fn verdict(rounds: &[(f64, f64)]) -> Verdict {
        CONTEST.judge(&Scores { rounds: rounds.to_vec() })
    }

    #[test]
    fn the_ratio_is_the_median_of_the_ratios_within_a_round() {
        let verdict = verdict(&[(50.0, 100.0), (90.0, 100.0), (8.0, 10.0)]);
        assert_eq!((verdict.ours, verdict.other), (50.0, 100.0));
        assert_eq!((verdict.ratio, verdict.min, verdict.max, verdict.ok), (0.8, 0.5, 0.9, true));
    }

    #[test]
    fn a_ratio_below_the_goal_is_not_ok() {
        assert!(!verdict(&[(49.0, 100.0)]).ok);
        assert!(verdict(&[(50.0, 100.0)]).ok);
    }

    #[test]
    fn where_less_is_better_half_the_latency_is_a_ratio_of_two() {
        let contest = Contest { better: Better::Less, ..CONTEST };
        assert_eq!(contest.judge(&Scores { rounds: vec![(30.0, 60.0)] }).ratio, 2.0);
    }

    #[test]
    fn an_even_number_of_rounds_has_the_mean_of_the_middle_two() {
        assert_eq!(verdict(&[(1.0, 10.0), (2.0, 10.0), (4.0, 10.0), (9.0, 10.0)]).ours, 3.0);
    }

    #[test]
    fn the_line_for_scripts_has_all_fields_in_order() {
        let verdicts = [verdict(&[(50.0, 100.0)])];
        let line = serde_json::to_string(&Report::new("n", &verdicts)).unwrap();
        let expected = r#"{"name":"n","ours":50.0,"other":100.0,"unit":"records/s","ratio":0.5,"min":0.5,"max":0.5,"goal":0.5,"ok":true}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn of_several_contests_the_one_with_the_least_margin_stands_for_all() {
        let verdicts = [verdict(&[(90.0, 100.0)]), verdict(&[(49.0, 100.0)]), verdict(&[(60.0, 100.0)])];
        let report = Report::new("all", &verdicts).unwrap();
        assert_eq!((report.closest.name, report.closest.ours, report.is_ok()), ("all", 49.0, false));
        assert_eq!(report.parts.len(), 3);
    }
}

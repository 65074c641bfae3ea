//! What a run under faults says, held against an undisturbed one. Pure.

use std::collections::{BTreeMap, BTreeSet};

use frameline_topics as topics;
use uuid::Uuid;

use crate::state::{EndState, Seen};

/// How many differences of a kind are told in words.
const TOLD: usize = 12;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Records that are missing.
    pub(crate) lost: usize,
    /// Records that are there too often, or should not be there at all.
    pub(crate) duplicates: usize,
    /// Keys whose records are in another order.
    pub(crate) reordered: usize,
    /// All of it, and whatever else is wrong, in words.
    pub(crate) differences: Vec<String>,
}

/// Records whose order has to be the same in every run: of one writer about one revision of one file.
type Lane<'a> = (&'a str, &'a str, &'a str, i64, bool);
type Lanes<'a> = BTreeMap<Lane<'a>, Vec<&'a str>>;

/// Compares what both left.
pub(crate) fn compare(calm: &EndState, storm: &EndState) -> Verdict {
    let mut verdict = Verdict::default();
    let (expected, found) = (lanes(calm), lanes(storm));
    let times = times_taken(&expected, &found);
    let all: BTreeSet<&Lane<'_>> = expected.keys().chain(found.keys()).collect();
    for lane in all {
        let times = times.get(&(lane.1, lane.3)).copied().unwrap_or(1);
        let expected = expected.get(lane).map_or_else(Vec::new, |once| once.repeat(times));
        let found = found.get(lane).map_or(&[] as &[_], Vec::as_slice);
        // Passages overtake the end of the file before them, which takes the long way: then the order of a stage's
        // records is held against what came to it alone.
        verdict.compare_lane(lane, &expected, found, times == 1);
    }
    verdict.check_hops(storm);
    verdict.compare_sets("unit", &calm.units, &storm.units);
    verdict.compare_sets("thumbnail", &calm.thumbnails, &storm.thumbnails);
    let jobs = |state: &EndState| state.jobs.iter().map(|(job, told)| format!("{job:?}: {told}")).collect();
    verdict.compare_sets("job", &jobs(calm), &jobs(storm));
    verdict.differences.extend(storm.unaccounted.iter().map(|job| format!("unaccounted for: {job}")));
    verdict
}

fn lanes(state: &EndState) -> Lanes<'_> {
    let mut lanes: Lanes<'_> = BTreeMap::new();
    for (topic, records) in &state.topics {
        for Seen { key, writer, revision, is_replay, text, .. } in records {
            lanes.entry((topic, key, writer, *revision, *is_replay)).or_default().push(text);
        }
    }
    lanes
}

/// How often each revision of a file came in: whoever hands a file over does it again when told that it failed, which
/// may be wrong, and then everything follows as often. Beyond that nothing may.
fn times_taken<'a>(expected: &Lanes<'a>, found: &Lanes<'a>) -> BTreeMap<(&'a str, i64), usize> {
    let mut times = BTreeMap::new();
    for (lane @ (topic, key, _, revision, _), records) in found {
        let is_source = *topic == topics::FILES || (Seen::is_poison_key(key) && !topic.ends_with(".dlq"));
        if let (true, Some(once)) = (is_source, expected.get(lane))
            && records.len().is_multiple_of(once.len())
            && once.repeat(records.len() / once.len()) == *records
        {
            times.insert((*key, *revision), records.len() / once.len());
        }
    }
    times
}

impl Verdict {
    /// Whether nothing is wrong.
    pub(crate) fn is_good(&self) -> bool {
        *self == Self::default()
    }

    fn tell(&mut self, what: String) {
        match self.differences.len() {
            0..TOLD => self.differences.push(what),
            TOLD => self.differences.push("and more".to_owned()),
            _ => {}
        }
    }

    fn compare_lane(&mut self, lane: &Lane<'_>, expected: &[&str], found: &[&str], is_order_known: bool) {
        if expected == found {
            return;
        }
        let (missing, surplus) = differences(expected, found);
        let (topic, key, writer, revision, is_replay) = lane;
        let replay = if *is_replay { ", replayed" } else { "" };
        let lane = format!("{topic}, key {key}, revision {revision}, written by {writer}{replay}");
        if missing.is_empty() && surplus.is_empty() && is_order_known {
            self.reordered += 1;
            self.tell(format!("reordered: {lane}: {found:?} for {expected:?}"));
        }
        for text in &missing {
            self.tell(format!("lost: {lane}: {text}"));
        }
        for text in &surplus {
            self.tell(format!("too often: {lane}: {text}"));
        }
        self.lost += missing.len();
        self.duplicates += surplus.len();
    }

    fn compare_sets<T: Ord + std::fmt::Debug>(&mut self, what: &str, calm: &BTreeSet<T>, storm: &BTreeSet<T>) {
        for missing in calm.difference(storm) {
            self.tell(format!("a {what} is missing: {missing:?}"));
        }
        for surplus in storm.difference(calm) {
            self.tell(format!("a {what} should not be there: {surplus:?}"));
        }
    }

    /// Records of a key leave each stage in the order in which they came to it, also across revisions.
    fn check_hops(&mut self, storm: &EndState) {
        let passed = |topic, writer| passed(storm, topic, writer);
        let hops = [
            ("identify", revisions(passed(topics::FILES, None)), revisions(passed(topics::FRAMES, None))),
            ("render", passed(topics::FRAMES, None), passed(topics::THUMBNAILS, None)),
            ("validate", passed(topics::THUMBNAILS, None), passed(topics::UNITS, Some("validate"))),
            ("embed", passed(topics::UNITS, None), passed(topics::EMBEDDINGS, None)),
        ];
        for (stage, came, left) in hops {
            for (key, left) in left.iter().filter(|(key, _)| !Seen::is_poison_key(key)) {
                let came = came.get(key).map_or(&[] as &[_], Vec::as_slice);
                if !is_in_order(came, left) {
                    self.reordered += 1;
                    self.tell(format!("reordered by {stage}: key {key}: {left:?} left, {came:?} came"));
                }
            }
        }
    }
}

/// By key, which revisions and units of a topic there are, in their order; those of one writer, where it is named.
type Passed = BTreeMap<String, Vec<(i64, Option<Uuid>)>>;

fn passed(state: &EndState, topic: &str, writer: Option<&str>) -> Passed {
    let mut passed = Passed::new();
    let is_meant = |seen: &&Seen| !seen.is_replay && writer.is_none_or(|writer| seen.writer == writer);
    for seen in state.topics.get(topic).into_iter().flatten().filter(is_meant) {
        passed.entry(seen.key.clone()).or_default().push((seen.revision, seen.unit));
    }
    passed
}

/// Revisions alone, each once where it follows itself.
fn revisions(mut passed: Passed) -> Passed {
    for seen in passed.values_mut() {
        seen.iter_mut().for_each(|(_, unit)| *unit = None);
        seen.dedup();
    }
    passed
}

/// Whether the second is what is left of the first when some are taken out.
fn is_in_order<T: PartialEq>(came: &[T], left: &[T]) -> bool {
    let mut came = came.iter();
    left.iter().all(|left| came.any(|came| came == left))
}

/// What is missing, and what is there too often, as multisets.
fn differences<'a>(expected: &[&'a str], found: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut counts: BTreeMap<&'a str, i64> = BTreeMap::new();
    expected.iter().for_each(|text| *counts.entry(*text).or_default() += 1);
    found.iter().for_each(|text| *counts.entry(*text).or_default() -= 1);
    let times = |text: &'a str, count: i64| std::iter::repeat_n(text, usize::try_from(count).unwrap_or(0));
    let missing = counts.iter().flat_map(|(text, count)| times(text, *count)).collect();
    let surplus = counts.iter().flat_map(|(text, count)| times(text, -*count)).collect();
    (missing, surplus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(key: &str, writer: &str, revision: i64, text: &str) -> Seen {
        let unit = Some(Uuid::new_v5(&Uuid::nil(), text.as_bytes()));
        Seen { key: key.into(), writer: writer.into(), revision, is_replay: false, unit, text: text.into() }
    }

    fn state(topics: &[(&str, Vec<Seen>)]) -> EndState {
        let topics = topics.iter().map(|(topic, seen)| ((*topic).to_owned(), seen.clone())).collect();
        EndState { topics, ..EndState::default() }
    }

    fn frames(texts: &[&str]) -> EndState {
        let files = vec![seen("k", "discover", 1, "file")];
        state(&[("files", files), ("frames", texts.iter().map(|text| seen("k", "identify", 1, text)).collect())])
    }

    fn counts(verdict: &Verdict) -> (usize, usize, usize) {
        (verdict.lost, verdict.duplicates, verdict.reordered)
    }

    #[test]
    fn the_same_is_good() {
        assert!(compare(&frames(&["a", "b"]), &frames(&["a", "b"])).is_good());
    }

    #[test]
    fn what_is_missing_doubled_or_in_another_order_is_counted() {
        let calm = frames(&["a", "b", "c"]);
        assert_eq!(counts(&compare(&calm, &frames(&["a", "c"]))), (1, 0, 0));
        assert_eq!(counts(&compare(&calm, &frames(&["a", "b", "b", "c"]))), (0, 1, 0));
        assert_eq!(counts(&compare(&calm, &frames(&["a", "c", "b"]))), (0, 0, 1));
        assert_eq!(counts(&compare(&calm, &frames(&["a", "b", "x"]))), (1, 1, 0));
    }

    #[test]
    fn a_file_that_was_handed_over_twice_may_be_done_twice_and_not_three_times() {
        let twice = |texts: &[&str]| {
            let mut state = frames(texts);
            let files = state.topics.get_mut("files").unwrap();
            files.push(files[0].clone());
            state
        };
        let calm = frames(&["a", "b"]);
        assert!(compare(&calm, &twice(&["a", "b", "a", "b"])).is_good());
        assert!(compare(&calm, &twice(&["a", "a", "b", "b"])).is_good());
        assert_eq!(counts(&compare(&calm, &twice(&["a", "b"]))), (2, 0, 0));
        assert_eq!(counts(&compare(&calm, &twice(&["a", "b", "a", "b", "a", "b"]))), (0, 2, 0));
    }

    #[test]
    fn a_stage_that_changes_the_order_of_revisions_is_caught() {
        let run = |order: [i64; 2]| {
            let of = |writer: &str, order: [i64; 2]| order.map(|revision| seen("k", writer, revision, "u")).to_vec();
            let came = [("files", of("discover", [1, 2])), ("frames", of("identify", [1, 2]))];
            state(&[came.as_slice(), &[("thumbnails", of("render", order))]].concat())
        };
        assert!(compare(&run([1, 2]), &run([1, 2])).is_good());
        assert_eq!(counts(&compare(&run([1, 2]), &run([2, 1]))), (0, 0, 1));
    }

    #[test]
    fn another_index_is_not_good_though_every_record_is() {
        let (mut calm, storm) = (frames(&["a"]), frames(&["a"]));
        calm.thumbnails.insert("picture".to_owned());
        let verdict = compare(&calm, &storm);
        assert_eq!(counts(&verdict), (0, 0, 0));
        assert!(!verdict.is_good());
    }
}

use frameline_schemas::{file_id, job_id};
use proptest::prelude::*;

use super::*;

const STAGES: [&str; 5] = ["identify", "render", "validate", "embed", "index"];
const OUTCOMES: [Outcome; 3] = [Outcome::Done, Outcome::Skipped, Outcome::Failed];

fn head(revision: i64) -> Head {
    let file_id = file_id("default", b"/a.svg");
    let job_id = job_id(file_id, revision);
    Head { tenant: "default".to_owned(), file_id, revision, job_id, file_name: "/a.svg".to_owned() }
}

fn told(stage: &str, step: Step, unit: Option<u128>, outcome: Outcome) -> Progress {
    Progress {
        head: head(1),
        stage: stage.to_owned(),
        step,
        unit_id: unit.map(Uuid::from_u128),
        outcome,
        reason_code: (outcome != Outcome::Done).then(|| "blank".to_owned()),
        reason: (outcome != Outcome::Done).then(|| "nothing is on it".to_owned()),
        frames: None,
        passages: None,
        at: 1,
        redrives: 0,
        redriven: false,
    }
}

fn told_unit(stage: &str, outcome: Outcome) -> Progress {
    told(stage, Step::Unit, Some(1), outcome)
}

fn unit_failed(stage: &str, redrives: i32) -> Progress {
    Progress { redrives, ..told_unit(stage, Outcome::Failed) }
}

fn told_end() -> Progress {
    told("index", Step::End, None, Outcome::Done)
}

fn totals(frames: i32, passages: i32) -> Progress {
    let told = told("identify", Step::File, None, Outcome::Done);
    Progress { frames: Some(frames), passages: Some(passages), ..told }
}

fn tally(progress: &[Progress]) -> Tally {
    let mut tally = Tally::default();
    for job in union(progress).values() {
        tally.totals = job.totals;
        for (key, fact) in &job.facts {
            if is_taken_back(fact.turn) {
                tally.take_back(1);
            } else {
                tally.add(&key.stage, key.step, outcome_of(fact.rank).unwrap(), 1);
            }
        }
    }
    tally
}

fn state(progress: &[Progress]) -> JobState {
    tally(progress).state(false)
}

prop_compose! {
    fn any_progress()(
        revision in 1..3i64,
        stage in prop::sample::select(STAGES.to_vec()),
        step in prop::sample::select(vec![Step::File, Step::Unit, Step::End]),
        unit in 0..3u128,
        outcome in prop::sample::select(OUTCOMES.to_vec()),
        reason in prop::option::of("[ab]"),
        frames in prop::option::of(0..4i32),
        at in 0..3i64,
        redrives in 0..3i32,
        redriven in any::<bool>(),
    ) -> Progress {
        let unit_id = (step == Step::Unit).then(|| Uuid::from_u128(unit));
        let reason_code = reason.clone();
        let told = told(stage, step, None, outcome);
        let told = Progress { head: head(revision), unit_id, reason_code, reason, redrives, redriven, ..told };
        Progress { frames, passages: frames, at, ..told }
    }
}

proptest! {
    #[test]
    fn order_and_repeats_do_not_matter(
        (progress, shuffled) in prop::collection::vec(any_progress(), 0..40).prop_flat_map(|progress| {
            let repeated: Vec<Progress> = progress.iter().chain(progress.iter().step_by(2)).cloned().collect();
            (Just(progress), Just(repeated).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(union(&progress), union(&shuffled));
    }

    #[test]
    fn percent_stays_below_100_until_the_job_has_ended(progress in prop::collection::vec(any_progress(), 0..60)) {
        let tally = tally(&progress);
        for is_superseded in [false, true] {
            let state = tally.state(is_superseded);
            prop_assert_eq!(tally.percent(state) == 100, state.has_ended());
        }
    }

    #[test]
    fn a_failure_counts_until_a_later_redrive_takes_it_back_in_whatever_order_they_are_told(
        told in prop::collection::vec((0..4i32, any::<bool>()), 1..12),
        times in prop::collection::vec(0..5i64, 12),
    ) {
        let told: Vec<Progress> = told.into_iter().zip(times).map(|((redrives, redriven), at)| {
            let failed = unit_failed("render", redrives);
            Progress { redriven: redriven && redrives > 0, at, ..failed }
        }).collect();
        let last_failure = told.iter().filter(|told| !told.redriven).map(|told| told.redrives).max();
        let last_redrive = told.iter().filter(|told| told.redriven).map(|told| told.redrives).max();
        let facts = [told, vec![totals(1, 0), told_end()]].concat();
        let expected = if last_failure >= last_redrive { JobState::Failed } else { JobState::Running };
        prop_assert_eq!(state(&facts), expected);
        let through = STAGES[1..].iter().map(|stage| told_unit(stage, Outcome::Done));
        let done: Vec<Progress> = through.chain(facts).collect();
        prop_assert_eq!(state(&done), JobState::Done);
    }

    #[test]
    fn a_state_is_read_back_by_its_name(state in prop::sample::select(JobState::ALL.to_vec())) {
        prop_assert_eq!(JobState::parse(state.as_str()), Some(state));
    }
}

#[test]
fn a_job_runs_from_the_first_fact_and_is_done_at_the_end_of_its_file() {
    let mut progress = Vec::new();
    assert_eq!(state(&progress), JobState::Queued);
    progress.push(totals(1, 0));
    assert_eq!(state(&progress), JobState::Running);
    for stage in &STAGES[1..] {
        progress.push(told(stage, Step::Unit, Some(1), Outcome::Done));
        assert_eq!(state(&progress), JobState::Running);
        progress.push(told(stage, Step::End, None, Outcome::Done));
    }
    assert_eq!(state(&progress), JobState::Done);
}

#[test]
fn a_file_or_an_end_that_got_stuck_closes_the_job() {
    for (outcome, expected) in [(Outcome::Failed, JobState::Failed), (Outcome::Skipped, JobState::Skipped)] {
        assert_eq!(state(&[told("identify", Step::File, None, outcome)]), expected);
        assert_eq!(state(&[totals(1, 0), told("embed", Step::End, None, outcome)]), expected);
    }
}

#[test]
fn a_unit_that_failed_fails_the_job_at_its_end_and_one_that_was_skipped_does_not() {
    let failed = unit_failed("render", 0);
    assert_eq!(state(std::slice::from_ref(&failed)), JobState::Running);
    assert_eq!(state(&[failed, told_end()]), JobState::Failed);
    assert_eq!(state(&[told_unit("validate", Outcome::Skipped), told_end()]), JobState::Done);
}

#[test]
fn a_unit_that_is_put_back_makes_the_job_run_until_it_is_through_every_stage() {
    let mut facts = vec![totals(1, 0), unit_failed("render", 0), told_end()];
    assert_eq!(state(&facts), JobState::Failed);
    facts.push(Progress { redriven: true, ..unit_failed("render", 1) });
    assert_eq!(state(&facts), JobState::Running);
    for stage in &STAGES[1..] {
        assert_eq!(state(&facts), JobState::Running);
        facts.push(told_unit(stage, Outcome::Done));
    }
    assert_eq!(state(&facts), JobState::Done);
}

#[test]
fn a_file_that_is_put_back_makes_the_job_run() {
    let failed = told("identify", Step::File, None, Outcome::Failed);
    let redriven = Progress { redrives: 1, redriven: true, ..failed.clone() };
    assert_eq!(state(&[redriven.clone(), failed.clone()]), JobState::Running);
    let again = Progress { redrives: 1, ..failed };
    assert_eq!(state(&[redriven, again]), JobState::Failed);
}

#[test]
fn a_newer_revision_takes_the_place_of_a_job_that_has_not_ended() {
    let running = tally(&[totals(1, 0)]);
    assert_eq!(running.state(true), JobState::Skipped);
    let done = tally(&[totals(0, 0), told_end()]);
    assert_eq!(done.state(true), JobState::Done);
}

#[test]
fn percent_counts_the_steps_of_units_through_stages() {
    let percent = |progress: &[Progress]| tally(progress).percent(state(progress));
    assert_eq!(percent(&[told("identify", Step::File, None, Outcome::Done)]), 0);
    // Two frames of four steps, one passage of two, and the end: eleven.
    let mut progress = vec![totals(2, 1), told("identify", Step::File, None, Outcome::Done)];
    assert_eq!(percent(&progress), 0);
    progress.push(told("render", Step::Unit, Some(1), Outcome::Done));
    assert_eq!(percent(&progress), 9);
    progress.push(told("validate", Step::Unit, Some(1), Outcome::Skipped));
    assert_eq!(percent(&progress), 36);
    progress.push(told("render", Step::Unit, Some(2), Outcome::Failed));
    assert_eq!(percent(&progress), 72);
    progress.push(told("embed", Step::Unit, Some(3), Outcome::Done));
    progress.push(told("index", Step::Unit, Some(3), Outcome::Done));
    assert_eq!(percent(&progress), 90);
    progress.push(told("index", Step::End, None, Outcome::Done));
    assert_eq!(percent(&progress), 100);
}

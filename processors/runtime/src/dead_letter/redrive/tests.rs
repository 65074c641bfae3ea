use proptest::prelude::*;

use super::*;
use crate::dead_letter::letter::tests::{head, letter, record};
use crate::stage::Failure;

const CLASSES: [Class; 3] = [Class::Transient, Class::Unavailable, Class::Permanent];

prop_compose! {
    fn any_letter()(
        file in 0..3u8,
        revision in 1..4i64,
        class in prop::sample::select(CLASSES.to_vec()),
        error in prop::sample::select(vec!["no blob scenes/1f", "no blob scenes/2e", "it ends early"]),
        offset in 0..5i64,
        at_ms in 0..50i64,
        redrives in 0..5u32,
    ) -> Letter {
        let failure = Failure { class, code: "blob", error: error.to_owned() };
        let mut record = record(head(&[file], revision));
        record.headers.push(crate::dead_letter::REDRIVES, redrives.to_string());
        letter(&record, &failure, Place { partition: 0, offset }, at_ms)
    }
}

proptest! {
    #[test]
    fn only_a_letter_that_is_new_current_and_below_the_limit_is_redriven(
        letter in any_letter(),
        redriven in prop::collection::hash_set(0..5i64, 0..4),
        newest in prop::option::of(1..4i64),
        most_redrives in 0..5u32,
        is_read in any::<bool>(),
    ) {
        let redriven: HashSet<Place> = redriven.into_iter().map(|offset| Place { partition: 0, offset }).collect();
        let reads: &[&str] = if is_read { &["frames", "files"] } else { &["frames"] };
        let verdict = Rules { reads, redriven: &redriven, most_redrives }.judge(&letter, newest);
        let revision = letter.subject.as_ref().unwrap().head.revision;
        let is_current = newest.is_none_or(|newest| newest <= revision);
        let is_due = !redriven.contains(&letter.place) && is_read && is_current && letter.redrives < most_redrives;
        prop_assert_eq!(verdict == Verdict::Redrive, is_due, "{}", verdict);
    }

    #[test]
    fn every_letter_is_in_one_group_in_whatever_order_they_come(
        letters in prop::collection::vec(any_letter(), 1..30)
            .prop_map(|letters| letters.into_iter().zip(0..).map(|(letter, offset)| {
                Letter { place: Place { partition: 0, offset }, ..letter }
            }).collect::<Vec<_>>()),
    ) {
        let grouped = |letters: &mut dyn Iterator<Item = &Letter>| {
            let mut groups = Groups::default();
            letters.for_each(|letter| groups.add(letter));
            groups
        };
        let groups = grouped(&mut letters.iter());
        prop_assert_eq!(&groups, &grouped(&mut letters.iter().rev()));
        let rows = groups.largest_first();
        prop_assert_eq!(rows.iter().map(|(.., group)| group.letters).sum::<u64>(), letters.len() as u64);
        prop_assert!(rows.is_sorted_by_key(|(.., group)| std::cmp::Reverse(group.letters)));
        for (class, _, error, group) in rows {
            let of_group: Vec<_> = letters
                .iter()
                .filter(|letter| letter.class.as_str() == class && kind_of(&letter.error) == error)
                .collect();
            prop_assert_eq!(of_group.len() as u64, group.letters);
            prop_assert_eq!(of_group.iter().map(|letter| letter.at_ms).min(), Some(group.first_at_ms));
            prop_assert_eq!(of_group.iter().map(|letter| letter.at_ms).max(), Some(group.last_at_ms));
        }
    }

    #[test]
    fn what_fits_a_filter_fits_each_part_of_it(
        letter in any_letter(),
        file in prop::option::of(0..3u8),
        revision in prop::option::of(1..4i64),
        class in prop::option::of(prop::sample::select(CLASSES.to_vec())),
        error in prop::option::of(prop::sample::select(vec!["NO BLOB", "early", "blob: it"])),
        since_ms in prop::option::of(0..50i64),
        until_ms in prop::option::of(0..50i64),
    ) {
        let file = file.map(|file| head(&[file], 1).file_id);
        let job = revision.map(|revision| head(&[0], revision).job_id);
        let error = error.map(str::to_owned);
        let filter = Filter { file, job, class, error: error.clone(), since_ms, until_ms };
        let parts = [
            Filter { file, ..Filter::default() },
            Filter { job, ..Filter::default() },
            Filter { class, ..Filter::default() },
            Filter { error, ..Filter::default() },
            Filter { since_ms, ..Filter::default() },
            Filter { until_ms, ..Filter::default() },
        ];
        prop_assert_eq!(filter.fits(&letter), parts.iter().all(|part| part.fits(&letter)));
        prop_assert!(Filter::default().fits(&letter));
    }
}

#[test]
fn a_letter_is_found_by_its_parts_and_by_no_others() {
    let letter =
        letter(&record(head(b"/a", 2)), &Failure::permanent("blob", "No blob"), Place { partition: 0, offset: 1 }, 9);
    let fits = |filter: Filter| filter.fits(&letter);
    assert!(fits(Filter { file: Some(head(b"/a", 1).file_id), job: Some(head(b"/a", 2).job_id), ..Filter::default() }));
    assert!(!fits(Filter { job: Some(head(b"/a", 1).job_id), ..Filter::default() }));
    assert!(fits(Filter { error: Some("blob: no".to_owned()), class: Some(Class::Permanent), ..Filter::default() }));
    assert!(!fits(Filter { class: Some(Class::Transient), ..Filter::default() }));
    assert!(fits(Filter { since_ms: Some(9), until_ms: Some(10), ..Filter::default() }));
    assert!(!fits(Filter { until_ms: Some(9), ..Filter::default() }));
}

#[test]
fn an_error_is_told_without_what_differs_from_file_to_file() {
    for (error, kind) in [
        ("there is no blob scenes/ab/cd12.svg here", "there is no blob … here"),
        ("it has 300 MB", "it has … MB"),
        ("took 3 of 4", "took … of …"),
        ("1 2 3", "…"),
        ("it ends early", "it ends early"),
    ] {
        assert_eq!(kind_of(error), kind);
    }
}

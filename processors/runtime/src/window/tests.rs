use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn the_position_waits_for_the_lowest_unfinished_record() {
    let mut window = Window::new(10);
    for offset in [10, 11, 12, 13] {
        assert_eq!(window.track(offset), Tracked::New);
    }
    window.finish(12);
    window.finish(11);
    assert_eq!(window.position(), 10);
    let restored = Window::restore(10, &window.metadata()).unwrap();
    assert_eq!(restored.restored.front(), Some(&(11..13)));
    window.finish(10);
    assert_eq!(window.position(), 13);
    window.finish(13);
    assert_eq!((window.position(), window.metadata()), (14, String::new()));
}

#[test]
fn there_is_much_room_once_half_of_a_full_window_is_finished() {
    let mut window = Window::new(0);
    // Every second one finished, which no short list of runs can say.
    let mut offset = 0;
    while window.has_room() {
        window.track(offset);
        if offset % 2 == 1 {
            window.finish(offset);
        }
        offset += 1;
    }
    let full = window.unfinished();
    let mut next = 0;
    while !window.has_much_room() {
        window.finish(next);
        next += 2;
    }
    assert!(window.has_room() && window.unfinished().abs_diff(full / 2) < 10, "{} of {full}", window.unfinished());
}

#[test]
fn markers_and_the_end_of_the_partition_are_passed_over() {
    let mut window = Window::new(0);
    window.track(0);
    window.track(5);
    window.reach_end(9);
    window.finish(0);
    assert_eq!(window.position(), 5, "1 to 4 never come");
    window.finish(5);
    assert_eq!(window.position(), 9, "6 to 8 are markers");
}

#[test]
fn what_was_finished_before_a_restart_is_not_done_again() {
    let mut window = Window::new(0);
    for offset in 0..100 {
        window.track(offset);
    }
    (1..100).filter(|offset| offset % 3 != 0).for_each(|offset| window.finish(offset));
    let mut again = Window::restore(window.position(), &window.metadata()).unwrap();
    let to_do: Vec<i64> = (0..100).filter(|offset| again.track(*offset) == Tracked::New).collect();
    assert_eq!(to_do, (0..100).step_by(3).collect::<Vec<_>>());
}

#[test]
fn metadata_of_others_is_an_error() {
    for text in ["hello", "", "!", "AAAA", "Av////////////8="] {
        let result = Window::restore(0, text);
        assert_eq!(result.is_ok(), text.is_empty(), "{text}");
    }
}

/// What happens to a partition: records come with gaps, and finish in any order.
#[derive(Debug, Clone)]
enum Step {
    Come { gap: i64 },
    Finish { pick: usize },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_i64..4).prop_map(|gap| Step::Come { gap }),
        5 => any::<usize>().prop_map(|pick| Step::Finish { pick }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn a_map_of_more_than_fits_ends_earlier_and_says_nothing_wrong(seed in any::<u64>(), records in 1_i64..60_000) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut window = Window::new(0);
        (0..records).for_each(|offset| _ = window.track(offset));
        let finished: BTreeSet<i64> = (1..records).filter(|_| random.bool()).collect();
        finished.iter().for_each(|offset| window.finish(*offset));
        let metadata = window.metadata();
        prop_assert!(metadata.len() <= METADATA_LIMIT_BYTES);
        let restored = Window::restore(window.position(), &metadata).unwrap();
        let known: Vec<i64> = restored.restored.iter().cloned().flatten().collect();
        prop_assert!(known.iter().all(|offset| finished.contains(offset)));
        prop_assert!(known.len() * 4 >= finished.len().min(20_000), "{} of {}", known.len(), finished.len());
    }

    #[test]
    fn no_position_passes_an_unfinished_record_and_none_is_done_twice(steps in steps()) {
        let mut window = Window::new(0);
        // The log as it is: offsets that exist, and which of them were finished and committed.
        let (mut exists, mut finished) = (Vec::<i64>::new(), BTreeSet::<i64>::new());
        let (mut next, mut in_hand) = (0_i64, Vec::<i64>::new());
        for step in steps {
            match step {
                Step::Come { gap } => {
                    let offset = next + gap;
                    next = offset + 1;
                    exists.push(offset);
                    prop_assert_eq!(window.track(offset), Tracked::New);
                    in_hand.push(offset);
                }
                Step::Finish { pick } if !in_hand.is_empty() => {
                    let offset = in_hand.swap_remove(pick % in_hand.len());
                    window.finish(offset);
                    finished.insert(offset);
                }
                Step::Finish { .. } => {}
                Step::Restart => {
                    let (position, metadata) = (window.position(), window.metadata());
                    prop_assert!(metadata.len() <= METADATA_LIMIT_BYTES);
                    window = Window::restore(position, &metadata).unwrap();
                    in_hand.clear();
                    for &offset in exists.iter().filter(|offset| **offset >= position) {
                        let known = window.track(offset) == Tracked::Known;
                        prop_assert_eq!(known, finished.contains(&offset), "offset {}", offset);
                        if !known {
                            in_hand.push(offset);
                        }
                    }
                }
            }
            let lowest = exists.iter().find(|offset| !finished.contains(offset));
            prop_assert!(lowest.is_none_or(|lowest| window.position() <= *lowest));
            prop_assert_eq!(window.unfinished(), in_hand.len());
        }
    }

    #[test]
    fn while_it_has_room_every_order_of_completions_fits_the_metadata(
        finished_share in 0_u32..=100, gap in 0_i64..50, seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut window = Window::new(7);
        window.track(7);
        let (mut offset, mut in_hand) = (8, Vec::new());
        for _ in 0..30_000 {
            if !window.has_room() {
                break;
            }
            offset += 1 + random.i64(0..=gap);
            window.track(offset);
            if random.u32(0..100) < finished_share { window.finish(offset) } else { in_hand.push(offset) }
        }
        prop_assert!(window.metadata().len() <= METADATA_LIMIT_BYTES);
        // The worst order: every second one of those in hand.
        in_hand.iter().step_by(2).for_each(|offset| window.finish(*offset));
        prop_assert!(window.metadata().len() <= METADATA_LIMIT_BYTES, "{}", window.metadata().len());
    }

    #[test]
    fn decoding_what_was_encoded_gives_it_back(lengths in prop::collection::vec(1_u64..2_000, 0..60)) {
        let mut runs = Runs::default();
        for (index, length) in lengths.iter().enumerate() {
            runs.extend(index % 2 == 1, *length);
        }
        let runs = runs.trimmed();
        let decoded = decode(100, &encode(&runs)).unwrap();
        let mut again = Runs::default();
        let mut next = 100;
        for range in decoded {
            again.extend(false, distance(next, range.start));
            again.extend(true, distance(range.start, range.end));
            next = range.end;
        }
        prop_assert_eq!(again.trimmed(), runs);
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
        let _ = Window::restore(i64::MAX - 3, &STANDARD_NO_PAD.encode(bytes));
        let _ = Window::restore(0, &text);
    }
}

use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("frames", number)
}

fn place(number: i32, committed: Option<i64>, low: i64, high: i64) -> PartitionLag {
    PartitionLag { partition: partition(number), committed, low, high, has_map: false }
}

/// Partitions of which some have lost their first records, and where a group is in them; also behind retention.
fn group() -> impl Strategy<Value = Vec<PartitionLag>> {
    let place = (0..50_i64, 0..50_i64, option::of(0..100_i64), any::<bool>());
    btree_map(0..8_i32, place, 0..8).prop_map(|places| {
        let of = |(number, (low, kept, committed, has_map)): (i32, (i64, i64, Option<i64>, bool))| {
            let place = place_of(number, low, low + kept, committed);
            // There is a map only of what lies between the group and the end.
            let has_map = has_map && place.committed.is_some_and(|at| at >= low && at < low + kept);
            PartitionLag { has_map, ..place }
        };
        places.into_iter().map(of).collect()
    })
}

fn place_of(number: i32, low: i64, high: i64, committed: Option<i64>) -> PartitionLag {
    place(number, committed.map(|offset| offset.min(high)), low, high)
}

fn wanted() -> impl Strategy<Value = Offsets> {
    btree_map((0..8_i32).prop_map(partition), 0..120_i64, 0..8)
}

proptest! {
    #[test]
    fn a_way_back_only_goes_back_and_only_to_what_is_there(group in group(), wanted in wanted()) {
        for step in back(&group, &wanted) {
            let place = group.iter().find(|place| place.partition == step.partition).unwrap();
            prop_assert_eq!(place.committed, Some(step.from));
            prop_assert!(step.to < step.from || (step.only_forgets() && place.has_map));
            prop_assert!((place.low..=place.high).contains(&step.to));
            let wanted_by_clamp = match step.clamp {
                Some(Clamp::Retention { wanted: Some(wanted) } | Clamp::End { wanted }) => wanted,
                _ => step.to,
            };
            prop_assert_eq!(wanted_by_clamp, wanted[&step.partition].min(step.from));
            prop_assert_eq!(step.again(), step.from - step.to);
            prop_assert_eq!(step.passed(), 0);
        }
    }

    #[test]
    fn a_way_back_leaves_out_nothing_that_it_could_reach(group in group(), wanted in wanted()) {
        let steps = back(&group, &wanted);
        for place in &group {
            let (Some(from), Some(wanted)) = (place.committed, wanted.get(&place.partition)) else { continue };
            let has_step = steps.iter().any(|step| step.partition == place.partition);
            let forgets = place.has_map && *wanted < place.high;
            prop_assert_eq!(has_step, (*wanted).max(place.low) < from || forgets, "{:?} to {}", place, wanted);
        }
    }

    #[test]
    fn restoring_what_a_way_back_left_ends_where_it_began(group in group(), wanted in wanted()) {
        let group: Vec<_> = group.into_iter().filter(|place| place.committed.is_none_or(|at| at >= place.low)).collect();
        let steps = back(&group, &wanted);
        let backup: Offsets = steps.iter().map(|step| (step.partition.clone(), step.from)).collect();
        let mut rewound = group.clone();
        for step in &steps {
            let place = rewound.iter_mut().find(|place| place.partition == step.partition).unwrap();
            place.committed = Some(step.to);
        }
        for step in restore(&rewound, &backup).unwrap() {
            let place = rewound.iter_mut().find(|place| place.partition == step.partition).unwrap();
            prop_assert_eq!((place.committed, step.clamp), (Some(step.from), None));
            place.committed = Some(step.to);
        }
        let places = |group: &[PartitionLag]| group.iter().map(|place| place.committed).collect::<Vec<_>>();
        prop_assert_eq!(places(&rewound), places(&group));
    }

    #[test]
    fn a_backup_is_read_as_it_was_written(offsets in btree_map(("[a-z.]{1,8}", 0..99_i32), 0..i64::MAX, 1..20)) {
        let offsets: Offsets =
            offsets.into_iter().map(|((topic, number), at)| (TopicPartition::new(topic, number), at)).collect();
        prop_assert_eq!(backup::parse(&backup::render(&offsets)).unwrap(), offsets);
    }

    #[test]
    fn no_text_breaks_the_reader_of_backups(text in "\\PC*|([a-z\",0-9-]*\n)*") {
        let _ = backup::parse(&text);
    }
}

#[test]
fn what_retention_has_taken_is_clamped_and_said_so() {
    let steps = back(
        &[place(0, Some(90), 40, 100), place(1, Some(90), 0, 100)],
        &Offsets::from([(partition(0), 10), (partition(1), 10)]),
    );
    let step = |number, to, clamp| Step { partition: partition(number), from: 90, to, clamp };
    assert_eq!(steps, [step(0, 40, Some(Clamp::Retention { wanted: Some(10) })), step(1, 10, None)]);
}

#[test]
fn a_time_from_which_retention_may_have_deleted_records_says_so() {
    let group = [place(0, Some(90), 40, 100), place(1, Some(90), 0, 100), place(2, Some(90), 40, 100)];
    let found = Offsets::from([(partition(0), 40), (partition(1), 0), (partition(2), 41)]);
    let clamps: Vec<_> = back_to_time(&group, &found).into_iter().map(|step| step.clamp).collect();
    assert_eq!(clamps, [Some(Clamp::Retention { wanted: None }), None, None]);
}

#[test]
fn an_offset_that_was_named_is_refused_where_it_cannot_be() {
    let group = [place(0, Some(5), 0, 100), place(1, None, 0, 100)];
    let wanted = |number, offset| Offsets::from([(partition(number), offset)]);
    let refused = |number, offset| back_exactly(&group, &wanted(number, offset)).unwrap_err();
    assert_eq!(refused(0, 6), PlanError::Forward { partition: partition(0), from: 5, wanted: 6 });
    let finished_above = [PartitionLag { has_map: true, ..place(0, Some(5), 0, 100) }];
    let forgets = back_exactly(&finished_above, &wanted(0, 6)).unwrap();
    assert!(forgets[0].only_forgets() && forgets.len() == 1, "{forgets:?}");
    assert!(back_exactly(&finished_above, &wanted(0, 100)).is_err());
    assert_eq!(refused(1, 0), PlanError::NeverCommitted(partition(1)));
    assert_eq!(refused(7, 0), PlanError::Foreign(partition(7)));
    assert_eq!(back_exactly(&group, &wanted(0, 5)).unwrap(), []);
    assert_eq!(back_exactly(&group, &wanted(0, 4)).unwrap().len(), 1);
}

#[test]
fn a_backup_may_lead_forward_but_not_beyond_the_end() {
    let steps = restore(&[place(0, Some(5), 0, 100)], &Offsets::from([(partition(0), 120)])).unwrap();
    assert_eq!(steps, [Step { partition: partition(0), from: 5, to: 100, clamp: Some(Clamp::End { wanted: 120 }) }]);
    assert_eq!((steps[0].again(), steps[0].passed()), (0, 95));
}

#[test]
fn a_backup_of_kafkas_tool_is_read_and_what_is_none_is_refused_by_its_line() {
    let read = backup::parse("frames,0,12\r\n\"frames\",1,7\n\n").unwrap();
    assert_eq!(read, Offsets::from([(partition(0), 12), (partition(1), 7)]));
    for (text, words) in [
        ("frames,0,12\nframes,1\n", "line 2 is `frames,1`"),
        ("frames,0,-1\n", "line 1"),
        ("group,frames,0,1\n", "line 1"),
        ("frames,0,1\nframes,0,2\n", "line 2 names frames/0 a second time"),
        ("\n", "no partition"),
    ] {
        let refusal = backup::parse(text).unwrap_err().to_string();
        assert!(refusal.contains(words), "{refusal}");
    }
}

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbered {
    key: u8,
    number: u32,
    alone: bool,
}

impl Item for Numbered {
    fn size_bytes(&self) -> usize {
        10
    }

    fn alone(&self) -> bool {
        self.alone
    }
}

fn item(key: u8, number: u32) -> Numbered {
    Numbered { key, number, alone: false }
}

fn key(number: u8) -> Bytes {
    Bytes::copy_from_slice(&[number])
}

#[test]
fn a_batch_takes_runs_of_several_keys_and_leaves_busy_keys_alone() {
    let now = Instant::now();
    let mut lanes = Lanes::default();
    for (lane, number) in [(1, 1), (1, 2), (2, 3), (1, 4)] {
        lanes.push(Some(&key(lane)), item(lane, number), now);
    }
    let numbers = |batch: &[(LaneId, Numbered)]| batch.iter().map(|(_, item)| item.number).collect::<Vec<_>>();
    let first = lanes.take(2, 1_000, now);
    assert_eq!(numbers(&first), [1, 2]);
    assert_eq!(numbers(&lanes.take(9, 1_000, now)), [3], "4 has the key of 1 and 2");
    lanes.release(first[0].0, now);
    assert_eq!(numbers(&lanes.take(9, 1_000, now)), [4]);
}

#[test]
fn a_record_larger_than_a_batch_is_a_batch_of_its_own() {
    let now = Instant::now();
    let mut lanes = Lanes::default();
    lanes.push(None, item(1, 1), now);
    lanes.push(None, item(1, 2), now);
    assert_eq!(lanes.take(9, 5, now).len(), 1);
    assert_eq!(lanes.take(9, 5, now).len(), 1);
}

#[test]
fn a_suspect_record_is_never_beside_others() {
    let now = Instant::now();
    let mut lanes = Lanes::default();
    lanes.push(Some(&key(1)), item(1, 1), now);
    lanes.push(Some(&key(2)), Numbered { key: 2, number: 2, alone: true }, now);
    lanes.push(Some(&key(3)), item(3, 3), now);
    let sizes: Vec<usize> = (0..3).map(|_| lanes.take(9, 1_000, now).len()).collect();
    assert_eq!(sizes, [1, 1, 1]);
}

#[test]
fn a_key_with_many_records_is_not_left_behind_by_others() {
    let now = Instant::now();
    let mut lanes = Lanes::default();
    for (lane, number) in [(1, 1), (1, 2), (1, 3), (2, 4), (3, 5), (2, 6)] {
        lanes.push(Some(&key(lane)), item(lane, number), now);
    }
    let mut numbers = Vec::new();
    while let Some((id, item)) = lanes.take(1, 1_000, now).pop() {
        numbers.push(item.number);
        lanes.release(id, now);
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[derive(Debug, Clone)]
enum Step {
    Push { key: u8 },
    Take { records: usize },
    Through { pick: usize },
    GiveBack { pick: usize, from: usize },
    Pass,
    Forget { key: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0_u8..6).prop_map(|key| Step::Push { key }),
        3 => (1_usize..5).prop_map(|records| Step::Take { records }),
        3 => any::<usize>().prop_map(|pick| Step::Through { pick }),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(pick, from)| Step::GiveBack { pick, from }),
        1 => Just(Step::Pass),
        1 => (0_u8..6).prop_map(|key| Step::Forget { key }),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    /// Of what is ready the oldest goes first, whatever was taken, released and tried again before.
    #[test]
    fn the_oldest_record_that_is_ready_goes_first(
        keys in prop::collection::vec(0_u8..6, 1..60),
        picks in prop::collection::vec((any::<usize>(), any::<bool>()), 0..200),
    ) {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        for (number, lane) in (0..).zip(&keys) {
            lanes.push(Some(&key(*lane)), item(*lane, number), now);
        }
        let mut waiting: Vec<Numbered> = (0..).zip(&keys).map(|(number, lane)| item(*lane, number)).collect();
        let mut busy: Vec<(LaneId, Numbered)> = Vec::new();
        for (pick, fails) in picks {
            let oldest = waiting.iter().find(|item| busy.iter().all(|(_, other)| other.key != item.key)).copied();
            let taken = lanes.take(1, 1_000, now).pop();
            prop_assert_eq!(taken.map(|(_, item)| item), oldest);
            busy.extend(taken);
            waiting.retain(|item| Some(*item) != oldest);
            if busy.is_empty() || (oldest.is_some() && pick % 3 == 0) {
                continue;
            }
            let (id, item) = busy.swap_remove(pick % busy.len());
            if fails {
                lanes.give_back(id, [item].into_iter(), now);
                lanes.wake(now);
                waiting.push(item);
                waiting.sort_by_key(|item| item.number);
            } else {
                lanes.release(id, now);
            }
        }
    }

    /// A lane's run out of a batch is what the test completes: whole, or from some record on given back.
    #[test]
    fn records_of_a_key_leave_in_the_order_they_came(steps in steps()) {
        let mut now = Instant::now();
        let mut lanes = Lanes::default();
        let mut under_way: Vec<(LaneId, Vec<Numbered>)> = Vec::new();
        let mut came: HashMap<u8, Vec<u32>> = HashMap::new();
        let mut left: HashMap<u8, Vec<u32>> = HashMap::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Push { key: lane } => {
                    next += 1;
                    lanes.push(Some(&key(lane)), item(lane, next), now);
                    came.entry(lane).or_default().push(next);
                }
                Step::Take { records } => {
                    for (id, item) in lanes.take(records, 1_000, now) {
                        match under_way.iter_mut().find(|(other, _)| *other == id) {
                            Some((_, run)) => {
                                prop_assert_eq!(run[0].key, item.key);
                                run.push(item);
                            }
                            None => {
                                prop_assert!(under_way.iter().all(|(_, run)| run[0].key != item.key), "two batches have one key");
                                under_way.push((id, vec![item]));
                            }
                        }
                    }
                }
                Step::Through { pick } if !under_way.is_empty() => {
                    let (id, run) = under_way.swap_remove(pick % under_way.len());
                    run.iter().for_each(|item| left.entry(item.key).or_default().push(item.number));
                    lanes.release(id, now);
                }
                Step::GiveBack { pick, from } if !under_way.is_empty() => {
                    let (id, mut run) = under_way.swap_remove(pick % under_way.len());
                    let back = run.split_off(from % run.len());
                    run.iter().for_each(|item| left.entry(item.key).or_default().push(item.number));
                    lanes.give_back(id, back.into_iter(), now + Duration::from_millis(5));
                }
                Step::Pass => {
                    now += Duration::from_millis(5);
                    lanes.wake(now);
                }
                Step::Forget { key: forgotten } => {
                    lanes.retain(|item| item.key != forgotten);
                    let in_hand: Vec<u32> = under_way.iter().flat_map(|(_, run)| run.iter().map(|item| item.number)).collect();
                    let gone = left.entry(forgotten).or_default().clone();
                    came.entry(forgotten).or_default().retain(|number| gone.contains(number) || in_hand.contains(number));
                }
                Step::Through { .. } | Step::GiveBack { .. } => {}
            }
            for (lane, numbers) in &left {
                prop_assert_eq!(&came[lane][..numbers.len()], &numbers[..]);
            }
        }
        // Nothing is stuck: whatever is in hand comes out in the end.
        for _ in 0..2_000 {
            now += Duration::from_millis(5);
            lanes.wake(now);
            for (id, run) in std::mem::take(&mut under_way) {
                run.iter().for_each(|item| left.entry(item.key).or_default().push(item.number));
                lanes.release(id, now);
            }
            for (id, item) in lanes.take(3, 1_000, now) {
                match under_way.iter_mut().find(|(other, _)| *other == id) {
                    Some((_, run)) => run.push(item),
                    None => under_way.push((id, vec![item])),
                }
            }
            if under_way.is_empty() && lanes.queued() == 0 {
                break;
            }
        }
        came.retain(|_, numbers| !numbers.is_empty());
        left.retain(|_, numbers| !numbers.is_empty());
        prop_assert_eq!(came, left);
        prop_assert_eq!(lanes.ready(), Ready { records: 0, bytes: 0, since: None });
    }
}

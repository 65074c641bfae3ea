//! The protocol under members that come, go, fall silent and are slow, in any order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const TIMEOUT_MS: i64 = 1_000;
const DRAIN_MS: i64 = 300;

/// The table, the clock, and what every living member believes.
#[derive(Default)]
struct World {
    group: Group,
    now_ms: i64,
    last_id: MemberId,
    let_go: BTreeSet<LetGo>,
}

#[derive(Debug, Clone)]
enum Happening {
    Join,
    Die(usize),
    Leave(usize),
    Round(usize),
    LetGo(usize),
    Wait(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => Just(Happening::Join),
        1 => (0..8_usize).prop_map(Happening::Die),
        1 => (0..8_usize).prop_map(Happening::Leave),
        8 => (0..8_usize).prop_map(Happening::Round),
        4 => (0..8_usize).prop_map(Happening::LetGo),
        2 => (1..500_i64).prop_map(Happening::Wait),
    ]
}

impl World {
    fn new(partitions: i32) -> Self {
        let slots = (0..partitions).map(|partition| (Slot { partition, topic: 1 }, None)).collect();
        Self { group: Group { slots, ..Group::default() }, ..Self::default() }
    }

    fn nth_member(&self, nth: usize) -> Option<MemberId> {
        let count = self.group.members.len().max(1);
        self.group.members.keys().nth(nth % count).copied()
    }

    fn join(&mut self) {
        self.last_id += 1;
        self.group.members.insert(self.last_id, Lease { seen_at_ms: self.now_ms, timeout_ms: TIMEOUT_MS });
    }

    fn leave(&mut self, member: MemberId) {
        self.group.members.remove(&member);
        for holding in self.group.slots.values_mut() {
            *holding = holding.filter(|holding| holding.owner != member);
        }
    }

    /// One round of `member`; returns whether it changed anything.
    fn round(&mut self, member: MemberId) -> Result<bool, TestCaseError> {
        let Some(moves) = self.group.moves(member, &self.let_go, self.now_ms) else { return Ok(false) };
        if let Some(lease) = self.group.members.get_mut(&member) {
            lease.seen_at_ms = self.now_ms;
        }
        for expired in &moves.expired {
            prop_assert_ne!(*expired, member);
            self.leave(*expired);
        }
        for slot in &moves.freed {
            self.group.slots.insert(*slot, None);
        }
        for slot in &moves.revoked {
            let holding = self.group.slots[slot].unwrap();
            prop_assert_eq!(holding, Holding { owner: member, revoke_by_ms: None });
            self.group.slots.insert(*slot, Some(Holding { revoke_by_ms: Some(self.now_ms + DRAIN_MS), ..holding }));
        }
        for slot in &moves.taken {
            prop_assert!(self.group.slots[slot].is_none(), "{slot:?} has a holder");
            self.group.slots.insert(*slot, Some(Holding { owner: member, revoke_by_ms: None }));
        }
        Ok(!moves.is_empty())
    }

    fn let_go_one(&mut self, nth: usize) {
        let revoking = |(slot, holding): (&Slot, &Option<Holding>)| Some((*slot, holding.as_ref()?.revoke_by_ms?));
        let revoking: Vec<LetGo> = self.group.slots.iter().filter_map(revoking).collect();
        self.let_go.extend(revoking.get(nth % revoking.len().max(1)));
    }

    fn happen(&mut self, happening: &Happening) -> Result<(), TestCaseError> {
        match happening {
            Happening::Join => self.join(),
            // A member that died says nothing; only its lease tells.
            Happening::Die(nth) => {
                let dead = self.nth_member(*nth);
                if let Some(lease) = dead.and_then(|dead| self.group.members.get_mut(&dead)) {
                    lease.seen_at_ms -= TIMEOUT_MS;
                }
            }
            Happening::Leave(nth) => {
                if let Some(member) = self.nth_member(*nth) {
                    self.leave(member);
                }
            }
            Happening::Round(nth) => {
                if let Some(member) = self.nth_member(*nth) {
                    self.round(member)?;
                }
            }
            Happening::LetGo(nth) => self.let_go_one(*nth),
            Happening::Wait(ms) => self.now_ms += ms,
        }
        Ok(())
    }
}

proptest! {
    /// [`World::round`] asserts after every step that nothing is taken from a holder.
    #[test]
    fn whatever_happens_the_group_comes_to_rest_with_even_shares(
        partitions in 1..13_i32,
        happenings in vec(happening(), 0..60),
    ) {
        let mut world = World::new(partitions);
        for happening in &happenings {
            world.happen(happening)?;
        }
        world.join();
        let mut rounds_left = 200;
        loop {
            world.now_ms += 50;
            let mut moved = false;
            for member in world.group.members.keys().copied().collect::<Vec<_>>() {
                moved |= world.round(member)?;
            }
            let draining = world.group.slots.values().flatten().any(|holding| holding.revoke_by_ms.is_some());
            if !moved && !draining {
                break;
            }
            rounds_left -= 1;
            prop_assert!(rounds_left > 0, "it never comes to rest");
        }
        let share = |member: MemberId| world.group.slots.values().flatten().filter(|holding| holding.owner == member).count();
        let shares: Vec<usize> = world.group.members.keys().map(|member| share(*member)).collect();
        prop_assert_eq!(shares.iter().sum::<usize>(), world.group.slots.len());
        prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
    }
}

fn two_members(seen_at_ms: [i64; 2]) -> Group {
    let lease = |seen_at_ms| Lease { seen_at_ms, timeout_ms: TIMEOUT_MS };
    let holding = Holding { owner: 1, revoke_by_ms: None };
    Group {
        members: BTreeMap::from([(1, lease(seen_at_ms[0])), (2, lease(seen_at_ms[1]))]),
        slots: (0..4).map(|partition| (Slot { partition, topic: 1 }, Some(holding))).collect(),
    }
}

#[test]
fn a_silent_member_is_given_up_and_its_partitions_are_taken() {
    let moves = two_members([0, 1_500]).moves(2, &BTreeSet::new(), 1_600).unwrap();
    assert_eq!((moves.expired, moves.taken.len()), (vec![1], 4));
}

#[test]
fn a_member_seen_in_the_future_was_there_before_the_machine_restarted() {
    let moves = two_members([90_000, 1_500]).moves(2, &BTreeSet::new(), 1_600).unwrap();
    assert_eq!(moves.expired, [1]);
}

#[test]
fn after_a_sleep_of_the_whole_machine_nobody_is_given_up() {
    let moves = two_members([0, 10]).moves(2, &BTreeSet::new(), 60_000).unwrap();
    assert_eq!(moves, Moves::default());
}

#[test]
fn a_member_that_was_given_up_has_no_moves() {
    assert_eq!(two_members([0, 0]).moves(3, &BTreeSet::new(), 10), None);
}

#[test]
fn a_revoked_partition_stays_until_it_is_let_go_or_its_deadline_passes() {
    let mut group = two_members([0, 0]);
    let slot = Slot { partition: 3, topic: 1 };
    let holding = Holding { owner: 1, revoke_by_ms: Some(300) };
    group.slots.insert(slot, Some(holding));
    let taken = |let_go: &[LetGo], now_ms| group.moves(2, &let_go.iter().copied().collect(), now_ms).unwrap().taken;
    assert_eq!(taken(&[], 300), []);
    assert_eq!(taken(&[(slot, 299)], 300), [], "another revocation was let go");
    assert_eq!(taken(&[(slot, 300)], 300), [slot]);
    assert_eq!(taken(&[], 301), [slot]);
}

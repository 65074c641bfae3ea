//! Who shall have which partition: a pure function of the members and of what they have.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::iter::repeat_n;

/// A member of a group, as the log numbers them; never used twice.
pub(super) type MemberId = i64;

/// A partition of one of the group's topics.
///
/// The number comes first in the order, so that a member tends to get the same partitions of sibling topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    /// The partition's number within its topic.
    pub partition: i32,
    /// The topic's id.
    pub topic: i64,
}

/// Gives every slot to one member; `slots` says who has each now.
///
/// Shares differ by one at most, and the larger ones go to those who have more already. Everyone keeps what
/// fits into their share, lowest first; the rest fills up what is left of the shares, in order.
pub(super) fn assign(members: &[MemberId], slots: &BTreeMap<Slot, Option<MemberId>>) -> BTreeMap<Slot, MemberId> {
    let mut room = shares(members, slots);
    let mut assignment = BTreeMap::new();
    for (slot, owner) in slots {
        let Some(owner) = owner else { continue };
        if let Some(left) = room.get_mut(owner).filter(|left| **left > 0) {
            *left -= 1;
            assignment.insert(*slot, *owner);
        }
    }
    let takers = room.into_iter().flat_map(|(member, left)| repeat_n(member, left));
    let open: Vec<Slot> = slots.keys().filter(|slot| !assignment.contains_key(slot)).copied().collect();
    assignment.extend(open.into_iter().zip(takers));
    assignment
}

fn shares(members: &[MemberId], slots: &BTreeMap<Slot, Option<MemberId>>) -> BTreeMap<MemberId, usize> {
    let has = |member: MemberId| slots.values().filter(|owner| **owner == Some(member)).count();
    let mut by_holding: Vec<(Reverse<usize>, MemberId)> =
        members.iter().map(|member| (Reverse(has(*member)), *member)).collect();
    by_holding.sort_unstable();
    let (least, larger) = (slots.len() / members.len().max(1), slots.len() % members.len().max(1));
    let share = |rank: usize| least + usize::from(rank < larger);
    by_holding.into_iter().enumerate().map(|(rank, (_, member))| (member, share(rank))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn slots() -> impl Strategy<Value = BTreeMap<Slot, Option<MemberId>>> {
        let slot = (0..12, 1..4_i64).prop_map(|(partition, topic)| Slot { partition, topic });
        btree_map(slot, option::of(0..8_i64), 0..36)
    }

    proptest! {
        #[test]
        fn every_slot_has_one_owner_and_shares_differ_by_one(members in btree_set(0..8_i64, 1..8), slots in slots()) {
            let members: Vec<MemberId> = members.into_iter().collect();
            let assignment = assign(&members, &slots);
            prop_assert!(assignment.keys().eq(slots.keys()));
            let counts = members.iter().map(|member| assignment.values().filter(|owner| *owner == member).count());
            let (least, most) = counts.fold((usize::MAX, 0), |(least, most), count| (least.min(count), most.max(count)));
            prop_assert!(most - least <= 1, "{least} to {most}");
            prop_assert!(assignment.values().all(|owner| members.contains(owner)));
        }

        #[test]
        fn an_owner_keeps_all_that_fits_into_its_share(members in btree_set(0..8_i64, 1..8), slots in slots()) {
            let members: Vec<MemberId> = members.into_iter().collect();
            let assignment = assign(&members, &slots);
            for member in &members {
                let had = slots.values().filter(|owner| **owner == Some(*member)).count();
                let kept = slots.iter().filter(|(slot, owner)| **owner == Some(*member) && assignment[slot] == *member).count();
                let share = assignment.values().filter(|owner| *owner == member).count();
                prop_assert_eq!(kept, had.min(share));
                prop_assert!(share >= had.min(slots.len() / members.len()));
            }
        }

        #[test]
        fn a_balanced_assignment_stays_as_it_is(members in btree_set(0..8_i64, 1..8), slots in slots()) {
            let members: Vec<MemberId> = members.into_iter().collect();
            let assignment = assign(&members, &slots);
            let reached = assignment.iter().map(|(slot, owner)| (*slot, Some(*owner))).collect();
            prop_assert_eq!(assign(&members, &reached), assignment);
        }
    }

    #[test]
    fn without_members_nobody_has_anything() {
        let slots = BTreeMap::from([(Slot { partition: 0, topic: 1 }, None)]);
        assert!(assign(&[], &slots).is_empty());
    }

    #[test]
    fn sibling_topics_stay_together() {
        let slot = |partition, topic| Slot { partition, topic };
        let slots = (0..4).flat_map(|partition| [(slot(partition, 1), None), (slot(partition, 2), None)]).collect();
        let assignment = assign(&[7, 9], &slots);
        assert!((0..4).all(|partition| assignment[&slot(partition, 1)] == assignment[&slot(partition, 2)]));
    }
}

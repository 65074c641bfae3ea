//! The group's protocol: what one member may do in one round, as a value.
//!
//! There is no coordinator. Each member looks at the same table under the same lock, works out the same
//! [`assign`]ment, and does its own part of it:
//!
//! - It gives up members whose lease ran out, and frees what nobody holds any more.
//! - It revokes what it has and another shall have: it stays the holder until it lets go or the deadline passes.
//! - It takes what is free and shall be its own.
//!
//! So a partition has one holder at most at any time, and when nobody comes or goes the shares end up even.

use std::collections::{BTreeMap, BTreeSet};

use super::assign::{MemberId, Slot, assign};

/// A member's sign of life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    /// When it was last seen, in milliseconds since the machine started.
    pub seen_at_ms: i64,
    /// How long it may be silent.
    pub timeout_ms: i64,
}

impl Lease {
    /// A time in the future was written before the machine restarted: such a member is gone too.
    pub(super) fn holds(self, now_ms: i64) -> bool {
        (self.seen_at_ms..=self.seen_at_ms.saturating_add(self.timeout_ms)).contains(&now_ms)
    }
}

/// Who has a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holding {
    /// The member.
    pub owner: MemberId,
    /// Until when it may keep it, when it is to give it back.
    pub revoke_by_ms: Option<i64>,
}

/// A revocation that was let go: the slot, and the deadline that tells this revocation from others.
pub(super) type LetGo = (Slot, i64);

/// A group as the table has it.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// All members.
    pub members: BTreeMap<MemberId, Lease>,
    /// All partitions of the group's topics, and who has them.
    pub slots: BTreeMap<Slot, Option<Holding>>,
}

/// What a member does in a round; in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// Members to give up.
    pub expired: Vec<MemberId>,
    /// Slots to free.
    pub freed: Vec<Slot>,
    /// Own slots to give back.
    pub revoked: Vec<Slot>,
    /// Slots to take.
    pub taken: Vec<Slot>,
}

impl Moves {
    /// Whether everything is as it shall be.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Group {
    /// The part of `me` in this round; `None` when the group has given it up.
    pub(super) fn moves(&self, me: MemberId, let_go: &BTreeSet<LetGo>, now_ms: i64) -> Option<Moves> {
        let expired = self.expired(me, now_ms)?;
        let living: Vec<MemberId> = self.members.keys().filter(|id| !expired.contains(id)).copied().collect();
        let held = |slot: &Slot, holding: &Holding| {
            living.contains(&holding.owner)
                && holding.revoke_by_ms.is_none_or(|by| now_ms <= by && !let_go.contains(&(*slot, by)))
        };
        let keeps = |holding: &Holding| holding.revoke_by_ms.is_none() && living.contains(&holding.owner);
        let stable =
            self.slots.iter().map(|(slot, holding)| (*slot, holding.filter(keeps).map(|holding| holding.owner)));
        let shall_have = assign(&living, &stable.collect());

        let mut moves = Moves { expired, ..Moves::default() };
        for (slot, holding) in &self.slots {
            let shall_be_mine = shall_have.get(slot) == Some(&me);
            match holding {
                Some(holding) if held(slot, holding) => {
                    if holding.owner == me && holding.revoke_by_ms.is_none() && !shall_be_mine {
                        moves.revoked.push(*slot);
                    }
                    continue;
                }
                Some(_) => moves.freed.push(*slot),
                None => {}
            }
            if shall_be_mine {
                moves.taken.push(*slot);
            }
        }
        Some(moves)
    }

    /// A member that was itself silent for too long does not judge the others: the machine slept, or its disk
    /// was full, and they had no more of a chance than this one.
    fn expired(&self, me: MemberId, now_ms: i64) -> Option<Vec<MemberId>> {
        if !self.members.get(&me)?.holds(now_ms) {
            return Some(Vec::new());
        }
        Some(self.members.iter().filter(|(_, lease)| !lease.holds(now_ms)).map(|(id, _)| *id).collect())
    }
}

#[cfg(test)]
mod tests;

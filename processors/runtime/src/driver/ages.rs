//! How old the work in hand is.

use std::collections::VecDeque;

/// When the records in hand of one partition were written, in the order of their offsets.
#[derive(Debug, Default)]
pub(super) struct Ages(VecDeque<(i64, i64)>);

impl Ages {
    /// A record has come in.
    pub(super) fn take(&mut self, offset: i64, written_at_ms: i64) {
        self.0.push_back((offset, written_at_ms));
    }

    /// Everything below the position is committed.
    pub(super) fn pass(&mut self, position: i64) {
        while self.0.front().is_some_and(|(offset, _)| *offset < position) {
            self.0.pop_front();
        }
    }

    /// When the first record was written that is not committed.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.0.front().map(|(_, written_at_ms)| *written_at_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_oldest_is_the_first_above_the_position(gaps in prop::collection::vec(1_i64..4, 1..50), position in 0_i64..200) {
            let mut ages = Ages::default();
            let mut offset = 0;
            let mut taken = Vec::new();
            for gap in gaps {
                offset += gap;
                ages.take(offset, offset * 10);
                taken.push(offset);
            }
            ages.pass(position);
            let first = taken.into_iter().find(|offset| *offset >= position);
            prop_assert_eq!(ages.oldest_ms(), first.map(|offset| offset * 10));
        }
    }
}

//! What is through and waits to be committed together.

use std::collections::VecDeque;
use std::time::Instant;

use super::task::Finished;
use crate::record::Output;

/// Records that are through, in the order they came through.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    finished: VecDeque<Finished>,
    bytes: usize,
    since: Option<Instant>,
}

impl Outbox {
    pub(super) fn push(&mut self, finished: Finished, now: Instant) {
        self.bytes += finished.size_bytes();
        self.finished.push_back(finished);
        self.since.get_or_insert(now);
    }

    /// Takes everything for a commit.
    pub(super) fn take(&mut self) -> Vec<Finished> {
        (self.bytes, self.since) = (0, None);
        std::mem::take(&mut self.finished).into()
    }

    /// The commit was not written: its records come first again.
    pub(super) fn put_back(&mut self, finished: Vec<Finished>, now: Instant) {
        for record in finished.into_iter().rev() {
            self.bytes += record.size_bytes();
            self.finished.push_front(record);
        }
        self.since.get_or_insert(now);
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Finished) -> bool) {
        self.finished.retain(keep);
        self.bytes = self.finished.iter().map(Finished::size_bytes).sum();
        if self.finished.is_empty() {
            self.since = None;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.finished.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.finished.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the oldest waits.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }
}

/// Moves the outputs of `finished` into one list; [`restore`] undoes it.
pub(super) fn gather(finished: &mut [Finished]) -> (Vec<Output>, Vec<usize>) {
    let counts = finished.iter().map(|record| record.outputs.len()).collect();
    let outputs = finished.iter_mut().flat_map(|record| std::mem::take(&mut record.outputs)).collect();
    (outputs, counts)
}

/// Gives every record its outputs back.
pub(super) fn restore(finished: &mut [Finished], outputs: Vec<Output>, counts: &[usize]) {
    let mut outputs = outputs.into_iter();
    for (record, count) in finished.iter_mut().zip(counts) {
        record.outputs = outputs.by_ref().take(*count).collect();
    }
}

/// Which record has the output of this index.
pub(super) fn owner_of(output: usize, counts: &[usize]) -> Option<usize> {
    let mut end = 0;
    counts.iter().position(|count| {
        end += count;
        output < end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_traced_back_to_its_record() {
        let counts = [2, 0, 1];
        assert_eq!([0, 1, 2, 3].map(|output| owner_of(output, &counts)), [Some(0), Some(0), Some(2), None]);
    }
}

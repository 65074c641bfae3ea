//! The window of a partition: which of its records are finished, and which position may be committed.
//!
//! The committed offset is the lowest that is not finished; what is finished above it goes into the commit's
//! metadata and is not done again after a restart. The map in the metadata is base64 of a format byte and either
//! a bitmap (a bit an offset, starting at the committed one) or run lengths (LEB128, unfinished and finished
//! alternating), whichever is shorter: the shape of confluentinc/parallel-consumer's offset map. Kafka takes
//! 4,096 bytes of metadata (`offset.metadata.max.bytes`); [`Window::has_room`] turns false while every future
//! order of completions still fits.

use std::collections::VecDeque;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use thiserror::Error;

/// What Kafka keeps of a commit's metadata, in bytes.
pub const METADATA_LIMIT_BYTES: usize = 4_096;
/// What base64 of the map may come from, in bytes.
const MAP_LIMIT_BYTES: usize = METADATA_LIMIT_BYTES / 4 * 3;
/// Intake stops at three quarters of it.
const INTAKE_LIMIT_BYTES: usize = MAP_LIMIT_BYTES / 4 * 3;

const BITMAP: u8 = 1;
const RUNS: u8 = 2;

/// Metadata that is no map of ours.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the commit's metadata is no map of finished offsets: {0}")]
pub struct MetadataError(&'static str);

/// What became of an offset that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked {
    /// It is to be done.
    New,
    /// It was finished before the restart, or has come already.
    Known,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    finished: bool,
}

/// The records of one partition that are in hand.
#[derive(Debug)]
pub struct Window {
    /// Everything below is finished; never goes back.
    position: i64,
    /// What came in at or above the position, by offset. Offsets that never come (transaction markers, aborted
    /// or compacted records) have no entry, and count as finished once a later one has come.
    entries: VecDeque<Entry>,
    unfinished: usize,
    /// Finished above the position before the restart, not yet seen again; in order.
    restored: VecDeque<Range<i64>>,
    /// The partition's end, where it was told.
    end: i64,
}

impl Window {
    /// A window that starts where a commit left off.
    pub fn restore(position: i64, metadata: &str) -> Result<Self, MetadataError> {
        let restored = decode(position, metadata)?;
        Ok(Self { position, entries: VecDeque::new(), unfinished: 0, restored: restored.into(), end: position })
    }

    /// A window that starts at `position` with nothing finished above it.
    pub fn new(position: i64) -> Self {
        Self { position, entries: VecDeque::new(), unfinished: 0, restored: VecDeque::new(), end: position }
    }

    /// Takes in an offset; offsets come in rising order.
    pub fn track(&mut self, offset: i64) -> Tracked {
        let newest = self.entries.back().map_or(self.position - 1, |entry| entry.offset);
        if offset <= newest {
            return Tracked::Known;
        }
        while self.restored.front().is_some_and(|range| range.end <= offset) {
            self.restored.pop_front();
        }
        let finished = self.restored.front().is_some_and(|range| range.contains(&offset));
        self.entries.push_back(Entry { offset, finished });
        if finished {
            self.advance();
            return Tracked::Known;
        }
        self.unfinished += 1;
        Tracked::New
    }

    /// Marks an offset as finished: delivered, skipped or dead-lettered in the commit that is being made.
    pub fn finish(&mut self, offset: i64) {
        let Some(index) = self.index_of(offset) else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        if !entry.finished {
            entry.finished = true;
            self.unfinished -= 1;
            self.advance();
        }
    }

    /// The end of the partition, markers included: when nothing is in hand, the position goes there.
    pub fn reach_end(&mut self, offset: i64) {
        self.end = self.end.max(offset);
        self.advance();
    }

    /// The offset to commit: everything below is finished.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// How many records are in hand and not finished.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Whether one more record may be taken in: its completion, in whatever order, still fits the metadata.
    pub fn has_room(&self) -> bool {
        self.fits(INTAKE_LIMIT_BYTES)
    }

    /// Whether half of the room is free: an intake that was stopped is worth being started again.
    pub fn has_much_room(&self) -> bool {
        self.fits(INTAKE_LIMIT_BYTES / 2)
    }

    /// Whether the map of one more record would be below so many bytes.
    fn fits(&self, limit_bytes: usize) -> bool {
        let span = self.entries.back().map_or(0, |entry| entry.offset + 1 - self.position);
        let span = usize::try_from(span).unwrap_or(usize::MAX);
        // Each record still unfinished can at worst part a run in two.
        let runs = 2 * (self.unfinished + 1) + self.finished_runs();
        span.div_ceil(8) < limit_bytes || runs.saturating_mul(varint_length(span as u64)) < limit_bytes
    }

    /// The map of what is finished above the position; empty when nothing is. What was still under way when the intake
    /// was stopped may be more than fits: then the map ends earlier, and what is left out is done again after a restart.
    pub fn metadata(&self) -> String {
        let mut runs = self.finished_above();
        loop {
            let map = encode(&runs);
            if map.len() <= METADATA_LIMIT_BYTES {
                return map;
            }
            // Runs come in pairs; a quarter less at a time.
            runs.truncate(runs.len() / 8 * 6);
        }
    }

    fn index_of(&self, offset: i64) -> Option<usize> {
        let first = self.entries.front()?.offset;
        // Without gaps the distance is the index; with gaps the entry lies before it.
        let guess = usize::try_from(offset - first).ok()?;
        if self.entries.get(guess).is_some_and(|entry| entry.offset == offset) {
            return Some(guess);
        }
        self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok()
    }

    fn advance(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.finished) {
            if let Some(entry) = self.entries.pop_front() {
                self.position = entry.offset + 1;
            }
        }
        match self.entries.front() {
            Some(entry) => self.position = entry.offset,
            None => self.position = self.position.max(self.end),
        }
    }

    fn finished_runs(&self) -> usize {
        // What is finished lies between the unfinished, so there is at most one run more than those.
        self.unfinished + self.restored.len()
    }

    /// The finished offsets above the position as lengths of runs, unfinished and finished in turn.
    fn finished_above(&self) -> Vec<u64> {
        let mut runs = Runs::default();
        let mut next = self.position;
        for entry in &self.entries {
            // An offset without an entry never comes: it belongs to the run that it stands in.
            runs.extend(runs.is_finished(), distance(next, entry.offset));
            runs.extend(entry.finished, 1);
            next = entry.offset + 1;
        }
        for range in &self.restored {
            if range.end > next {
                let start = range.start.max(next);
                runs.extend(false, distance(next, start));
                runs.extend(true, distance(start, range.end));
                next = range.end;
            }
        }
        runs.trimmed()
    }
}

fn distance(from: i64, to: i64) -> u64 {
    u64::try_from(to - from).unwrap_or(0)
}

/// Lengths of runs, the first unfinished.
#[derive(Default)]
struct Runs(Vec<u64>);

impl Runs {
    fn is_finished(&self) -> bool {
        !self.0.is_empty() && self.0.len().is_multiple_of(2)
    }

    fn extend(&mut self, finished: bool, length: u64) {
        if length == 0 {
            return;
        }
        if self.0.is_empty() {
            self.0.push(0);
        }
        if self.is_finished() == finished {
            if let Some(last) = self.0.last_mut() {
                *last += length;
            }
        } else {
            self.0.push(length);
        }
    }

    /// Without the unfinished run behind the last finished one, which says nothing.
    fn trimmed(mut self) -> Vec<u64> {
        if self.0.len() % 2 == 1 {
            self.0.pop();
        }
        self.0
    }
}

fn encode(runs: &[u64]) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let mut by_runs = vec![RUNS];
    runs.iter().for_each(|length| push_varint(&mut by_runs, *length));
    let span = runs.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
    let bitmap_bytes = usize::try_from(span.div_ceil(8)).unwrap_or(usize::MAX);
    if bitmap_bytes.saturating_add(1) < by_runs.len() {
        return STANDARD_NO_PAD.encode(bitmap_of(runs, bitmap_bytes));
    }
    STANDARD_NO_PAD.encode(by_runs)
}

fn bitmap_of(runs: &[u64], length_bytes: usize) -> Vec<u8> {
    let mut map = vec![0_u8; length_bytes + 1];
    map[0] = BITMAP;
    let mut bit = 0_usize;
    for (index, length) in runs.iter().enumerate() {
        for _ in 0..*length {
            if index % 2 == 1 {
                map[1 + bit / 8] |= 1 << (bit % 8);
            }
            bit += 1;
        }
    }
    map
}

fn decode(position: i64, metadata: &str) -> Result<Vec<Range<i64>>, MetadataError> {
    if metadata.is_empty() {
        return Ok(Vec::new());
    }
    if metadata.len() > METADATA_LIMIT_BYTES {
        return Err(MetadataError("it is longer than 4,096 bytes"));
    }
    let bytes = STANDARD_NO_PAD.decode(metadata).map_err(|_| MetadataError("it is not base64"))?;
    match bytes.split_first() {
        Some((&BITMAP, bits)) => {
            ranges(position, bits.iter().flat_map(|byte| (0..8).map(move |bit| (byte >> bit & 1 == 1, 1))))
        }
        Some((&RUNS, varints)) => {
            let lengths = read_varints(varints)?;
            ranges(position, lengths.into_iter().enumerate().map(|(index, length)| (index % 2 == 1, length)))
        }
        _ => Err(MetadataError("its format is unknown here")),
    }
}

fn ranges(position: i64, runs: impl Iterator<Item = (bool, u64)>) -> Result<Vec<Range<i64>>, MetadataError> {
    let mut ranges: Vec<Range<i64>> = Vec::new();
    let mut next = position;
    for (finished, length) in runs {
        let end = i64::try_from(length).ok().and_then(|length| next.checked_add(length));
        let end = end.ok_or(MetadataError("it reaches past the highest offset"))?;
        match ranges.last_mut() {
            Some(last) if finished && last.end == next => last.end = end,
            _ if finished && end > next => ranges.push(next..end),
            _ => {}
        }
        next = end;
    }
    Ok(ranges)
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn varint_length(value: u64) -> usize {
    let bits = 64 - value.leading_zeros() as usize;
    bits.div_ceil(7).max(1)
}

fn read_varints(bytes: &[u8]) -> Result<Vec<u64>, MetadataError> {
    let mut values = Vec::new();
    let (mut value, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        let part = u64::from(byte & 0x7f);
        if shift > 56 && part.leading_zeros() < 57 + (shift - 56) {
            return Err(MetadataError("a run length is too large"));
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            values.push(value);
            (value, shift) = (0, 0);
        } else {
            shift += 7;
            if shift > 63 {
                return Err(MetadataError("a run length is too large"));
            }
        }
    }
    if shift == 0 { Ok(values) } else { Err(MetadataError("it ends within a run length")) }
}

#[cfg(test)]
mod tests;

//! The work of each record, and the least time that all of it takes. `KeysRun.java` draws the same.

use std::time::Duration;

const LONGEST_NS: u64 = 5_000_000;

/// The key of the record at `offset`, from 0 to below `keys`.
pub(super) fn key_of(offset: u64, keys: u64) -> u64 {
    splitmix(offset ^ 0xAB_CDEF) % keys
}

/// A key as it stands in the record.
pub(super) fn text_of(key: u64) -> String {
    format!("key-{key:08}")
}

/// How long the record at `offset` takes: 0 to 5 ms.
pub(super) fn time_of(key: u64, offset: u64) -> Duration {
    let drawn = splitmix(splitmix(key.wrapping_mul(1_000_003)).wrapping_add(offset) ^ 20_260_101);
    Duration::from_nanos(drawn % LONGEST_NS)
}

/// The least seconds for so many records, worked off in the order of their keys, so many at a time.
pub(super) fn bound(records: u64, keys: u64, concurrency: usize) -> f64 {
    let mut sums = vec![Duration::ZERO; usize::try_from(keys).unwrap_or_default()];
    for offset in 0..records {
        let key = key_of(offset, keys);
        if let Some(sum) = usize::try_from(key).ok().and_then(|key| sums.get_mut(key)) {
            *sum += time_of(key, offset);
        }
    }
    let all: Duration = sums.iter().sum();
    let longest = sums.into_iter().max().unwrap_or_default();
    longest.max(all / u32::try_from(concurrency).unwrap_or(u32::MAX)).as_secs_f64()
}

/// SplitMix64: Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014.
fn splitmix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_longest_key_or_all_work_shared() {
        assert!((bound(10_000, 20, 100) - 1.37).abs() < 0.05);
        assert!((bound(10_000, 1_000, 100) - 0.25).abs() < 0.01);
    }
}

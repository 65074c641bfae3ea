//! Which share of all traces is kept.

use std::num::NonZeroU128;

/// A share of all traces, by their ids alone: OpenTelemetry's `TraceIdRatioBased`, which takes the lower 8 bytes of
/// an id, without their lowest bit, for a number between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Of 2^63: an id below it is kept.
    bound: u64,
}

impl Share {
    /// A share from 0, nothing, to 1, everything. What lies outside counts as the nearer of the two.
    pub fn of(ratio: f64) -> Self {
        // The cast saturates, and takes what is no number for 0.
        Self { bound: (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64 }
    }

    /// Whether the trace is kept.
    pub fn takes(self, trace_id: NonZeroU128) -> bool {
        (trace_id.get() as u64) >> 1 < self.bound
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn about_as_many_are_kept_as_were_asked_for() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut ids = std::iter::repeat_with(|| NonZeroU128::new(random.u128(1..)).unwrap());
        let kept = ids.by_ref().take(10_000).filter(|id| Share::of(0.1).takes(*id)).count();
        assert!((900..1_100).contains(&kept), "{kept}");
    }

    proptest! {
        #[test]
        fn a_trace_that_is_kept_is_kept_by_every_larger_share(id in 1_u128.., one in 0.0..=1.0_f64, other in 0.0..=1.0_f64) {
            let id = NonZeroU128::new(id).unwrap();
            let (small, large) = (Share::of(one.min(other)), Share::of(one.max(other)));
            prop_assert!(!small.takes(id) || large.takes(id));
            prop_assert!(Share::of(1.0).takes(id));
            prop_assert!(!Share::of(0.0).takes(id));
        }
    }
}

//! The header `traceparent` (W3C Trace Context, <https://www.w3.org/TR/trace-context/#traceparent-header>).

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// Lengths of the header in version 00, and of its parts.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;

/// Which trace, which span of it, and whether somebody wants it kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: NonZeroU128,
    span_id: NonZeroU64,
    is_sampled: bool,
}

impl TraceContext {
    /// The first span of a new trace, to be kept.
    pub fn root() -> Self {
        let trace_id = NonZeroU128::new(fastrand::u128(1..)).unwrap_or(NonZeroU128::MIN);
        Self { trace_id, span_id: random_span_id(), is_sampled: true }
    }

    /// Another span of the same trace.
    pub fn child(&self) -> Self {
        Self { span_id: random_span_id(), ..*self }
    }

    /// Reads a header; none where it is not one. A later version is read as far as this one goes.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (known, rest) = header.split_at_checked(LENGTH)?;
        let [b'-', b'-', b'-'] = [known[2], known[35], known[52]] else { return None };
        let version = hex(&known[..2])?;
        let is_ours = version == 0 && rest.is_empty();
        let is_later = version != 0 && version != 0xff && rest.first().is_none_or(|next| *next == b'-');
        if !is_ours && !is_later {
            return None;
        }
        Some(Self {
            trace_id: NonZeroU128::new(hex(&known[3..35])?)?,
            span_id: NonZeroU64::new(u64::try_from(hex(&known[36..52])?).ok()?)?,
            is_sampled: hex(&known[53..])? & u128::from(SAMPLED) != 0,
        })
    }

    /// The trace.
    pub fn trace_id(&self) -> NonZeroU128 {
        self.trace_id
    }

    /// The span.
    pub fn span_id(&self) -> NonZeroU64 {
        self.span_id
    }

    /// Whether whoever began the trace wants it kept.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }
}

/// The header, in version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled) * SAMPLED;
        write!(formatter, "00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }
}

fn random_span_id() -> NonZeroU64 {
    NonZeroU64::new(fastrand::u64(1..)).unwrap_or(NonZeroU64::MIN)
}

/// Lower-case hexadecimal, as the specification has it.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let context = TraceContext::parse(HEADER.as_bytes()).unwrap();
        assert_eq!(context.to_string(), HEADER);
        assert_eq!((context.span_id().get(), context.is_sampled()), (0x00f0_67aa_0ba9_02b7, true));
    }

    #[test]
    fn a_child_is_another_span_of_the_same_trace() {
        let parent = TraceContext::parse(HEADER.as_bytes()).unwrap();
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child.span_id(), parent.span_id());
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc{}-what-comes-then", &HEADER[2..]);
        assert_eq!(TraceContext::parse(later.as_bytes()), TraceContext::parse(HEADER.as_bytes()));
    }

    #[test]
    fn what_the_specification_forbids_is_no_context() {
        for forbidden in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(forbidden.as_bytes()), None, "{forbidden}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_what_is_written_is_read_again(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceContext::parse(&bytes);
            let context = TraceContext::root().child();
            prop_assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Some(context));
        }
    }
}
